//! What `/proc/PID/stat` says of a process. A pid comes back after a while; with its start time it names one process of a boot.

use std::io;

use fs_err as fs;

/// What is said of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its parent's pid, at this moment.
    pub parent: u32,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
    /// A zombie, or being torn down.
    pub dead: bool,
}

/// Reads a process's state; `None` if there is no such process, or it can't be read.
pub fn stat(pid: u32) -> Option<Stat> {
    look(pid).ok().flatten()
}

/// Reads a process's state; `None` if there is no such process.
///
/// # Errors
/// When it can't be looked at now, as for want of file descriptors: that says nothing of the process.
pub fn look(pid: u32) -> io::Result<Option<Stat>> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => Ok(parse(&text)),
        // it ended before the file was opened, or between that and the reading
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The command in the second field may hold spaces and brackets: fields count from the last closing one.
fn parse(text: &str) -> Option<Stat> {
    let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let start_time = fields.nth(17)?.parse().ok()?;
    Some(Stat { parent, start_time, dead: matches!(state, "Z" | "X" | "x") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_and_spaces_does_not_shift_the_fields() {
        let text = "42 (a) b) R) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        assert_eq!(parse(text), Some(Stat { parent: 7, start_time: 98_765, dead: false }));
    }

    #[test]
    fn a_process_sees_itself_and_nothing_where_there_is_none() {
        assert!(stat(std::process::id()).is_some_and(|own| !own.dead && own.start_time > 0));
        assert_eq!(look(u32::MAX).unwrap(), None);
    }
}
