//! What the worker's core wants, done: attempts, results, plans, syncs.

use super::*;

impl Machine {
    pub(super) fn carry_out(&mut self, now: Millis, effects: Vec<Effect>) {
        for effect in effects {
            self.do_one(now, effect);
        }
        self.plan_wake(now);
    }

    pub(super) fn plan_wake(&mut self, now: Millis) {
        let life = self.lives.1;
        let Some(worker) = &mut self.worker else { return };
        let Some(at) = worker.core.next_wake() else { return };
        let at = at.max(now);
        if worker.wake.is_none_or(|known| at < known || known < now) {
            worker.wake = Some(at);
            self.later(at - now, Later::WorkerWake { life });
        }
    }

    pub(super) fn do_one(&mut self, now: Millis, effect: Effect) {
        let life = self.lives.1;
        let soon = self.chance.between(1, 60);
        let input = |input: Input| Later::Worker { life, input: Box::new(input) };
        match effect {
            Effect::Answer { reply, answer } => self.answer(reply, now, &answer),
            Effect::Keep { job, slot, order_number, store_id } => {
                let fence = job.fence;
                let kept = if self.disk_full {
                    let class = FailureClass::DiskFull;
                    Input::NotKept { fence, failure: failure(class, "no space left on device") }
                } else {
                    let on_disk =
                        OnDisk { job, order_number, store_id, slot, standing: AttemptStanding::Waiting, began: now };
                    self.disk.attempts.entry(fence).or_insert(on_disk);
                    Input::Kept { fence }
                };
                self.later(soon, input(kept));
            }
            Effect::Start { fence } => self.start_attempt(now, fence, life, soon),
            Effect::End { fence } => {
                if let Some(on_disk) = self.disk.attempts.get_mut(&fence)
                    && matches!(on_disk.standing, AttemptStanding::Running { .. })
                {
                    on_disk.standing = AttemptStanding::Vanished;
                }
                let wait = self.chance.between(200, 11 * SECOND);
                self.later(wait, input(Input::Ended { fence }));
            }
            Effect::Upload { fence, sha256 } => {
                if let Some(worker) = &mut self.worker {
                    worker.uploads.insert((fence, sha256.clone()), 0);
                }
                self.later(soon, Later::Ticket { life, fence, sha256 });
            }
            Effect::Report { report } => {
                let asked =
                    Asked::Build { fence: report.fence, store_id: report.store_id.clone(), number: report.number };
                let ask = self.ask(Process::Worker, asked, REPORT_TIMEOUT);
                self.report(ReportKind::Build, "report.build", now, &report, Some(ask));
            }
            Effect::Forget { tomb } => {
                let fence = tomb.fence;
                self.disk.tombs.push(tomb);
                self.disk.attempts.remove(&fence);
                self.disk.results.remove(&fence);
                if let Some(worker) = &mut self.worker {
                    worker.uploads.retain(|(of, _), _| *of != fence);
                }
                self.later(soon, input(Input::Forgotten { fence }));
            }
            Effect::Seen { number, store_id } => self.disk.seen = Some((number, store_id)),
            Effect::Plan { job, store_id } => {
                let (plan, attempt) = (job.plan, job.attempt);
                let takes = self.chance.spread(800, 40 * SECOND);
                let made = self.tree.plan(&job.atoms);
                if let Some(worker) = &mut self.worker {
                    worker.plans.insert((plan, attempt), (made, store_id));
                }
                self.later(takes, Later::Deliver { life, plan, attempt });
            }
            Effect::Sync { number, job, store_id } => {
                let takes = self.chance.spread(SECOND, 2 * job.timeout_ms);
                // what the upstream has is at least what was expected
                let expected = number_of(&job.expected).unwrap_or_default();
                let brings = (takes < job.timeout_ms && !self.disk_full).then_some(expected.max(self.disk.tree));
                let sync = Syncing { store_id, brings, took: takes.min(job.timeout_ms), tries: 0 };
                if let Some(worker) = &mut self.worker {
                    worker.syncs.insert(number, sync);
                }
                self.later(takes.min(job.timeout_ms), Later::Synced { life, number });
            }
            Effect::Greet => self.later(soon, Later::Hello { role: Role::Worker, life }),
        }
    }

    pub(super) fn start_attempt(&mut self, now: Millis, fence: Fence, life: u32, soon: Millis) {
        let boot = self.boot;
        let mut takes = None;
        let started = match self.disk.attempts.get_mut(&fence) {
            Some(on_disk) if matches!(on_disk.standing, AttemptStanding::Waiting) => {
                on_disk.standing = AttemptStanding::Running { since: now };
                on_disk.began = now;
                *self.begun.entry(fence).or_default() += 1;
                takes = self.tree.find(&on_disk.job.cpv).map(|ebuild| ebuild.takes * 8 / u64::from(self.cores.max(1)));
                Input::Started { fence, at: now }
            }
            _ => Input::NotStarted { fence, failure: failure(FailureClass::AgentLost, "begun before") },
        };
        if let Some(takes) = takes {
            self.later(takes.max(SECOND), Later::Ends { boot, fence });
        }
        self.later(soon, Later::Worker { life, input: Box::new(started) });
    }

    /// emerge ends: its result is on disk, whoever lives to see it.
    pub(super) fn attempt_ends(&mut self, now: Millis, fence: Fence) {
        let roll = self.chance.below(100);
        let full = self.disk_full;
        let Some(on_disk) = self.disk.attempts.get(&fence) else { return };
        let AttemptStanding::Running { .. } = on_disk.standing else { return };
        let (job, began) = (on_disk.job.clone(), on_disk.began);
        let Some(ebuild) = self.tree.find(&job.cpv).cloned() else { return };
        let failed = match ebuild.temper {
            _ if full => Some((FailureClass::DiskFull, "no space left on device")),
            Temper::Broken => Some((FailureClass::Phase, "the compiler failed")),
            Temper::Flaky if roll < 30 => Some((FailureClass::Fetch, "mirrors do not answer")),
            Temper::Large if self.ram < LARGE => Some((FailureClass::OutOfMemory, "killed for want of memory")),
            Temper::Good | Temper::Flaky | Temper::Large | Temper::Twin => None,
        };
        let failed = failed.map(|(class, text)| Failure {
            cpv: Some(job.cpv.clone()),
            phase: (class == FailureClass::Phase).then_some(Phase::Compile),
            ..failure(class, text)
        });
        let mut artifacts = Vec::new();
        if failed.is_none() {
            artifacts.push(made(&job.cpv, &job.use_flags, fence));
            if let Some(side) = ebuild.needs.first().filter(|_| ebuild.temper == Temper::Twin) {
                let side = &self.tree.ebuilds[*side];
                artifacts.push(made(&side.cpv, &side.use_flags, fence));
            }
        }
        let result = BuildResult {
            exit_status: Some(i32::from(failed.is_some())),
            failure: failed,
            duration_ms: now - began,
            log_bytes: 4_000,
            artifacts,
            memory_peak_bytes: 1 << 30,
        };
        self.disk.results.insert(fence, result.clone());
        if let Some(on_disk) = self.disk.attempts.get_mut(&fence) {
            on_disk.standing = AttemptStanding::Finished { result: result.clone() };
        }
        let life = self.lives.1;
        let seen = self.chance.between(10, 1_500);
        self.later(seen, Later::Worker { life, input: Box::new(Input::Exited { fence, result }) });
    }
}
