//! Says what kind of failure an attempt's end is, from evidence; the surest is looked at first.
//!
//! A pure function: order or timeout of ours, then memory, then disk, then missing tools, then what phase and message
//! say. Whose fault a kind is, is not said here but in the controller's core. Called by the attempt when emerge ended.

use swarm_protocol::report::{Failure, FailureClass, Phase};

use crate::phases::Clues;

/// Free bytes below which a failure is put down to the disk, whatever the log says.
const NO_SPACE: u64 = 8 << 20;

/// How emerge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this exit status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

impl End {
    /// As in the protocol: the exit status, or the signal as a negative number.
    pub fn status(self) -> i32 {
        match self {
            Self::Exit(code) => code,
            Self::Signal(signal) => -signal,
        }
    }
}

/// Why we ended it, if we did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// By order.
    Cancelled,
    /// It took longer than this many milliseconds.
    Timeout(u64),
    /// Its log was silent for this many milliseconds.
    Silence(u64),
}

impl Cause {
    /// What is said of an attempt cancelled before emerge was started.
    pub const BEFORE: &'static str = "cancelled before it began";
}

/// All that is known of the end.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The package ordered.
    pub target: &'a str,
    /// How emerge ended.
    pub end: End,
    /// Why we ended it.
    pub cause: Option<Cause>,
    /// The kernel killed something of this attempt for want of memory (memory.events, kernel log).
    pub oom_kills: u64,
    /// Bytes free where it built, when it ended.
    pub disk_free: Option<u64>,
    /// What its output said.
    pub clues: &'a Clues,
}

/// The failure; `None` is success (whether the package is there is another question).
pub fn classify(evidence: &Evidence<'_>) -> Option<Failure> {
    let clues = evidence.clues;
    if let Some(cause) = evidence.cause {
        return Some(ours(evidence, cause));
    }
    if evidence.end == End::Exit(0) {
        return None;
    }
    let (class, message, line) = memory(evidence)
        .or_else(|| disk(evidence))
        .or_else(|| tool(clues))
        .or_else(|| block(clues))
        .or_else(|| fetch(clues))
        .or_else(|| resolver(clues))
        .unwrap_or_else(|| other(evidence));
    Some(Failure {
        class,
        cpv: culprit(evidence),
        phase: phase(clues),
        message,
        log_line: line.map(|line| shortened(&line)),
    })
}

type Finding = (FailureClass, String, Option<String>);

fn ours(evidence: &Evidence<'_>, cause: Cause) -> Failure {
    let place = match (&evidence.clues.current, evidence.clues.phase) {
        (Some(cpv), Some(phase)) => format!(" during {} of {cpv}", phase.name()),
        _ => String::new(),
    };
    let (class, message) = match cause {
        Cause::Cancelled => (FailureClass::Cancelled, format!("cancelled{place}")),
        Cause::Timeout(ms) => (FailureClass::Timeout, format!("took longer than {}{place}", spoken(ms))),
        Cause::Silence(ms) => (FailureClass::Silence, format!("printed nothing for {}{place}", spoken(ms))),
    };
    let last = Some(evidence.clues.last.trim().to_owned()).filter(|line| !line.is_empty());
    Failure {
        class,
        cpv: culprit(evidence),
        phase: phase(evidence.clues),
        message,
        log_line: last.map(|line| shortened(&line)),
    }
}

fn spoken(ms: u64) -> String {
    humantime::format_duration(std::time::Duration::from_millis(ms)).to_string()
}

fn memory(evidence: &Evidence<'_>) -> Option<Finding> {
    let clues = evidence.clues;
    if evidence.oom_kills == 0 && clues.killed.is_none() {
        return None;
    }
    let message = match &clues.killed {
        Some(line) => format!("a process was killed for want of memory: {}", line.trim()),
        None => "the kernel killed a process of the build for want of memory".to_owned(),
    };
    Some((FailureClass::OutOfMemory, message, clues.killed.clone()))
}

fn disk(evidence: &Evidence<'_>) -> Option<Finding> {
    let full = evidence.disk_free.is_some_and(|free| free < NO_SPACE);
    if evidence.clues.no_space.is_none() && !full {
        return None;
    }
    let message = if full { "the disk is full where packages are built" } else { "no space left on the drone's disk" };
    Some((FailureClass::DiskFull, message.to_owned(), evidence.clues.no_space.clone()))
}

/// Configure scripts try commands and live without them; only a phase that died with no other error died of that.
fn tool(clues: &Clues) -> Option<Finding> {
    let line = clues.missing_command.as_ref().filter(|_| clues.first_error.is_none() && clues.block.is_some())?;
    Some((FailureClass::MissingTool, format!("a command is missing: {}", line.trim()), Some(line.clone())))
}

fn block(clues: &Clues) -> Option<Finding> {
    let block = clues.block.as_ref()?;
    if block.phase == Phase::Fetch {
        let message = format!("sources of {} must be fetched by hand", block.cpv);
        return Some((FailureClass::Fetch, message, Some(block.reason.clone())));
    }
    let message = format!("{} failed in its {} phase: {}", block.cpv, block.phase.name(), block.reason);
    let line = clues.first_error.clone().or_else(|| Some(block.reason.clone()).filter(|reason| !reason.is_empty()));
    Some((FailureClass::Phase, shortened(&message), line))
}

fn fetch(clues: &Clues) -> Option<Finding> {
    if let Some(line) = &clues.binary {
        return Some((
            FailureClass::BinhostUnreachable,
            "a binary package could not be had".to_owned(),
            Some(line.clone()),
        ));
    }
    let line = clues.fetch.as_ref()?;
    let message = match clues.phase {
        Some(Phase::Dependencies) => return Some((FailureClass::BinhostUnreachable, line.clone(), Some(line.clone()))),
        _ => "sources could not be fetched".to_owned(),
    };
    Some((FailureClass::Fetch, message, Some(line.clone())))
}

fn resolver(clues: &Clues) -> Option<Finding> {
    let refusal = clues.refusal.as_ref()?;
    let class = if refusal.masked { FailureClass::Masked } else { FailureClass::Unsatisfiable };
    Some((class, shortened(&clues.words.join("\n")), Some(refusal.line.clone())))
}

/// emerge exits with 130 and 143 after SIGINT and SIGTERM, which nobody here sent.
fn other(evidence: &Evidence<'_>) -> Finding {
    let last = Some(evidence.clues.last.clone()).filter(|line| !line.is_empty());
    match evidence.end {
        End::Signal(signal) => (FailureClass::Killed, format!("emerge was killed by signal {signal}"), last),
        End::Exit(code @ (130 | 143)) => {
            (FailureClass::Killed, format!("emerge was ended by signal {}", code - 128), last)
        }
        End::Exit(code) => {
            let line = evidence.clues.first_error.clone().or(last);
            (FailureClass::Unknown, format!("emerge ended with status {code} and gave no reason known here"), line)
        }
    }
}

fn culprit(evidence: &Evidence<'_>) -> Option<String> {
    let clues = evidence.clues;
    let block = clues.block.as_ref().map(|block| block.cpv.clone());
    block
        .or_else(|| clues.failed.clone())
        .or_else(|| clues.current.clone())
        .or_else(|| Some(evidence.target.to_owned()))
}

fn phase(clues: &Clues) -> Option<Phase> {
    match (&clues.block, clues.phase, &clues.refusal) {
        (Some(block), _, _) if block.phase != Phase::Unknown => Some(block.phase),
        (_, Some(phase), _) => Some(phase),
        (_, None, Some(_)) => Some(Phase::Resolve),
        _ => None,
    }
}

/// At most 1,000 characters; enough for any sentence.
fn shortened(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(1000) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
