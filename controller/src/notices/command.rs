//! Notices by a command of the operator's: the subject and the text on its standard input, what kind it is in its environment.

use futures::future::BoxFuture;
use swarm_core::rows::NoticeRow;

use super::{Channel, Undelivered, WITHIN};
use crate::program;

/// A command.
pub(super) struct Command {
    words: Vec<String>,
    swarm: String,
}

impl Command {
    pub(super) fn new(words: Vec<String>, swarm: &str) -> Self {
        Self { words, swarm: swarm.to_owned() }
    }

    async fn call(&self, notice: &NoticeRow) -> Result<(), Undelivered> {
        let input = format!("{}\n\n{}", notice.subject, notice.text);
        let id = notice.id.to_string();
        let environment = [
            ("SWARM_NAME", self.swarm.as_str()),
            ("SWARM_NOTICE_ID", id.as_str()),
            ("SWARM_NOTICE_KIND", notice.kind.name()),
            ("SWARM_NOTICE_KEY", notice.key.as_str()),
        ];
        let ran = program::run(&self.words, input.as_bytes(), &environment, WITHIN).await;
        let ran = ran.map_err(|error| Undelivered::new(error.to_string()))?;
        if ran.status.success() {
            return Ok(());
        }
        Err(Undelivered::new(format!("{} ended with {}: {}", self.words[0], ran.status, ran.said())))
    }
}

impl Channel for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn send<'a>(&'a self, notice: &'a NoticeRow) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(self.call(notice))
    }
}
