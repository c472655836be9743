//! The controller's doors and hands: reports and uploads that reach it, and what it wants of the world.

use super::*;
use swarm_core::answer::UploadAnswer;
use swarm_core::request::TicketRequest;

impl World {
    pub(super) fn report(&mut self, drone: usize, kind: ReportKind, bytes: &[u8], ask: Option<u64>) {
        if !self.controller.is_up() || self.network.down {
            return;
        }
        let id = self.machines[drone].id.clone();
        let input = match (kind, ask) {
            (ReportKind::Heartbeat, _) => {
                let Ok(beat) = open::<Heartbeat>(bytes) else { return };
                Input::Heartbeat { drone: id, beat: Box::new(beat.body) }
            }
            (kind, Some(ask)) => {
                let reply = self.controller.expect(Waiter::Drone { drone, ask });
                match kind {
                    ReportKind::Hello => {
                        let Ok(hello) = open::<Hello>(bytes) else { return };
                        Input::Hello { drone: id, hello: Box::new(hello.body), reply }
                    }
                    ReportKind::Build => {
                        let Ok(report) = open::<BuildReport>(bytes) else { return };
                        Input::Build { drone: id, report: Box::new(report.body), reply }
                    }
                    ReportKind::Artifact => {
                        let Ok(ask) = open::<ArtifactAsk>(bytes) else { return };
                        let token = format!("{:016x}", self.hands.below(u64::MAX));
                        Input::Artifact { drone: id, ask: Box::new(ask.body), token, reply }
                    }
                    ReportKind::Plan => {
                        let Ok(chunk) = open::<PlanChunk>(bytes) else { return };
                        let chunk = chunk.body;
                        let Ok(plan) = rmp_serde::from_slice(&chunk.bytes) else { return };
                        let (plan_id, attempt) = (chunk.plan, chunk.attempt);
                        Input::Planned { drone: id, plan: plan_id, attempt, result: Box::new(plan), reply }
                    }
                    ReportKind::Sync => {
                        let Ok(report) = open::<SyncReport>(bytes) else { return };
                        Input::Synced { drone: id, report: Box::new(report.body), reply }
                    }
                    ReportKind::Heartbeat => return,
                }
            }
            (_, None) => return,
        };
        self.handle(input);
    }

    /// An upload arrives: the ticket is looked at, then the file is taken.
    pub(super) fn put(&mut self, drone: usize, artifact: ArtifactId, token: &str, file: &ArtifactRef, ask: u64) {
        if !self.controller.is_up() {
            return;
        }
        let reply = self.controller.expect(Waiter::Person);
        let out = self.controller.handle(
            self.now,
            Input::Request { actor: "upload".to_owned(), request: Request::Ticket(TicketRequest { artifact }), reply },
            Crash::No,
        );
        let good = out.iter().any(|out| match out {
            Out::Answer { answer, .. } => {
                matches!(&**answer, Answer::Ticket(ticket) if ticket.token == token && ticket.sha256 == file.sha256)
            }
            _ => false,
        });
        self.release(out);
        if !good {
            let bytes = vec![0];
            return self.answer_drone(drone, ask, bytes);
        }
        let reply = self.controller.expect(Waiter::Put { drone, ask });
        self.handle(Input::Uploaded { artifact, file: controller::uploaded(file), reply });
    }

    pub(super) fn person(&mut self, request: Request) {
        if !self.controller.is_up() {
            // people try again
            let event = Event::Person { request: Box::new(request) };
            return self.at(self.now + 20 * SECOND, event);
        }
        let reply = self.controller.expect(Waiter::Person);
        self.handle(Input::Request { actor: "kim".to_owned(), request, reply });
    }

    pub(super) fn handle(&mut self, input: Input) {
        let crash = self.crash_now();
        let out = self.controller.handle(self.now, input, crash);
        self.release(out);
        if crash != Crash::No {
            self.at(self.now + self.away, Event::Fault(Fault::Over(Ended::Controller)));
        }
    }

    /// A crash that was decided on happens in the middle of the next batch.
    pub(super) fn crash_now(&mut self) -> Crash {
        match self.armed.take() {
            None => Crash::No,
            Some(_) if !self.controller.is_up() => Crash::No,
            Some(0) => Crash::BeforeCommit,
            Some(1) => Crash::AfterCommit,
            Some(_) => Crash::AfterEffects(usize::try_from(self.hands.below(3)).unwrap_or(0)),
        }
    }

    pub(super) fn arm_wake(&mut self) {
        let Some(at) = self.controller.next_wake() else { return };
        // the engine wakes at most every 10 ms
        let at = at.max(self.now + 10);
        if self.wake.is_none_or(|known| at < known || known < self.now) {
            self.wake = Some(at);
            let life = self.controller.life;
            self.at(at, Event::Wake { life });
        }
    }

    pub(super) fn release(&mut self, outs: Vec<Out>) {
        let life = self.controller.life;
        for out in outs {
            match out {
                Out::Answer { waiter: Waiter::Person, .. } => {}
                Out::Answer { waiter: Waiter::Drone { drone, ask }, answer } => {
                    if let Some(bytes) = sealed(&answer) {
                        self.answer_drone(drone, ask, bytes);
                    }
                }
                Out::Answer { waiter: Waiter::Put { drone, ask }, answer } => {
                    let taken = matches!(*answer, Answer::Upload(UploadAnswer::Taken {}));
                    self.answer_drone(drone, ask, vec![u8::from(taken)]);
                }
                Out::Order { drone, order } => self.send(&drone, &order, 0),
                Out::Ping { drone, seq, within } => self.ping(life, drone, seq, within),
                Out::Escalate { drone, generation, rung, route, within } => {
                    self.escalate(life, drone, generation, rung, route, within);
                }
                Out::Log { fence, drone } => {
                    let reachable = self.drone(&drone).is_some_and(|drone| !self.network.is_cut(drone));
                    let after = if reachable { self.hands.between(20, 900) } else { 60 * SECOND };
                    self.hand(after, life, Input::LogStored { fence, complete: reachable });
                }
                Out::Sign { artifact, build_id, path } => {
                    let after = self.hands.spread(HANDS.0, HANDS.1);
                    let input = if self.plan.weather != Weather::Calm && self.hands.below(60) == 0 {
                        Input::SigningFailed { artifact, reason: "the disk said no".to_owned() }
                    } else {
                        controller::signed(artifact, build_id, path)
                    };
                    self.hand(after, life, input);
                }
                Out::Remove { artifact } => {
                    let after = self.hands.spread(HANDS.0, HANDS.1);
                    let input = if self.plan.weather != Weather::Calm && self.hands.below(60) == 0 {
                        Input::RemovalFailed { artifact, reason: "the disk said no".to_owned() }
                    } else {
                        Input::PackageRemoved { artifact }
                    };
                    self.hand(after, life, input);
                }
                Out::Index { index, timestamp } => {
                    let after = self.hands.spread(HANDS.0, HANDS.1);
                    let input = if self.plan.weather != Weather::Calm && self.hands.below(60) == 0 {
                        Input::IndexFailed { index, reason: "the disk said no".to_owned() }
                    } else {
                        Input::IndexWritten { index, timestamp }
                    };
                    self.hand(after, life, input);
                }
                Out::Notice { notice } => {
                    let failed = if self.hands.below(4) == 0 {
                        vec![("mail".to_owned(), "connection refused".to_owned())]
                    } else {
                        Vec::new()
                    };
                    let delivered = if failed.is_empty() { vec!["mail".to_owned()] } else { Vec::new() };
                    self.hand(SECOND, life, Input::Notified { notice: notice.id, delivered, failed });
                }
            }
        }
    }

    pub(super) fn hand(&mut self, after: Millis, life: u32, input: Input) {
        self.at(self.now + after, Event::Hand { life, input: Box::new(input) });
    }

    pub(super) fn drone(&self, id: &DroneId) -> Option<usize> {
        self.places.get(id).copied()
    }

    pub(super) fn answer_drone(&mut self, drone: usize, ask: u64, bytes: Vec<u8>) {
        for delay in self.network.route(drone, Way::Down) {
            self.at(self.now + delay, Event::Answer { drone, ask, bytes: bytes.clone() });
        }
    }

    pub(super) fn send(&mut self, drone: &DroneId, order: &Order, reply: u64) {
        let Some(index) = self.drone(drone) else { return };
        let kind = format!("order.{}", order.task.token());
        let bytes = encode(&Envelope::new(kind, order.number, self.controller.wall(self.now), order));
        let bytes = bytes.expect("an order fits a message");
        for delay in self.network.route(index, Way::Down) {
            self.at(self.now + delay, Event::Order { drone: index, bytes: bytes.clone(), reply });
        }
    }

    pub(super) fn ask_supervisor(&mut self, drone: &DroneId, task: Task, within: Millis, pending: Pending) {
        self.next_order += 1;
        let reply = self.next_order;
        self.pending.insert(reply, pending);
        let (store_id, instance) = (StoreId::from("store-1"), InstanceId::default());
        self.send(drone, &Order { number: 0, store_id, instance, task }, reply);
        self.at(self.now + within, Event::OrderTimeout { reply });
    }

    pub(super) fn ping(&mut self, life: u32, drone: DroneId, seq: u64, within: Millis) {
        let Some(index) = self.drone(&drone) else { return };
        if self.network.down || !self.machines[index].up {
            let (why, after) = controller::lost(true, self.network.down, within);
            return self.hand(after, life, Input::PingLost { drone, seq, why });
        }
        let task = Task::Ping { seq, sent_at: self.controller.wall(self.now) };
        let pending = Pending::Ping { life, drone: drone.clone(), seq, sent: self.now };
        self.ask_supervisor(&drone, task, within, pending);
    }

    pub(super) fn escalate(
        &mut self,
        life: u32,
        drone: DroneId,
        generation: u64,
        rung: Rung,
        route: Route,
        within: Millis,
    ) {
        let Some(index) = self.drone(&drone) else { return };
        let checked = check::escalation(&self.controller, &mut self.machines[index], rung, self.now);
        self.judge(checked);
        let (now, cut) = (self.now, self.network.is_cut(index));
        let machine = &mut self.machines[index];
        let outcome = match route {
            Route::Bus {} => {
                let reason = "trouble".to_owned();
                let pending = Pending::Escalate { life, drone: drone.clone(), generation };
                return self.ask_supervisor(&drone, Task::Escalate { rung, reason, generation }, within, pending);
            }
            Route::Ssh { .. } if machine.up && !cut => told(machine.escalate(now, rung, 0)),
            Route::Ssh { .. } => controller::unreachable(),
            Route::Hypervisor { .. } if machine.up => {
                machine.reboot();
                RouteOutcome::Done { detail: "rebooted".to_owned() }
            }
            Route::Hypervisor { .. } => {
                machine.boot_later(20 * SECOND);
                RouteOutcome::Done { detail: "started".to_owned() }
            }
        };
        self.serve(index);
        self.hand(2 * SECOND, life, Input::Escalated { drone, generation, outcome });
    }

    pub(super) fn order_answered(&mut self, bytes: &[u8], reply: u64) {
        let Some(pending) = self.pending.remove(&reply) else { return };
        let Ok(answer) = open::<OrderAnswer>(bytes).map(|envelope| envelope.body) else { return };
        match (pending, answer) {
            (
                Pending::Ping { life, drone, seq, sent },
                OrderAnswer::Pong { instance, at, vitals, worker, attempts, .. },
            ) => {
                let middle = self.controller.wall(sent + (self.now - sent) / 2);
                let attempts = attempts.iter().map(|status| status.fence).collect();
                let pong = Box::new(Pong { instance, at, middle, vitals, worker, attempts });
                let latency_us = (self.now - sent) * 1_000;
                self.hand(0, life, Input::Pong { drone, seq, latency_us, pong });
            }
            (Pending::Escalate { life, drone, generation }, OrderAnswer::Escalated { outcome, .. }) => {
                self.hand(0, life, Input::Escalated { drone, generation, outcome: told(outcome) });
            }
            (Pending::Escalate { life, drone, generation }, OrderAnswer::NotUnderstood { reason }) => {
                let outcome = RouteOutcome::Failed { detail: reason };
                self.hand(0, life, Input::Escalated { drone, generation, outcome });
            }
            (Pending::Ping { life, drone, seq, .. }, _) => {
                self.hand(0, life, Input::PingLost { drone, seq, why: swarm_core::input::PingLoss::Nonsense });
            }
            (Pending::Escalate { .. }, _) => {}
        }
    }

    pub(super) fn order_lost(&mut self, reply: u64) {
        match self.pending.remove(&reply) {
            Some(Pending::Ping { life, drone, seq, .. }) => {
                let (why, _) = controller::lost(false, self.network.down, 0);
                self.hand(0, life, Input::PingLost { drone, seq, why });
            }
            Some(Pending::Escalate { life, drone, generation }) => {
                self.hand(0, life, Input::Escalated { drone, generation, outcome: RouteOutcome::TimedOut {} });
            }
            None => {}
        }
    }
}
