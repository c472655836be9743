//! What a user sees when something goes wrong: what, with what, what to do next; and the exit status.

use std::fmt;
use std::process::ExitCode;

/// Exit statuses, a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something went wrong, or a waited-for session ended with packages blocked or failed.
    Error = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The controller does not answer.
    Unreachable = 3,
    /// The admin key is missing or wrong.
    Authentication = 4,
}

/// A problem in three parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Exit status.
    pub exit: Exit,
    /// What went wrong.
    pub what: String,
    /// With what.
    pub with: Option<String>,
    /// What to do next.
    pub next: Option<String>,
    /// What was named is not there.
    pub missing: bool,
}

impl Problem {
    /// An error.
    pub fn new(what: impl Into<String>) -> Self {
        Self { exit: Exit::Error, what: what.into(), with: None, next: None, missing: false }
    }

    /// A command line that makes no sense.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(what) }
    }

    /// The same with what it went wrong.
    #[must_use]
    pub fn with(mut self, with: impl fmt::Display) -> Self {
        self.with = Some(with.to_string());
        self
    }

    /// The same with what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The same with what to do next if what was named is not there.
    #[must_use]
    pub fn if_missing(self, next: &str) -> Self {
        if self.missing { self.next(next) } else { self }
    }

    /// Another exit status.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The text for the terminal, or one JSON object for programs.
    pub fn render(&self, json: bool) -> String {
        if json {
            return serde_json::json!({"error": self.what, "with": self.with, "hint": self.next}).to_string();
        }
        let mut text = format!("error: {}", self.what);
        if let Some(with) = &self.with {
            text += &format!("\n   with: {with}");
        }
        if let Some(next) = &self.next {
            text += &format!("\n   next: {next}");
        }
        text
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<std::io::Error> for Problem {
    /// `fs_err` names the path in the error itself.
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}
