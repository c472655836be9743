//! The link against a real server, with a pretended engine and drones that speak for themselves.

mod pings;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use futures::StreamExt;
use futures::future::BoxFuture;
use swarm_core::tell::Stopped;
use swarm_core::view::{DroneView, Presence};
use swarm_core::{Answer, Input, ReplyTo, Tell, View};
use swarm_protocol::envelope::{Envelope, encode, open};
use swarm_protocol::log::LogChunk;
use swarm_protocol::machine::{Vitals, WorkerState};
use swarm_protocol::order::{Order, OrderAnswer, Task};
use swarm_protocol::plan::{Plan, PlanAnswer, PlanChunk};
use swarm_protocol::report::{BuildAnswer, BuildNews, BuildReport, Heartbeat, Hello, HelloAnswer, Role};
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{Attempt, BuildId, Fence, PlanId};
use tokio::sync::watch;
use tokio::time::timeout;

use super::*;
use crate::bus::server::tests::{PREFIX, TestBus, Tried, settled, until};
use crate::engine::{AskError, MakeInput, Outlet, SentOrder};
use crate::logs::{Holds, LogBounds, LogCollector};

const SOON: Duration = Duration::from_secs(20);

/// An engine that answers everything kindly and remembers what it was given.
#[derive(Default)]
struct Engine {
    full: AtomicBool,
    /// It takes what it is asked and never answers.
    silent: AtomicBool,
    heard: Mutex<Vec<Input>>,
    view: ArcSwap<View>,
}

impl Engine {
    fn heard(&self) -> Vec<Input> {
        self.heard.lock().unwrap().clone()
    }

    fn keep(&self, input: Input) {
        self.heard.lock().unwrap().push(input);
    }

    /// A drone is not known any more.
    fn forgets(&self, drone: &DroneId) {
        let mut view = View::clone(&self.view.load());
        view.drones.remove(drone);
        self.view.store(Arc::new(view));
    }

    /// A drone's supervisor was welcomed.
    fn knows(&self, drone: &DroneId, supervisor: &str) {
        let mut view = View::clone(&self.view.load());
        let mut known = DroneView::clone(&crate::http::tests::world::drone(drone.as_str(), "one", Presence::Online));
        Arc::make_mut(&mut known.row).supervisor = InstanceId::from(supervisor);
        view.drones.insert(drone.clone(), Arc::new(known));
        self.view.store(Arc::new(view));
    }
}

impl Tell for Engine {
    fn offer(&self, input: Input) -> bool {
        if self.full.load(Relaxed) {
            return false;
        }
        self.keep(input);
        true
    }

    fn tell(&self, input: Input) -> BoxFuture<'_, ()> {
        self.keep(input);
        Box::pin(std::future::ready(()))
    }

    fn tell_blocking(&self, input: Input) -> Result<(), Stopped> {
        self.keep(input);
        Ok(())
    }
}

impl crate::engine::Engine for Engine {
    fn answer(&self, make: MakeInput) -> BoxFuture<'_, Result<Answer, AskError>> {
        let input = make(ReplyTo(1));
        let answer = match &input {
            Input::Hello { .. } => {
                Ok(Answer::Hello(HelloAnswer::Refused { reason: "heard you".to_owned(), hint: String::new() }))
            }
            Input::Build { .. } => Ok(Answer::Build(BuildAnswer::Durable {})),
            Input::Planned { .. } => Ok(Answer::Plan(PlanAnswer::Durable {})),
            _ => Err(AskError::Stopped),
        };
        self.keep(input);
        let silent = self.silent.load(Relaxed);
        Box::pin(async move {
            // a way through queues, as the real one's: the runtime counts them, and lets others go first
            for _ in 0..8 {
                tokio::task::consume_budget().await;
            }
            if silent { std::future::pending().await } else { answer }
        })
    }

    fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    fn events(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    fn pulse(&self, _: Duration) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(true))
    }
}

struct Bench {
    bus: TestBus,
    link: Link,
    orders: Outlet<SentOrder>,
    engine: Arc<Engine>,
    chunks: Arc<Mutex<Vec<(DroneId, LogChunk)>>>,
    subjects: Subjects,
}

impl Bench {
    async fn start(drones: &[&str]) -> Self {
        let bus = TestBus::start(drones).await;
        let subjects = Subjects::new(PREFIX);
        let link = Link::connect(LinkSettings {
            url: bus.url(),
            ca: Some(bus.ca()),
            credentials: bus.controller.clone(),
            subjects: subjects.clone(),
            store_id: StoreId::from("test-store"),
        })
        .await
        .unwrap();
        let (engine, chunks) = (Arc::new(Engine::default()), Arc::new(Mutex::new(Vec::new())));
        let sink = chunks.clone();
        let sink: ChunkSink = Arc::new(move |drone, chunk| sink.lock().unwrap().push((drone, chunk)));
        link.listen(engine.clone(), sink).await.unwrap();
        let (orders, work) = Outlet::new(64, "an order waits");
        link.carry_out(work);
        Self { bus, link, orders, engine, chunks, subjects }
    }

    async fn drone(&mut self, name: &str) -> Drone {
        let user = self.bus.enrol(name);
        let tried = self.bus.client(&user).await;
        self.engine.knows(&DroneId(user.id.clone()), "run-1");
        Drone { id: DroneId(user.id), tried, subjects: self.subjects.clone() }
    }

    async fn counted(&self, what: &str, counter: impl Fn(&LinkCounters) -> &AtomicU64, count: u64) {
        until(&format!("{what} is {count}"), async || counter(self.link.counters()).load(Relaxed) == count).await;
    }
}

struct Drone {
    id: DroneId,
    tried: Tried,
    subjects: Subjects,
}

impl Drone {
    fn client(&self) -> &Client {
        &self.tried.client
    }

    async fn publish(&self, kind: ReportKind, body: Vec<u8>) {
        self.client().publish(self.subjects.report(&self.id, kind), body.into()).await.unwrap();
    }

    async fn request<B: serde::Serialize, A: serde::de::DeserializeOwned>(&self, kind: ReportKind, body: B) -> A {
        let body = encode(&Envelope::new("report", 1, 2, body)).unwrap();
        let asked = self.client().request(self.subjects.report(&self.id, kind), body.into());
        let answer = timeout(SOON, asked).await.unwrap().unwrap();
        open::<A>(&answer.payload).unwrap().body
    }
}

fn hello() -> Hello {
    Hello { instance: InstanceId::from("run-1"), role: Role::Supervisor, name: "alpha".to_owned(), ..Hello::default() }
}

fn report(news: BuildNews) -> BuildReport {
    let fence = Fence { build: BuildId(7), attempt: Attempt(1) };
    BuildReport { instance: InstanceId::from("w"), store_id: StoreId::from("test-store"), fence, number: 1, news }
}

#[tokio::test]
async fn a_report_reaches_the_engine_under_the_name_of_its_subject_and_is_answered() {
    let mut bench = Bench::start(&["alpha"]).await;
    let alpha = bench.drone("alpha").await;
    let answer: HelloAnswer = alpha.request(ReportKind::Hello, hello()).await;
    assert_eq!(answer, HelloAnswer::Refused { reason: "heard you".to_owned(), hint: String::new() });
    let answer: BuildAnswer = alpha.request(ReportKind::Build, report(BuildNews::Taken {})).await;
    assert_eq!(answer, BuildAnswer::Durable {});
    let heard = bench.engine.heard();
    let expected = Input::Hello { drone: alpha.id.clone(), hello: Box::new(hello()), reply: ReplyTo(1) };
    assert_eq!(heard[0], expected);
    assert!(matches!(&heard[1], Input::Build { drone, report, .. } if *drone == alpha.id && report.fence.build.0 == 7));
}

#[tokio::test]
async fn heartbeats_are_shed_and_counted_when_the_engine_is_full_and_requests_still_pass() {
    let mut bench = Bench::start(&["alpha"]).await;
    let alpha = bench.drone("alpha").await;
    let beat = encode(&Envelope::new("report.heartbeat", 1, 2, Heartbeat { seq: 9, ..Heartbeat::default() })).unwrap();
    alpha.publish(ReportKind::Heartbeat, beat.clone()).await;
    until("the heartbeat is in", async || bench.engine.heard().len() == 1).await;
    bench.engine.full.store(true, Relaxed);
    for _ in 0..3 {
        alpha.publish(ReportKind::Heartbeat, beat.clone()).await;
    }
    bench.counted("shed heartbeats", |counters| &counters.shed_heartbeats, 3).await;
    let answer: BuildAnswer = alpha.request(ReportKind::Build, report(BuildNews::Taken {})).await;
    assert_eq!(answer, BuildAnswer::Durable {});
}

#[tokio::test]
async fn results_of_a_large_fleet_wait_together_and_hold_up_nothing() {
    let names: Vec<String> = (1..=80).map(|n| format!("d{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::start(&names).await;
    bench.engine.silent.store(true, Relaxed);
    let body = encode(&Envelope::new("report.build", 1, 2, report(BuildNews::Taken {}))).unwrap();
    // all at once: nobody reads while they speak
    let burst = async |bench: &mut Bench| {
        for name in &names {
            let drone = bench.drone(name).await;
            let (subject, inbox) = (drone.subjects.report(&drone.id, ReportKind::Build), drone.client().new_inbox());
            for _ in 0..60 {
                drone.client().publish_with_reply(subject.clone(), inbox.clone(), body.clone().into()).await.unwrap();
            }
            settled(drone.client(), format!("{PREFIX}.log.{}.unserved", drone.id)).await;
        }
    };
    let elsewhere = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::scope(|scope| scope.spawn(|| elsewhere().block_on(burst(&mut bench))).join().unwrap());
    until("all of them wait for the engine", async || bench.engine.heard().len() == 80 * 60).await;
    assert_eq!(bench.link.counters().shed_requests.load(Relaxed), 0);
    bench.engine.silent.store(false, Relaxed);
    let last = bench.drone("d01").await;
    let answer: BuildAnswer = last.request(ReportKind::Build, report(BuildNews::Taken {})).await;
    assert_eq!(answer, BuildAnswer::Durable {});
}

#[tokio::test]
async fn one_drone_has_a_bounded_number_of_requests_in_our_hands() {
    let mut bench = Bench::start(&["alpha", "beta"]).await;
    bench.engine.silent.store(true, Relaxed);
    let alpha = bench.drone("alpha").await;
    let body = encode(&Envelope::new("report.build", 1, 2, report(BuildNews::Taken {}))).unwrap();
    let (subject, inbox) = (alpha.subjects.report(&alpha.id, ReportKind::Build), alpha.client().new_inbox());
    for _ in 0..70 {
        alpha.client().publish_with_reply(subject.clone(), inbox.clone(), body.clone().into()).await.unwrap();
    }
    bench.counted("shed requests", |counters| &counters.shed_requests, 6).await;
    until("the others wait for the engine", async || bench.engine.heard().len() == 64).await;
    // other drones are served as ever
    bench.engine.silent.store(false, Relaxed);
    let beta = bench.drone("beta").await;
    let answer: BuildAnswer = beta.request(ReportKind::Build, report(BuildNews::Taken {})).await;
    assert_eq!(answer, BuildAnswer::Durable {});
}

#[tokio::test]
async fn what_cannot_be_read_is_counted_and_dropped_and_harms_nobody() {
    let mut bench = Bench::start(&["alpha"]).await;
    let alpha = bench.drone("alpha").await;
    let inbox = alpha.client().new_inbox();
    for kind in ReportKind::ALL {
        let mut trailing = encode(&Envelope::new("x", 1, 2, ())).unwrap();
        trailing.push(0);
        for junk in [b"".to_vec(), b"\xc1\xff".to_vec(), b"\xdd\xff\xff\xff\xff".to_vec(), trailing, vec![0x91; 3000]] {
            let subject = alpha.subjects.report(&alpha.id, kind);
            alpha.client().publish_with_reply(subject, inbox.clone(), junk.into()).await.unwrap();
        }
    }
    let unknown = format!("{PREFIX}.drone.{}.report.later", alpha.id);
    alpha.client().publish_with_reply(unknown, inbox, "x".into()).await.unwrap();
    bench.counted("malformed", |counters| &counters.malformed, 5 * ReportKind::ALL.len() as u64 + 1).await;
    let _: HelloAnswer = alpha.request(ReportKind::Hello, hello()).await;
    assert_eq!(bench.engine.heard().len(), 1);
}

#[tokio::test]
async fn what_a_later_version_says_is_answered_not_understood() {
    let mut bench = Bench::start(&["alpha"]).await;
    let alpha = bench.drone("alpha").await;
    let answer: BuildAnswer = alpha.request(ReportKind::Build, report(BuildNews::Unknown)).await;
    assert!(matches!(answer, BuildAnswer::NotUnderstood { reason } if reason.contains("not understood")));
    let answer: HelloAnswer = alpha.request(ReportKind::Hello, Hello { role: Role::Unknown, ..hello() }).await;
    assert!(matches!(answer, HelloAnswer::Refused { reason, .. } if reason.contains("not understood")));
    // a version whose body is past reading
    let later = encode(&Envelope { v: 9, ..Envelope::new("report.build", 1, 2, "all new") }).unwrap();
    let asked = alpha.client().request(alpha.subjects.report(&alpha.id, ReportKind::Build), later.into());
    let answer = timeout(SOON, asked).await.unwrap().unwrap();
    let answer = open::<BuildAnswer>(&answer.payload).unwrap().body;
    assert!(matches!(answer, BuildAnswer::NotUnderstood { reason } if reason.contains("wire version 9")));
    assert!(bench.engine.heard().is_empty());
    assert_eq!(bench.link.counters().not_understood.load(Relaxed), 3);
}

#[tokio::test]
async fn the_controller_never_answers_into_another_ones_hands() {
    let mut bench = Bench::start(&["alpha", "beta"]).await;
    let (alpha, beta) = (bench.drone("alpha").await, bench.drone("beta").await);
    let mut ears = beta.client().subscribe(format!("{}.x", Subjects::inbox(beta.id.as_str()))).await.unwrap();
    let mut orders = beta.client().subscribe(bench.subjects.orders_of(&beta.id)).await.unwrap();
    settled(beta.client(), format!("{PREFIX}.log.{}.unserved", beta.id)).await;
    let body = encode(&Envelope::new("report.hello", 1, 2, hello())).unwrap();
    let tricks = [
        format!("{}.x", Subjects::inbox(beta.id.as_str())),
        bench.subjects.order(&beta.id, "cancel"),
        bench.subjects.event("drone_lost"),
        bench.subjects.ping_all(),
        format!("{}evil.x", Subjects::inbox(alpha.id.as_str())),
        "$JS.API.STREAM.PURGE.SWARM_EVENTS".to_owned(),
    ];
    let subject = alpha.subjects.report(&alpha.id, ReportKind::Hello);
    for trick in &tricks {
        alpha.client().publish_with_reply(subject.clone(), trick.clone(), body.clone().into()).await.unwrap();
    }
    // and one without any
    alpha.publish(ReportKind::Hello, body).await;
    bench.counted("foreign replies", |counters| &counters.foreign_replies, 7).await;
    assert!(bench.engine.heard().is_empty());
    settled(beta.client(), format!("{PREFIX}.log.{}.unserved", beta.id)).await;
    assert!(futures::FutureExt::now_or_never(ears.next()).is_none());
    assert!(futures::FutureExt::now_or_never(orders.next()).is_none());
}

#[tokio::test]
async fn orders_arrive_in_order_and_refusals_and_absence_are_counted() {
    let mut bench = Bench::start(&["alpha", "beta"]).await;
    let (alpha, beta) = (bench.drone("alpha").await, bench.drone("beta").await);
    let mut orders = alpha.client().subscribe(bench.subjects.orders_of(&alpha.id)).await.unwrap();
    settled(alpha.client(), format!("{PREFIX}.log.{}.unserved", alpha.id)).await;
    let order = |number| {
        let fence = Fence { build: BuildId(number), attempt: Attempt(1) };
        let task = Task::Cancel { fence, reason: "not wanted".to_owned() };
        let (store_id, instance) = (StoreId::from("test-store"), InstanceId::from("w"));
        Box::new(Order { number, store_id, instance, task })
    };
    (1..=50).for_each(|number| bench.orders.put((alpha.id.clone(), order(number))));
    for number in 1..=50 {
        let message = timeout(SOON, orders.next()).await.unwrap().unwrap();
        assert_eq!(message.subject.as_str(), bench.subjects.order(&alpha.id, "cancel"));
        assert_eq!(open::<Order>(&message.payload).unwrap().body, *order(number));
        let refusal = OrderAnswer::Refused { reason: "no".to_owned() };
        let body = encode(&Envelope::new("answer.order", 1, 2, refusal)).unwrap();
        alpha.client().publish(message.reply.unwrap(), body.into()).await.unwrap();
    }
    bench.counted("refused orders", |counters| &counters.refused_orders, 50).await;
    // nobody subscribes for beta
    bench.orders.put((beta.id.clone(), order(1)));
    bench.counted("refused orders", |counters| &counters.refused_orders, 51).await;
    let ping = Task::Ping { seq: 1, sent_at: 0 };
    let absent = bench.link.ask_supervisor(&beta.id, ping.clone(), SOON).await.unwrap_err();
    assert!(matches!(absent, OrderError::Absent { .. }), "{absent}");
    // somebody with alpha's key listens, and no supervisor of alpha's was ever welcomed: nothing is said to it
    for forget in [false, true] {
        if forget {
            bench.engine.forgets(&alpha.id);
        } else {
            bench.engine.knows(&alpha.id, "");
        }
        let absent = bench.link.ask_supervisor(&alpha.id, ping.clone(), SOON).await.unwrap_err();
        assert!(matches!(absent, OrderError::Absent { .. }), "{absent}");
        settled(alpha.client(), format!("{PREFIX}.log.{}.unserved", alpha.id)).await;
        assert!(futures::FutureExt::now_or_never(orders.next()).is_none());
    }
    // what was given before the engine's end leaves, and is waited for
    bench.orders.put((alpha.id.clone(), order(51)));
    drop(bench.orders);
    bench.link.flush(SOON).await;
    let message = timeout(SOON, orders.next()).await.unwrap().unwrap();
    assert_eq!(open::<Order>(&message.payload).unwrap().body.number, 51);
}

#[tokio::test]
async fn a_ping_names_the_supervisor_s_run_and_brings_back_its_answer() {
    let mut bench = Bench::start(&["alpha"]).await;
    let alpha = bench.drone("alpha").await;
    let mut orders = alpha.client().subscribe(bench.subjects.orders_of(&alpha.id)).await.unwrap();
    // what is answered now came after the subscription
    let _: HelloAnswer = alpha.request(ReportKind::Hello, hello()).await;
    let answering = async {
        let message = orders.next().await.unwrap();
        let order = open::<Order>(&message.payload).unwrap().body;
        let pong = OrderAnswer::Pong {
            seq: 3,
            instance: order.instance,
            at: 5,
            vitals: Vitals::default(),
            worker: WorkerState::default(),
            attempts: Vec::new(),
        };
        let body = encode(&Envelope::new("answer.order", 1, 2, pong)).unwrap();
        alpha.client().publish(message.reply.unwrap(), body.into()).await.unwrap();
    };
    let asking = bench.link.ask_supervisor(&alpha.id, Task::Ping { seq: 3, sent_at: 4 }, SOON);
    let (answer, ()) = timeout(SOON, async { tokio::join!(asking, answering) }).await.unwrap();
    assert!(matches!(answer.unwrap(), OrderAnswer::Pong { seq: 3, instance, .. } if instance.as_str() == "run-1"));
}

#[tokio::test]
async fn a_plan_larger_than_a_message_arrives_whole() {
    use sha2::{Digest, Sha256};
    use swarm_protocol::plan::{CHUNK, PlannedPackage};
    let mut bench = Bench::start(&["alpha"]).await;
    let alpha = bench.drone("alpha").await;
    let package = |n: u32| PlannedPackage { cpv: format!("dev-libs/long-name-{n}-1.0"), ..PlannedPackage::default() };
    let plan = Plan { packages: (0..12_000).map(package).collect(), ..Plan::default() };
    let bytes = rmp_serde::to_vec_named(&plan).unwrap();
    let pieces: Vec<_> = bytes.chunks(CHUNK).collect();
    let mut last = PlanAnswer::Unknown;
    for (n, piece) in pieces.iter().enumerate() {
        let chunk = PlanChunk {
            instance: InstanceId::from("w"),
            store_id: StoreId::from("test-store"),
            plan: PlanId(5),
            attempt: 2,
            chunk: n as u32,
            chunks: pieces.len() as u32,
            sha256: hex::encode(Sha256::digest(&bytes)),
            bytes: piece.to_vec(),
        };
        last = alpha.request(ReportKind::Plan, chunk).await;
    }
    assert_eq!(last, PlanAnswer::Durable {});
    let heard = bench.engine.heard();
    assert!(matches!(&heard[..], [Input::Planned { drone, plan: PlanId(5), attempt: 2, result, .. }]
        if *drone == alpha.id && **result == plan));
}

#[tokio::test]
async fn live_chunks_carry_the_drone_of_their_subject_and_lies_about_the_attempt_are_dropped() {
    let mut bench = Bench::start(&["alpha"]).await;
    let alpha = bench.drone("alpha").await;
    let fence = Fence { build: BuildId(7), attempt: Attempt(2) };
    let chunk = LogChunk { fence, bytes: b"hello".to_vec(), total: 5, ..LogChunk::default() };
    let body = |chunk: &LogChunk| encode(&Envelope::new("log", 1, 2, chunk)).unwrap();
    for attempt in [3, 2] {
        let subject = bench.subjects.build_log(&alpha.id, fence.build, Attempt(attempt));
        alpha.client().publish(subject, body(&chunk).into()).await.unwrap();
    }
    until("the chunk is in", async || !bench.chunks.lock().unwrap().is_empty()).await;
    assert_eq!(*bench.chunks.lock().unwrap(), [(alpha.id.clone(), chunk)]);
    assert_eq!(bench.link.counters().malformed.load(Relaxed), 1);
}

#[tokio::test]
async fn a_log_whose_live_chunks_were_lost_is_had_whole_over_the_bus() {
    let mut bench = Bench::start(&["alpha"]).await;
    let alpha = bench.drone("alpha").await;
    let log: Vec<u8> = (0..60_000u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    let mut orders = alpha.client().subscribe(bench.subjects.orders_of(&alpha.id)).await.unwrap();
    settled(alpha.client(), format!("{PREFIX}.log.{}.unserved", alpha.id)).await;
    let (client, text) = (alpha.client().clone(), log.clone());
    let supervisor = swarm_common::watch::spawn("supervisor", async move {
        while let Some(message) = orders.next().await {
            let order = open::<Order>(&message.payload).unwrap().body;
            let Task::Logs { fence, offset, max } = order.task else { panic!("not a request for logs: {order:?}") };
            let end = (offset as usize + max as usize).min(text.len());
            let bytes = text[offset as usize..end].to_vec();
            let chunk = LogChunk { fence, offset, bytes, total: text.len() as u64, cut: 0, end: end == text.len() };
            let body = encode(&Envelope::new("answer.order", 1, 2, OrderAnswer::Log { chunk })).unwrap();
            client.publish(message.reply.unwrap(), body.into()).await.unwrap();
        }
    });
    let holds: Holds = Arc::new(|_, _| true);
    let (logs, work) = LogCollector::open(&bench.bus.dir.path().join("logs"), LogBounds::default(), holds).unwrap();
    let (done_to, mut done) = tokio::sync::mpsc::channel(1);
    drop(swarm_common::watch::spawn("logs", work.run(Arc::new(bench.link.clone()), done_to)));
    let fence = Fence { build: BuildId(7), attempt: Attempt(1) };
    logs.complete(fence, alpha.id.clone(), log.len() as u64).await;
    assert!(timeout(SOON, done.recv()).await.unwrap().unwrap().complete);
    let read = logs.read(fence, 0, u64::MAX).await.unwrap().unwrap();
    assert!(read.piece.bytes == log && read.complete);
    supervisor.abort();
}

#[tokio::test]
async fn after_the_server_died_the_link_is_back_and_hears_reports_again() {
    let mut bench = Bench::start(&["alpha"]).await;
    let alpha = bench.drone("alpha").await;
    let _: HelloAnswer = alpha.request(ReportKind::Hello, hello()).await;
    let pid = nix::unistd::Pid::from_raw(bench.bus.pid());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    bench.counted("reconnects", |counters| &counters.reconnects, 1).await;
    until("a report is answered", async || {
        let body = encode(&Envelope::new("report.hello", 1, 2, hello())).unwrap();
        let asked = alpha.client().request(alpha.subjects.report(&alpha.id, ReportKind::Hello), body.into());
        timeout(Duration::from_millis(500), asked).await.is_ok_and(|answer| answer.is_ok())
    })
    .await;
    assert!(bench.link.is_connected());
}

#[tokio::test]
async fn a_key_the_bus_does_not_know_is_named_at_once() {
    let bus = TestBus::start(&[]).await;
    let stranger = crate::bus::keys::enrol_local(&bus.dir.path().join("strangers"), "mallory").unwrap();
    let settings = LinkSettings {
        url: bus.url(),
        ca: Some(bus.ca()),
        credentials: stranger.clone(),
        subjects: Subjects::new(PREFIX),
        store_id: StoreId::from("x"),
    };
    let refused = timeout(SOON, Link::connect(settings)).await.unwrap().err().unwrap().to_string();
    assert!(refused.contains(&stranger.id) && refused.contains("does not accept"), "{refused}");
}
