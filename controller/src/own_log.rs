//! The controller's own log, kept for people who ask for it over HTTP: a ring of lines in memory, and the same lines in a
//! file that survives a crash. Takes what `tracing` formats; decides nothing, filters nothing.
//!
//! Bounds: 10,000 lines or 4 MiB in memory, lines cut at 16 KiB, a file of at most 4 MiB beside the one before it
//! (`controller.log.1`). A disk that fails costs the file, never a line in memory and never the caller.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use tokio::sync::watch;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogLevel;

/// Lines kept in memory.
const MAX_LINES: usize = 10_000;
/// Bytes kept in memory.
const MAX_BYTES: usize = 4 << 20;
/// Bytes of one line.
const MAX_LINE: usize = 16 << 10;
/// Bytes of the file before it is moved aside.
const MAX_FILE: u64 = 4 << 20;
/// Lines of the run before this one that are taken over.
const TAKEN_OVER: usize = 1_000;

/// The log. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct OwnLog(Arc<Inner>);

struct Inner {
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
}

#[derive(Default)]
struct Ring {
    lines: VecDeque<Arc<str>>,
    bytes: usize,
    /// Number of the newest line; the first ever is 1.
    newest: u64,
    file: Option<Kept>,
}

struct Kept {
    path: PathBuf,
    file: fs_err::File,
    size: u64,
}

/// Some lines, and the number of the last one looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    /// Oldest first.
    pub lines: Vec<Arc<str>>,
    /// What to ask for next time.
    pub newest: u64,
}

impl Default for OwnLog {
    fn default() -> Self {
        Self(Arc::new(Inner { ring: Mutex::default(), newest: watch::channel(0).0 }))
    }
}

impl OwnLog {
    /// Keeps the lines in a file, too (mode 0600): those had so far, and all that come. The last lines of the run before
    /// are taken over into the ring.
    ///
    /// # Errors
    /// When the file can't be read or opened.
    pub fn keep_in(&self, path: &Path) -> io::Result<()> {
        let before = match fs_err::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut kept = Kept::open(path)?;
        let mut ring = self.ring();
        for line in &ring.lines {
            kept.write(line);
        }
        let text = String::from_utf8_lossy(&before);
        let old: Vec<&str> = text.lines().collect();
        for line in old[old.len().saturating_sub(TAKEN_OVER)..].iter().rev() {
            ring.bytes += line.len();
            ring.lines.push_front(Arc::from(*line));
            ring.newest += 1;
        }
        ring.shrink();
        ring.file = Some(kept);
        let newest = ring.newest;
        drop(ring);
        self.0.newest.send_replace(newest);
        Ok(())
    }

    /// The file, if there is one.
    pub fn path(&self) -> Option<PathBuf> {
        self.ring().file.as_ref().map(|kept| kept.path.clone())
    }

    /// The last `count` lines.
    pub fn last(&self, count: usize) -> Lines {
        let ring = self.ring();
        let skipped = ring.lines.len().saturating_sub(count);
        Lines { lines: ring.lines.iter().skip(skipped).cloned().collect(), newest: ring.newest }
    }

    /// At most `count` lines after number `after`; where the ring has turned over meanwhile, the oldest there are.
    pub fn after(&self, after: u64, count: usize) -> Lines {
        let ring = self.ring();
        let first = ring.newest - ring.lines.len() as u64;
        let skipped = usize::try_from(after.clamp(first, ring.newest) - first).unwrap_or(usize::MAX);
        let lines: Vec<Arc<str>> = ring.lines.iter().skip(skipped).take(count).cloned().collect();
        let newest = first + skipped as u64 + lines.len() as u64;
        Lines { lines, newest }
    }

    /// Tells the number of the newest line.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }

    /// Adds what was formatted: one line, or several.
    fn add(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let mut ring = self.ring();
        for line in text.lines() {
            ring.add(shortened(line));
        }
        let newest = ring.newest;
        drop(ring);
        self.0.newest.send_replace(newest);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// At most [`MAX_LINE`] bytes of a line, cut between two characters.
fn shortened(line: &str) -> &str {
    let mut end = line.len().min(MAX_LINE);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    &line[..end]
}

impl Ring {
    fn add(&mut self, line: &str) {
        if let Some(kept) = &mut self.file
            && !kept.write(line)
        {
            // said nowhere: who logs that logging failed goes round in circles; `path` is gone from then on
            self.file = None;
        }
        self.bytes += line.len();
        self.lines.push_back(Arc::from(line));
        self.newest += 1;
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(line) = self.lines.pop_front() else { return };
            self.bytes -= line.len();
        }
    }
}

impl Kept {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = fs_err::OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size })
    }

    /// Appends a line; false when that failed.
    fn write(&mut self, line: &str) -> bool {
        let added = line.len() as u64 + 1;
        if self.size + added > MAX_FILE && self.turn_over().is_err() {
            return false;
        }
        self.size += added;
        self.file.write_all(format!("{line}\n").as_bytes()).is_ok()
    }

    fn turn_over(&mut self) -> io::Result<()> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".1");
        fs_err::rename(&self.path, aside)?;
        *self = Self::open(&self.path)?;
        Ok(())
    }
}

/// One formatted event on its way into the log.
pub struct Line<'a>(&'a OwnLog);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for OwnLog {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// How much is logged, changed while the process runs. `None` is what the environment or the configuration said.
pub type LevelSwitch = Box<dyn Fn(Option<LogLevel>) + Send + Sync>;

/// What `serve` needs of the logs.
pub struct Logging {
    /// The lines.
    pub own: OwnLog,
    /// How much.
    pub level: LevelSwitch,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &Lines) -> Vec<&str> {
        lines.lines.iter().map(|line| &**line).collect()
    }

    fn say(log: &OwnLog, text: &str) {
        log.make_writer().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn lines_are_numbered_and_a_follower_gets_each_once() {
        let log = OwnLog::default();
        say(&log, "one\n");
        say(&log, "two\nthree\n");
        assert_eq!(texts(&log.last(2)), ["two", "three"]);
        let seen = log.last(10).newest;
        assert_eq!((seen, log.after(seen, 10).lines.len()), (3, 0));
        say(&log, "four\n");
        let next = log.after(seen, 10);
        assert_eq!((texts(&next), next.newest), (vec!["four"], 4));
        assert_eq!(texts(&log.after(1, 2)), ["two", "three"], "in pieces of what is asked for");
        assert_eq!(*log.newest().borrow(), 4);
    }

    #[test]
    fn the_ring_is_bounded_in_lines_and_bytes_and_cuts_long_lines() {
        let log = OwnLog::default();
        for n in 0..MAX_LINES + 5 {
            say(&log, &format!("{n}\n"));
        }
        let all = log.last(usize::MAX);
        assert_eq!((all.lines.len(), texts(&all)[0]), (MAX_LINES, "5"));
        assert_eq!(texts(&log.after(2, 1)), ["5"], "what is gone is skipped");
        let long = "ä".repeat(MAX_LINE);
        for _ in 0..MAX_BYTES / MAX_LINE + 10 {
            say(&log, &long);
        }
        let all = log.last(usize::MAX);
        assert!(all.lines.iter().map(|line| line.len()).sum::<usize>() <= MAX_BYTES);
        assert!(all.lines.iter().all(|line| line.len() <= MAX_LINE));
    }

    #[test]
    fn the_file_has_all_of_it_and_the_next_run_takes_its_end_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("controller.log");
        let log = OwnLog::default();
        assert_eq!(log.path(), None);
        say(&log, "before the file\n");
        log.keep_in(&path).unwrap();
        say(&log, "after it\n");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "before the file\nafter it\n");
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs_err::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);

        let next = OwnLog::default();
        say(&next, "a new run\n");
        next.keep_in(&path).unwrap();
        assert_eq!(texts(&next.last(9)), ["before the file", "after it", "a new run"]);
        assert_eq!(next.path().as_deref(), Some(path.as_path()));
    }

    #[test]
    fn the_file_turns_over_and_stays_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("controller.log");
        let log = OwnLog::default();
        log.keep_in(&path).unwrap();
        let line = "x".repeat(10_000);
        for _ in 0..2 * MAX_FILE / 10_000 {
            say(&log, &line);
        }
        let size = |name: &str| fs_err::metadata(dir.path().join(name)).unwrap().len();
        assert!(size("controller.log") <= MAX_FILE && size("controller.log.1") <= MAX_FILE);
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 2);
    }
}
