//! Events.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use swarm_core::rows::EventRow;
use utoipa::ToSchema;

use super::number::seconds;

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Sequence number without gaps.
    pub id: u64,
    /// Kind.
    pub r#type: String,
    /// One sentence.
    pub message: String,
    /// What it is about: `drone`, `package`, `build`, `attempt`, `session_id` and what the kind adds.
    #[schema(value_type = Object)]
    pub details: Map<String, Value>,
    /// When.
    pub timestamp: f64,
}

impl From<&EventRow> for Event {
    fn from(row: &EventRow) -> Self {
        let mut details = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                details.insert(name.to_owned(), value);
            }
        };
        put("drone", row.drone.clone().map(Value::from));
        put("package", row.package.clone().map(Value::from));
        put("build", row.build.map(Value::from));
        put("attempt", row.attempt.map(Value::from));
        put("session_id", row.session.map(Value::from));
        for (name, value) in &row.details {
            details.entry(name.clone()).or_insert_with(|| Value::from(value.clone()));
        }
        Self {
            id: row.seq,
            r#type: row.kind.clone(),
            message: row.message.clone(),
            details,
            timestamp: seconds(row.at),
        }
    }
}

/// Events since a number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Events {
    /// Oldest first.
    pub events: Vec<Event>,
    /// What to send as `since` next time.
    pub latest_id: u64,
}

/// Events of the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventHistory {
    /// Oldest first.
    pub events: Vec<Event>,
    /// How many there are in this answer.
    pub total: usize,
}
