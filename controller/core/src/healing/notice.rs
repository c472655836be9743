//! Notices to people: through an outbox like events, so that none is lost or sent twice to a channel that has it.

use crate::answer::Done;
use crate::core::Core;
use crate::effect::Effect;
use crate::rows::{EventKind, NoticeKind, NoticeRow, NoticeState};

/// First wait before a notice is tried again, milliseconds; doubles.
const RETRY: u64 = 30_000;
/// Longest such wait.
const RETRY_MAX: u64 = 15 * 60_000;
/// Tries, and then it is given up: some two hours.
const MAX_TRIES: u32 = 12;
/// A try that was not answered by then is made again: whoever had it is gone. Milliseconds.
const UNANSWERED: u64 = 120_000;
/// Notices kept for people to look at.
const KEEP: usize = 200;

impl Core {
    /// Tells people.
    pub(crate) fn notify(&mut self, key: &str, kind: NoticeKind, subject: String, text: String) {
        let meta = self.meta_mut();
        meta.last_notice += 1;
        let id = meta.last_notice;
        self.rows.notices.put(NoticeRow {
            id,
            key: key.to_owned(),
            kind,
            subject,
            text,
            at: self.now.wall,
            delivered: Default::default(),
            failures: Default::default(),
            tries: 0,
            state: NoticeState::Due { at: self.now.at },
        });
        self.soft.healing.notices.set(id, self.now.at);
        while self.rows.notices.len() > KEEP {
            let Some(oldest) = self.rows.notices.iter().next().map(|row| row.id) else { break };
            self.rows.notices.remove(&oldest);
            self.soft.healing.notices.clear(&oldest);
        }
        self.send_notices();
    }

    pub(crate) fn test_notice(&mut self, actor: &str) -> Done {
        let subject = format!("{actor} tests whether notices arrive");
        self.notify("test", NoticeKind::Test, subject, "This is a test. Nothing is wrong.\n".to_owned());
        Done { touched: 1, what: vec![self.meta().last_notice.to_string()] }
    }

    /// After a start: whatever was not sent, or not answered.
    pub(super) fn resend_notices(&mut self) {
        let due = self.rows.notices.iter().filter_map(|row| match row.state {
            NoticeState::Due { at } => Some((row.id, at.min(self.now.at))),
            NoticeState::Sent {} | NoticeState::Failed { .. } => None,
        });
        self.soft.healing.notices = due.collect();
    }

    pub(super) fn send_notices(&mut self) {
        while let Some(id) = self.soft.healing.notices.pop(self.now.at) {
            let again = self.now.at + UNANSWERED;
            let Some(row) = self.rows.notices.change(&id) else { continue };
            row.tries += 1;
            row.state = NoticeState::Due { at: again };
            let notice = Box::new(row.clone());
            self.soft.healing.notices.set(id, again);
            self.effects.push(Effect::Notify(notice));
        }
    }

    pub(crate) fn notified(&mut self, id: u64, delivered: Vec<String>, failed: &[(String, String)]) {
        let now = self.now.at;
        let Some(row) = self.rows.notices.change(&id) else { return };
        let NoticeState::Due { .. } = row.state else { return };
        self.soft.healing.notices.clear(&id);
        row.delivered.extend(delivered);
        row.failures = failed.iter().cloned().collect();
        if failed.is_empty() {
            row.state = NoticeState::Sent {};
            return;
        }
        let reason: Vec<String> = failed.iter().map(|(channel, why)| format!("{channel}: {why}")).collect();
        let (reason, subject) = (reason.join("; "), row.subject.clone());
        // events are public; what a mail server or a command said is not
        let by = failed.iter().map(|(channel, _)| channel.as_str()).collect::<Vec<_>>().join(", ");
        if row.tries >= MAX_TRIES {
            row.state = NoticeState::Failed { reason };
            self.event(
                EventKind::Warn,
                format!("a notice could not be sent by {by} and was given up: {subject}"),
                |_| {},
            );
            return;
        }
        let wait = RETRY.saturating_mul(1 << (row.tries.saturating_sub(1)).min(10)).min(RETRY_MAX);
        row.state = NoticeState::Due { at: now + wait };
        let first = row.tries == 1;
        self.soft.healing.notices.set(id, now + wait);
        if first {
            self.event(
                EventKind::Warn,
                format!("a notice could not be sent by {by}; it is tried again: {subject}"),
                |_| {},
            );
        }
    }
}
