//! What comes in: what is due, orders, answers; and the requests whose answers it is.

use super::*;

impl Machine {
    /// Something it had in hand is due.
    pub(crate) fn due(&mut self, now: Millis, wall: u64, what: Later) {
        match what {
            Later::Worker { life, input } if life == self.lives.1 => self.feed(now, *input),
            Later::WorkerWake { life } if life == self.lives.1 => {
                let Some(worker) = &mut self.worker else { return };
                // a nearer moment was set after this one: that one counts, and sets the next
                if worker.wake != Some(now) {
                    return;
                }
                if self.hung {
                    worker.wake = Some(now + SECOND);
                    return self.later(SECOND, Later::WorkerWake { life });
                }
                worker.wake = None;
                let effects = worker.core.wake(now);
                self.carry_out(now, effects);
            }
            Later::Beat { life } if life == self.lives.0 => self.beat(now, wall),
            Later::Ends { boot, fence } if boot == self.boot && self.up => self.attempt_ends(now, fence),
            Later::Timeout { process, life, ask } if life == self.life(process) => self.timed_out(now, ask),
            Later::Hello { role, life } if life == self.life(process_of(role)) => self.say_hello(wall, role),
            Later::Ticket { life, fence, sha256 } if life == self.lives.1 => self.ask_for_ticket(wall, fence, sha256),
            Later::Deliver { life, plan, attempt } if life == self.lives.1 => self.deliver(wall, plan, attempt),
            Later::Synced { life, number } if life == self.lives.1 => self.tell_sync(now, wall, number),
            Later::Restart { process: Process::Supervisor, life } if life == self.lives.0 => self.start_supervisor(now),
            Later::Restart { process: Process::Worker, life } if life == self.lives.1 && self.crashing => {
                self.kill(Process::Worker);
                self.watch(now, Some(Sign::Exited));
            }
            Later::Boot { boot } if boot == self.boot => self.power_on(now),
            _ => {}
        }
        if self.supervisor.is_some() {
            self.watch(now, None);
        }
    }

    pub(super) fn life(&self, process: Process) -> u32 {
        match process {
            Process::Supervisor => self.lives.0,
            Process::Worker => self.lives.1,
        }
    }

    /// An input for the worker's core; a hung process takes it when it goes on.
    pub(super) fn feed(&mut self, now: Millis, input: Input) {
        let life = self.lives.1;
        if self.hung {
            return self.later(SECOND, Later::Worker { life, input: Box::new(input) });
        }
        let Some(worker) = &mut self.worker else { return };
        let effects = worker.core.handle(now, input);
        self.carry_out(now, effects);
    }

    /// A message of the bus for one of its processes.
    pub(crate) fn order(&mut self, now: Millis, wall: u64, bytes: &[u8], reply: u64) {
        let Ok(order) = open::<Order>(bytes).map(|envelope| envelope.body) else { return };
        if !self.up {
            return;
        }
        match &order.task {
            Task::Escalate { .. } if self.version.starts_with("0.4") => {
                let reason = "an order this version does not know".to_owned();
                self.answer(reply, wall, &OrderAnswer::NotUnderstood { reason });
            }
            Task::Ping { .. } | Task::Logs { .. } | Task::Escalate { .. } => self.supervise(now, wall, &order, reply),
            Task::Build { .. }
            | Task::Cancel { .. }
            | Task::Release { .. }
            | Task::Sync { .. }
            | Task::Plan { .. }
            | Task::Unknown => {
                if self.worker.is_some() {
                    self.feed(now, Input::Order { reply, order });
                }
            }
        }
    }

    /// The answer to one of its requests.
    pub(crate) fn answered(&mut self, now: Millis, ask: u64, bytes: &[u8]) {
        let Some((process, life, asked)) = self.asked.remove(&ask) else { return };
        if life != self.life(process) {
            return;
        }
        match asked {
            Asked::Hello(role) => self.welcomed(now, role, body::<HelloAnswer>(bytes)),
            Asked::Build { fence, store_id, number } => {
                let Some(answer) = body::<BuildAnswer>(bytes) else { return };
                let over = self
                    .disk
                    .attempts
                    .get(&fence)
                    .is_some_and(|d| matches!(d.standing, AttemptStanding::Finished { .. }));
                if answer == (BuildAnswer::Durable {}) && over && number >= 3 {
                    self.acknowledged.insert((store_id.clone(), fence));
                }
                self.feed(now, Input::Answered { fence, store_id, number, answer });
            }
            Asked::Ticket { fence, sha256 } => {
                let Some(answer) = body::<ArtifactAnswer>(bytes) else { return };
                self.ticket(now, fence, sha256, answer);
            }
            Asked::Put { fence, sha256 } => {
                let taken = bytes == [1];
                self.put_over(now, fence, sha256, taken);
            }
            Asked::Plan { plan, attempt } => match body::<PlanAnswer>(bytes) {
                Some(PlanAnswer::Durable {} | PlanAnswer::Superseded { .. } | PlanAnswer::Refused { .. }) => {
                    if let Some(worker) = &mut self.worker {
                        worker.plans.remove(&(plan, attempt));
                    }
                    self.feed(now, Input::Planned { plan, attempt });
                }
                Some(PlanAnswer::Next {} | PlanAnswer::Unknown) | None => self.deliver_again(plan, attempt),
            },
            Asked::Sync { number } => match body::<SyncAnswer>(bytes) {
                Some(SyncAnswer::Durable {} | SyncAnswer::Superseded { .. }) => self.sync_told(now, number),
                Some(SyncAnswer::Unknown) | None => self.tell_again(number),
            },
        }
    }

    pub(super) fn timed_out(&mut self, now: Millis, ask: u64) {
        let Some((_, _, asked)) = self.asked.remove(&ask) else { return };
        let life = self.lives.1;
        match asked {
            Asked::Hello(role) => {
                let life = self.life(process_of(role));
                self.later(HELLO_AGAIN, Later::Hello { role, life });
            }
            Asked::Build { fence, number, .. } => self.feed(now, Input::Unanswered { fence, number }),
            Asked::Ticket { fence, sha256 } => self.later(2 * SECOND, Later::Ticket { life, fence, sha256 }),
            Asked::Put { fence, sha256 } => self.put_over(now, fence, sha256, false),
            Asked::Plan { plan, attempt } => self.deliver_again(plan, attempt),
            Asked::Sync { number } => self.tell_again(number),
        }
    }

    pub(super) fn welcomed(&mut self, now: Millis, role: Role, answer: Option<HelloAnswer>) {
        let life = self.life(process_of(role));
        let Some(HelloAnswer::Welcome { store_id, heartbeat_ms, superseded, .. }) = answer else {
            return self.later(HELLO_AGAIN, Later::Hello { role, life });
        };
        match role {
            Role::Supervisor | Role::Unknown => {
                if let Some(supervisor) = &mut self.supervisor {
                    (supervisor.welcomed, supervisor.heartbeat) = (true, heartbeat_ms);
                }
            }
            Role::Worker => self.feed(now, Input::Welcomed { store_id, superseded }),
        }
    }

    pub(super) fn say_hello(&mut self, wall: u64, role: Role) {
        let (instance, held) = match role {
            Role::Supervisor | Role::Unknown => {
                let Some(supervisor) = &self.supervisor else { return };
                (supervisor.instance.clone(), None)
            }
            Role::Worker => {
                let Some(worker) = self.worker.as_ref().filter(|_| !self.hung) else { return };
                (worker.instance.clone(), Some(worker.core.held()))
            }
        };
        let lives = |d: &OnDisk| matches!(d.standing, AttemptStanding::Waiting | AttemptStanding::Running { .. });
        let on_disk =
            |wanted: bool| self.disk.attempts.iter().filter(move |(_, d)| lives(d) == wanted).map(|(f, _)| *f);
        let seen = self.disk.seen.clone();
        let hello = Hello {
            instance,
            supervisor: self.supervisor.as_ref().filter(|_| role == Role::Worker).map(|life| life.instance.clone()),
            role,
            name: self.name.clone(),
            agent_version: self.version.to_owned(),
            proto_min: 1,
            proto_max: 1,
            store_id: held.as_ref().map_or_else(|| seen.as_ref().map(|(_, s)| s.clone()), |held| held.store_id.clone()),
            machine: MachineFacts {
                hostname: self.name.clone(),
                arch: "amd64".to_owned(),
                cores: self.cores,
                ram_bytes: self.ram,
                drone_type: self.kind,
                boot_id: format!("boot-{}", self.boot),
                ..MachineFacts::default()
            },
            portage: PortageState {
                version: "3.0.83".to_owned(),
                build_profile: "default".to_owned(),
                profile: "default/linux/amd64/23.0".to_owned(),
                chost: "x86_64-pc-linux-gnu".to_owned(),
                cflags: "-O2".to_owned(),
                installed_hash: "base".to_owned(),
                tree: self.tree_state(),
                ..PortageState::default()
            },
            tags: Vec::new(),
            slots: 1,
            orders_seen: held.as_ref().map_or_else(|| seen.as_ref().map_or(0, |(n, _)| *n), |held| held.orders_seen),
            running: held.as_ref().map_or_else(|| on_disk(true).collect(), |held| held.running.clone()),
            finished: held.as_ref().map_or_else(|| on_disk(false).collect(), |held| held.finished.clone()),
            ..Hello::default()
        };
        let ask = self.ask(process_of(role), Asked::Hello(role), 5 * SECOND);
        self.report(ReportKind::Hello, "report.hello", wall, &hello, Some(ask));
    }

    pub(super) fn ask_for_ticket(&mut self, wall: u64, fence: Fence, sha256: String) {
        let Some(worker) = self.worker.as_ref() else { return };
        if !worker.uploads.contains_key(&(fence, sha256.clone())) {
            return;
        }
        let (instance, on_disk) = (worker.instance.clone(), self.disk.attempts.get(&fence));
        let made = self.disk.results.get(&fence).and_then(|r| r.artifacts.iter().find(|a| a.sha256 == sha256)).cloned();
        let (Some(on_disk), Some(artifact)) = (on_disk, made) else { return };
        let ask = ArtifactAsk { instance, store_id: on_disk.store_id.clone(), fence, artifact };
        let number = self.ask(Process::Worker, Asked::Ticket { fence, sha256 }, 15 * SECOND);
        self.report(ReportKind::Artifact, "report.artifact", wall, &ask, Some(number));
    }

    pub(super) fn ticket(&mut self, now: Millis, fence: Fence, sha256: String, answer: ArtifactAnswer) {
        let outcome = match answer {
            ArtifactAnswer::Ticket { artifact, token, .. } => {
                let file = self.disk.results.get(&fence).and_then(|r| r.artifacts.iter().find(|a| a.sha256 == sha256));
                let Some(file) = file.cloned() else { return };
                let ask = self.ask(Process::Worker, Asked::Put { fence, sha256 }, MINUTE);
                return self.wants.push(Want::Put { artifact, token, file, ask });
            }
            ArtifactAnswer::Have {} => Uploaded::Done,
            ArtifactAnswer::Superseded { .. } => Uploaded::Superseded,
            ArtifactAnswer::Refused { .. } | ArtifactAnswer::Unknown => {
                return self.put_over(now, fence, sha256, false);
            }
        };
        self.upload_ends(now, fence, sha256, outcome);
    }

    pub(super) fn put_over(&mut self, now: Millis, fence: Fence, sha256: String, taken: bool) {
        if taken {
            return self.upload_ends(now, fence, sha256, Uploaded::Done);
        }
        let life = self.lives.1;
        let Some(worker) = &mut self.worker else { return };
        let Some(tries) = worker.uploads.get_mut(&(fence, sha256.clone())) else { return };
        *tries += 1;
        match BETWEEN_TRIES.get(*tries - 1).copied() {
            Some(wait) if *tries < BETWEEN_TRIES.len() => self.later(wait, Later::Ticket { life, fence, sha256 }),
            _ => {
                let message = "uploading failed three times".to_owned();
                self.upload_ends(now, fence, sha256, Uploaded::Failed { message });
            }
        }
    }

    pub(super) fn upload_ends(&mut self, now: Millis, fence: Fence, sha256: String, outcome: Uploaded) {
        let Some(worker) = &mut self.worker else { return };
        if worker.uploads.remove(&(fence, sha256.clone())).is_some() {
            self.feed(now, Input::Uploaded { fence, sha256, outcome });
        }
    }

    pub(super) fn deliver(&mut self, wall: u64, plan: PlanId, attempt: u32) {
        if self.hung {
            return self.deliver_again(plan, attempt);
        }
        let Some(worker) = &self.worker else { return };
        let Some((made, store_id)) = worker.plans.get(&(plan, attempt)) else { return };
        let bytes = rmp_serde::to_vec_named(made).expect("a plan can be encoded");
        let chunk = PlanChunk {
            instance: worker.instance.clone(),
            store_id: store_id.clone(),
            plan,
            attempt,
            chunk: 0,
            chunks: 1,
            sha256: String::new(),
            bytes,
        };
        let ask = self.ask(Process::Worker, Asked::Plan { plan, attempt }, REPORT_TIMEOUT);
        self.report(ReportKind::Plan, "report.plan", wall, &chunk, Some(ask));
    }

    pub(super) fn deliver_again(&mut self, plan: PlanId, attempt: u32) {
        let life = self.lives.1;
        self.later(2 * SECOND, Later::Deliver { life, plan, attempt });
    }

    /// A sync is over: the worker tells, until it is heard or has tried often enough.
    pub(super) fn tell_sync(&mut self, now: Millis, wall: u64, number: u64) {
        if self.hung {
            return self.tell_again(number);
        }
        let Some(worker) = &mut self.worker else { return };
        let Some(sync) = worker.syncs.get_mut(&number) else { return };
        if sync.tries == TRIES {
            return self.sync_told(now, number);
        }
        sync.tries += 1;
        let (sync, instance) = (sync.clone(), worker.instance.clone());
        if let Some(tree) = sync.brings {
            self.disk.tree = self.disk.tree.max(tree);
        }
        let report = SyncReport {
            instance,
            store_id: sync.store_id,
            number,
            failure: sync.brings.is_none().then(|| "the mirror does not answer".to_owned()),
            tree: self.tree_state(),
            duration_ms: sync.took,
        };
        let ask = self.ask(Process::Worker, Asked::Sync { number }, REPORT_TIMEOUT);
        self.report(ReportKind::Sync, "report.sync", wall, &report, Some(ask));
    }

    pub(super) fn sync_told(&mut self, now: Millis, number: u64) {
        if let Some(worker) = &mut self.worker {
            worker.syncs.remove(&number);
        }
        self.feed(now, Input::Synced { number });
    }

    pub(super) fn tell_again(&mut self, number: u64) {
        let life = self.lives.1;
        self.later(2 * SECOND, Later::Synced { life, number });
    }

    /// Somebody syncs it by hand.
    pub(crate) fn sync_by_hand(&mut self) {
        self.disk.tree += 1;
    }
}
