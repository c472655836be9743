//! What is told, when it is told again, and what the controller's answers do.

use swarm_protocol::Fence;
use swarm_protocol::report::{BuildAnswer, BuildNews, BuildReport, Failure, FailureClass};

use crate::attempt::{After, FLIGHT_MS, Flight, MAX_UPLOAD_ROUNDS, RESEND_MAX, RESEND_MIN, Stage};
use crate::{Effect, Millis, Worker};

/// Longest wait the controller may ask for before a report is said again, milliseconds.
const MAX_PENDING: Millis = 60_000;

impl Worker {
    /// Says what is due.
    pub(crate) fn report_due(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        for held in self.attempts.values_mut() {
            match held.flight {
                Flight::Due { at } if at <= now => {}
                Flight::Out { until } if until <= now => {}
                Flight::Quiet | Flight::Due { .. } | Flight::Out { .. } => continue,
            }
            let Some(news) = held.news() else {
                held.flight = Flight::Quiet;
                continue;
            };
            held.flight = Flight::Out { until: now + FLIGHT_MS };
            effects.push(Effect::Report {
                report: BuildReport {
                    instance: self.settings.instance.clone(),
                    store_id: held.store_id.clone(),
                    fence: held.fence,
                    number: held.number,
                    news,
                },
            });
        }
    }

    pub(crate) fn unanswered(&mut self, now: Millis, fence: Fence, number: u32) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        if held.number == number && matches!(held.flight, Flight::Out { .. }) {
            held.back_off(now);
        }
    }

    pub(crate) fn answered(
        &mut self,
        now: Millis,
        fence: Fence,
        number: u32,
        answer: BuildAnswer,
        effects: &mut Vec<Effect>,
    ) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        if number > held.number {
            return;
        }
        let current = number == held.number && held.news().is_some();
        match answer {
            // of whatever report of the attempt: it counts no more
            BuildAnswer::Superseded { .. } => self.give_up(now, fence, After::Silence, effects),
            _ if !current => {}
            BuildAnswer::Durable {} => self.acknowledged(now, fence, effects),
            BuildAnswer::Pending { retry_ms } => {
                held.backoff = RESEND_MIN;
                held.flight = Flight::Due { at: now + retry_ms.clamp(RESEND_MIN, MAX_PENDING) };
            }
            BuildAnswer::NeedArtifacts { sha256 } => self.upload_again(now, fence, &sha256, effects),
            BuildAnswer::NotUnderstood { .. } | BuildAnswer::Unknown => {
                held.backoff = RESEND_MAX;
                held.back_off(now);
            }
        }
    }

    /// The current news is durable. An end that is known is forgotten.
    fn acknowledged(&mut self, now: Millis, fence: Fence, effects: &mut Vec<Effect>) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        match held.stage {
            Stage::Waiting | Stage::Starting { .. } | Stage::Running { .. } => held.flight = Flight::Quiet,
            Stage::Finished { .. } | Stage::Refused { .. } | Stage::Dropped { .. } => {
                let number = held.order_number;
                let current = Some(&held.store_id) == self.store_id.as_ref();
                self.forget(now, fence, After::Silence, effects);
                if current {
                    self.saw(number, effects);
                }
            }
            Stage::Keeping { .. } | Stage::Ending { .. } | Stage::Uploading { .. } | Stage::Forgetting { .. } => {}
        }
    }

    /// The controller lacks packages: those the attempt made go up again, then the result is told again.
    fn upload_again(&mut self, now: Millis, fence: Fence, wanted: &[String], effects: &mut Vec<Effect>) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        let missing: Vec<String> = wanted.iter().filter(|sha256| held.made(sha256).is_some()).cloned().collect();
        let Stage::Finished { result } = &held.stage else { return held.back_off(now) };
        if missing.is_empty() {
            return held.back_off(now);
        }
        held.upload_rounds += 1;
        let mut result = result.clone();
        if held.upload_rounds > MAX_UPLOAD_ROUNDS {
            result.failure.get_or_insert_with(|| Failure {
                class: FailureClass::Upload,
                message: format!("uploaded {MAX_UPLOAD_ROUNDS} times, and the controller still lacks {}", missing[0]),
                ..Failure::default()
            });
            held.stage = Stage::Finished { result };
            // once: the number rises with the changed news, later rounds only wait
            if held.upload_rounds == MAX_UPLOAD_ROUNDS + 1 {
                return held.tell(now, 3);
            }
            return held.back_off(now);
        }
        self.upload_or_finish(now, fence, result, missing, effects);
    }

    /// The news of an attempt as it stands, for those who show it.
    pub fn news_of(&self, fence: Fence) -> Option<BuildNews> {
        self.attempts.get(&fence)?.news()
    }
}
