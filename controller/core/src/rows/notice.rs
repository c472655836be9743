//! What people are told outside the swarm: by mail, webhook, command. Kept until every channel has it, and a while longer.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::table::Row;

/// A notice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoticeRow {
    /// Number.
    pub id: u64,
    /// What it is about: notices of one key are one story.
    pub key: String,
    /// What kind.
    pub kind: NoticeKind,
    /// One line.
    pub subject: String,
    /// The whole text.
    pub text: String,
    /// Wall clock, Unix milliseconds.
    pub at: u64,
    /// Channels that have it.
    #[serde(default)]
    pub delivered: BTreeSet<String>,
    /// Channels that do not have it, and why, as last heard.
    #[serde(default)]
    pub failures: BTreeMap<String, String>,
    /// Times it was tried.
    #[serde(default)]
    pub tries: u32,
    /// Where it stands.
    pub state: NoticeState,
}

/// Kinds of notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// Something needs a person.
    Alert,
    /// It still does.
    Repeat,
    /// It is over.
    Resolved,
    /// A person wants to see whether notices arrive.
    Test,
}

impl NoticeKind {
    /// One word for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Repeat => "repeat",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

/// The life of a notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum NoticeState {
    /// To be sent, not before this moment of the core's clock.
    Due {
        /// On the core's clock.
        at: u64,
    },
    /// Every channel has it.
    Sent {},
    /// Given up.
    Failed {
        /// Why, as last heard.
        reason: String,
    },
}

impl Row for NoticeRow {
    type Key = u64;
    const TABLE: &'static str = "notices";
    fn key(&self) -> u64 {
        self.id
    }
}
