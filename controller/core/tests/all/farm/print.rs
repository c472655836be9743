//! Lines of the transcript: one for each input, effect and event.

use swarm_core::answer::UploadAnswer;
use swarm_core::effect::{self, BinhostWork, Ping, WantedLog};
use swarm_core::request::{
    ControlRequest, DroneRequest, EnrolRequest, HealRequest, InvitationRequest, LocalDronesRequest, RemoveRequest,
    RevokeTapperRequest, TapperRequest, TestNoticeRequest, TicketRequest, UninviteRequest, WhyRequest, WishRequest,
    WrongProofRequest,
};
use swarm_core::{Answer, Effect, Input, Request};
use swarm_protocol::DroneId;
use swarm_protocol::artifact::ArtifactAnswer;
use swarm_protocol::order::Task;
use swarm_protocol::plan::PlanAnswer;
use swarm_protocol::report::{BuildAnswer, BuildNews, HelloAnswer, SyncAnswer};

use super::{BEGIN, Farm};

impl Farm {
    pub(super) fn print(&mut self, line: &str, effects: &[Effect], first_event: usize) {
        let s = (self.now.at - BEGIN) / 1000;
        let mut text = format!("{}:{:02}:{:02} {line}\n", s / 3600, s / 60 % 60, s % 60);
        for event in &self.events[first_event..] {
            text.push_str(&format!("        ! {}: {}\n", event.kind, event.message));
        }
        for effect in effects.iter().filter(|effect| !matches!(effect, Effect::Ping(_))) {
            text.push_str(&format!("        {}\n", self.effect(effect)));
        }
        self.transcript.push_str(&text);
    }

    fn name(&self, drone: &DroneId) -> String {
        drone.0.strip_prefix("U-").unwrap_or(&drone.0).to_owned()
    }

    pub(super) fn describe(&self, input: &Input) -> String {
        match input {
            Input::Hello { drone, hello, .. } => format!("{}: hello of the {:?}", self.name(drone), hello.role),
            Input::Heartbeat { drone, .. } => format!("{}: heartbeat", self.name(drone)),
            Input::Build { drone, report, .. } => {
                let news = match &report.news {
                    BuildNews::Taken {} => "taken".to_owned(),
                    BuildNews::Started { .. } => "started".to_owned(),
                    BuildNews::Finished { result } => match &result.failure {
                        None => format!("finished, {} package(s)", result.artifacts.len()),
                        Some(failure) => format!("failed, {}: {}", failure.class.name(), failure.message),
                    },
                    BuildNews::Dropped { reason } => format!("dropped: {reason}"),
                    BuildNews::Refused { failure } => {
                        format!("refused, {}: {}", failure.class.name(), failure.message)
                    }
                    BuildNews::Unknown => "unknown news".to_owned(),
                };
                format!("{}: {} {news}", self.name(drone), report.fence)
            }
            Input::Artifact { drone, ask, .. } => {
                format!("{}: {} wants to upload {}", self.name(drone), ask.fence, ask.artifact.cpv)
            }
            Input::Planned { drone, plan, attempt, result, .. } => {
                let what = match &result.complaint {
                    Some(complaint) => format!("{:?}", complaint.kind),
                    None => result.packages.iter().map(|p| p.cpv.clone()).collect::<Vec<_>>().join(" "),
                };
                format!("{}: plan {plan}.{attempt} is {what}", self.name(drone))
            }
            Input::Synced { drone, report, .. } => {
                let how = report.failure.clone().unwrap_or_else(|| "well".to_owned());
                format!("{}: sync ended {how}, it has {}", self.name(drone), report.tree.id)
            }
            Input::Request { actor, request, .. } => format!("{actor}: {}", describe_request(request)),
            Input::Uploaded { artifact, file, .. } => format!("upload {artifact} is here: {}", file.cpv),
            Input::Signed { artifact, .. } => format!("artifact {artifact} is signed"),
            Input::SigningFailed { artifact, reason } => format!("artifact {artifact} is not signed: {reason}"),
            Input::PackageRemoved { artifact } => format!("the file of artifact {artifact} is gone"),
            Input::RemovalFailed { artifact, reason } => {
                format!("the file of artifact {artifact} could not be removed: {reason}")
            }
            Input::IndexWritten { index, timestamp } => format!("index {index} {timestamp} is written"),
            Input::IndexFailed { index, reason } => format!("index {index} is not written: {reason}"),
            Input::LogStored { fence, complete } => format!("log of {fence} is stored, complete: {complete}"),
            Input::Pong { drone, .. } => format!("{}: pong", self.name(drone)),
            Input::PingLost { drone, .. } => format!("{}: ping missed", self.name(drone)),
            Input::Escalated { drone, generation, outcome } => {
                format!("{}: order {generation} of the ladder: {outcome:?}", self.name(drone))
            }
            Input::Notified { notice, failed, .. } if failed.is_empty() => format!("everybody has notice {notice}"),
            Input::Notified { notice, failed, .. } => format!("notice {notice} did not arrive: {failed:?}"),
            Input::Flood { drone, dropped } => format!("{} floods, {dropped} dropped", self.name(drone)),
        }
    }

    fn effect(&self, effect: &Effect) -> String {
        match effect {
            Effect::Reply { answer, .. } => format!("= {}", describe_answer(answer)),
            Effect::Order { drone, order } => {
                let what = match &order.task {
                    Task::Build { job } => {
                        let flags =
                            if job.use_flags.is_empty() { String::new() } else { format!(" {:?}", job.use_flags) };
                        format!("build {} ={}{flags}, index {}", job.fence, job.cpv, job.min_index_timestamp)
                    }
                    Task::Cancel { fence, reason } => format!("cancel {fence}: {reason}"),
                    Task::Release { fence, .. } => format!("release {fence}, unless it has begun"),
                    Task::Sync { job } => format!("sync, {} is expected", job.expected.id),
                    Task::Plan { job } => {
                        format!("plan {}.{} {:?} {:?}", job.plan, job.attempt, job.atoms, job.package_use)
                    }
                    other => format!("{other:?}"),
                };
                format!("-> {} #{}: {what}", self.name(drone), order.number)
            }
            Effect::Binhost(BinhostWork::Sign { artifact, path, restricted, .. }) => {
                format!("sign {artifact} as {path}{}", if *restricted { ", restricted" } else { "" })
            }
            Effect::Binhost(BinhostWork::WriteIndex { index, timestamp, add, remove, .. }) => {
                let gone = if remove.is_empty() { String::new() } else { format!(", {} gone", remove.len()) };
                format!("write index {index} {timestamp}, {} new{gone}", add.len())
            }
            Effect::Binhost(BinhostWork::RemovePackage { artifact, path, .. }) => {
                format!("remove the file of {artifact}, {path}")
            }
            Effect::Binhost(BinhostWork::DropUpload { artifact }) => format!("drop upload {artifact}"),
            Effect::CompleteLog(WantedLog { fence, drone, bytes }) => {
                format!("fetch log of {fence} from {}, {bytes} bytes", self.name(drone))
            }
            Effect::Ping(Ping { drone, seq, .. }) => format!("ping {} #{seq}", self.name(drone)),
            Effect::Escalate(effect::Escalation { drone, generation, rung, route, .. }) => {
                format!("-> {} {}: {} by {route:?}", self.name(drone), generation, rung.name())
            }
            Effect::Notify(notice) => format!("notice {} ({}): {}", notice.id, notice.kind.name(), notice.subject),
            Effect::TrimHistory { up_to } => format!("trim history up to {up_to}"),
        }
    }
}

fn describe_request(request: &Request) -> String {
    match request {
        Request::Queue(queue) => {
            let mut text = format!("queue {}", queue.packages.join(" "));
            for (what, value) in [("session", &queue.session_name), ("key", &queue.idempotency_key)] {
                if let Some(value) = value {
                    text.push_str(&format!(", {what} {value}"));
                }
            }
            if !queue.package_use.is_empty() {
                text.push_str(&format!(", use {:?}", queue.package_use));
            }
            if queue.rebuild {
                text.push_str(", rebuild");
            }
            if queue.fresh {
                text.push_str(", fresh");
            }
            text
        }
        Request::Remove(RemoveRequest { package }) => format!("remove {package}"),
        Request::Control(ControlRequest { action, package, drone }) => {
            let target = package.iter().chain(drone).map(|name| format!(" {name}")).collect::<String>();
            format!("{action:?}{target}")
        }
        Request::Drone(DroneRequest { drone, action }) => format!("{action:?} drone {drone}"),
        Request::Heal(HealRequest { drone, action }) => format!("{action:?} {drone}"),
        Request::Wish(WishRequest { drone, wishes }) => format!("wishes for {drone}: {wishes:?}"),
        Request::TestNotice(TestNoticeRequest {}) => "test notice".to_owned(),
        Request::Why(WhyRequest { package }) => format!("why {package}"),
        Request::Configure(change) => format!("{} becomes {}", change.key, change.after),
        Request::Pin(request) => format!("{request:?}"),
        Request::Unpublish(request) => format!("{request:?}"),
        Request::Collect(request) => format!("{request:?}"),
        Request::Import(request) => format!("{request:?}"),
        Request::Damaged(request) => format!("{request:?}"),
        Request::Reindex(request) => format!("{request:?}"),
        Request::Ticket(TicketRequest { artifact }) => format!("ticket of {artifact}"),
        Request::Invite(invite) => format!("invite {} as {}", invite.name, invite.id),
        Request::Uninvite(UninviteRequest { which }) => format!("take back {which}"),
        Request::Invitation(InvitationRequest { id }) => format!("verifier of {id}"),
        Request::WrongProof(WrongProofRequest { invitation }) => format!("wrong proof for {invitation}"),
        Request::Enrol(EnrolRequest { invitation, drone }) => format!("enrol {drone} by {invitation}"),
        Request::LocalDrones(LocalDronesRequest { drones }) => {
            format!("local drones: {}", drones.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(" "))
        }
        Request::Tapper(TapperRequest { id, name }) => format!("tapper {name} with {id}"),
        Request::RevokeTapper(RevokeTapperRequest { name }) => format!("revoke tapper {name}"),
    }
}

fn describe_answer(answer: &Answer) -> String {
    match answer {
        Answer::Hello(HelloAnswer::Welcome { superseded, .. }) if superseded.is_empty() => "welcome".to_owned(),
        Answer::Hello(HelloAnswer::Welcome { superseded, .. }) => {
            let fences: Vec<String> = superseded.iter().map(ToString::to_string).collect();
            format!("welcome, superseded: {}", fences.join(" "))
        }
        Answer::Hello(HelloAnswer::Refused { reason, hint }) => format!("refused: {reason} ({hint})"),
        Answer::Hello(HelloAnswer::Unknown) => "unknown".to_owned(),
        Answer::Build(answer) => match answer {
            BuildAnswer::Durable {} => "durable".to_owned(),
            BuildAnswer::Superseded { reason } => format!("superseded: {reason}"),
            BuildAnswer::Pending { .. } => "ask again".to_owned(),
            BuildAnswer::NeedArtifacts { sha256 } => format!("{} package(s) must be uploaded", sha256.len()),
            BuildAnswer::NotUnderstood { reason } => format!("not understood: {reason}"),
            BuildAnswer::Unknown => "unknown".to_owned(),
        },
        Answer::Artifact(answer) => match answer {
            ArtifactAnswer::Ticket { artifact, .. } => format!("ticket for {artifact}"),
            ArtifactAnswer::Have {} => "have it".to_owned(),
            ArtifactAnswer::Superseded { reason } | ArtifactAnswer::Refused { reason } => format!("no: {reason}"),
            ArtifactAnswer::Unknown => "unknown".to_owned(),
        },
        Answer::Plan(answer) => match answer {
            PlanAnswer::Durable {} | PlanAnswer::Next {} => "durable".to_owned(),
            PlanAnswer::Superseded { reason } => format!("superseded: {reason}"),
            PlanAnswer::Refused { reason } => format!("refused: {reason}"),
            PlanAnswer::Unknown => "unknown".to_owned(),
        },
        Answer::Sync(answer) => match answer {
            SyncAnswer::Durable {} => "durable".to_owned(),
            SyncAnswer::Superseded { reason } => format!("superseded: {reason}"),
            SyncAnswer::Unknown => "unknown".to_owned(),
        },
        Answer::Queued(queued) => {
            let twice = if queued.duplicates.is_empty() {
                String::new()
            } else {
                format!("; waiting already: {}", queued.duplicates.join(" "))
            };
            format!("session {} ({}): {}{twice}", queued.session, queued.session_name, queued.packages.join(" "))
        }
        Answer::Done(done) => format!("{} touched: {}", done.touched, done.what.join(" ")),
        Answer::Why(all) => {
            let mut lines = Vec::new();
            for why in all {
                lines.push(format!("{} is {}: {}", why.package, why.state, why.summary));
                lines.extend(why.reasons.iter().map(|reason| format!("          because {reason}")));
                for need in &why.waiting_for {
                    lines.push(format!("          waits for {} ({})", need.package, need.state));
                }
                for drone in &why.drones {
                    let against: Vec<String> =
                        drone.against.iter().map(|r| format!("{}: {}", r.rule.name(), r.text)).collect();
                    let against = if against.is_empty() { "may".to_owned() } else { against.join("; ") };
                    lines.push(format!("          {}: {against}", drone.name));
                }
            }
            lines.join("\n")
        }
        Answer::Healed(healed) => match healed.generation {
            Some(generation) => format!("order {generation} to {}", healed.name),
            None => format!("{} was at level {}", healed.name, healed.previous_level),
        },
        Answer::Collected(collected) => format!("{} collected, {} waiting", collected.count, collected.waiting),
        Answer::Import(answer) => format!("{answer:?}"),
        Answer::Ticket(ticket) => format!("{ticket:?}"),
        Answer::Invited(row) => format!("invitation {} for {}", row.id, row.name),
        Answer::Verifier(key) => format!("verifier {}", key.0),
        Answer::Enrolled(enrolled) => format!("{} is in as {}", enrolled.name, enrolled.drone),
        Answer::Upload(UploadAnswer::Taken {}) => "taken".to_owned(),
        Answer::Upload(UploadAnswer::Refused { reason }) => format!("not taken: {reason}"),
        Answer::Refused(refusal) => {
            format!("refused, {:?}: {} ({})", refusal.kind, refusal.error, refusal.hint.as_deref().unwrap_or("no hint"))
        }
    }
}
