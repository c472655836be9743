//! Notices to people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swarm_core::rows::{NoticeRow, NoticeState};
use utoipa::ToSchema;

use super::number::seconds;

/// Notices to people.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NoticeList {
    /// Channels that are configured: `mail`, `webhook`, `command`.
    pub channels: Vec<String>,
    /// Newest first.
    pub notices: Vec<NoticeView>,
}

/// A notice to people.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NoticeView {
    /// Number.
    pub id: u64,
    /// What it is about; notices of one key are one story.
    pub key: String,
    /// `alert`, `repeat`, `resolved` or `test`.
    pub kind: String,
    /// One line.
    pub subject: String,
    /// The whole text.
    pub text: String,
    /// When it was written.
    pub at: f64,
    /// `due`, `sent` or `failed`.
    pub state: String,
    /// Times it was tried.
    pub tries: u32,
    /// Channels that have it.
    pub delivered: Vec<String>,
    /// Channels that do not, and why, as last heard.
    pub failures: BTreeMap<String, String>,
}

impl From<&NoticeRow> for NoticeView {
    fn from(row: &NoticeRow) -> Self {
        let state = match row.state {
            NoticeState::Due { .. } => "due",
            NoticeState::Sent {} => "sent",
            NoticeState::Failed { .. } => "failed",
        };
        Self {
            id: row.id,
            key: row.key.clone(),
            kind: row.kind.name().to_owned(),
            subject: row.subject.clone(),
            text: row.text.clone(),
            at: seconds(row.at),
            state: state.to_owned(),
            tries: row.tries,
            delivered: row.delivered.iter().cloned().collect(),
            failures: row.failures.clone(),
        }
    }
}

/// A test notice is on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestNotice {
    /// `ordered`.
    pub status: String,
    /// Number of the notice.
    pub id: u64,
    /// Channels it goes to.
    pub channels: Vec<String>,
}
