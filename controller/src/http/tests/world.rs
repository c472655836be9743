//! A controller of which every answer is known.

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{Method, Request, StatusCode};
use futures::StreamExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use swarm_core::files::UploadedFile;
use swarm_core::input::{PingLoss, Pong};
use swarm_core::rows::*;
use swarm_core::table::{Row, RowKey, Sink};
use swarm_core::tell::Stopped;
use swarm_core::view::{Counts, DroneView, Health, Presence, TaskView};
use swarm_core::{Answer, Input, Membership, ReplyTo, Tell, View};
use swarm_protocol::machine::{DroneType, RebootPolicy, Vitals, WorkerState};
use swarm_protocol::report::{FailureClass, Phase};
use swarm_protocol::*;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::bus::link::Answered;
use crate::config::Config;
use crate::config::runtime::Runtime;
use crate::engine::{AskError, MakeInput};
use crate::healing::{PingNow, Pinged};
use crate::http::ports::*;
use crate::http::{
    About, AdminKey, AppState, Asking, BuildLogs, Changes, HealingPart, Measured, Members, Missing, Overviews, Place,
    Reading, Streams, Tallies, admin_router, router,
};
use crate::metrics::Counted;
use crate::own_log::OwnLog;
use swarm_binhost::verify::Report;

pub const KEY: &str = "right-key";
pub const NOW: u64 = 1_700_000_000_000;

/// A store of the test's own: a real file, which goes with it.
pub struct Store {
    pub store: crate::store::Store,
    _directory: TempDir,
}

impl Default for Store {
    fn default() -> Self {
        let directory = TempDir::new().unwrap();
        let store = crate::store::Store::open(&directory.path().join("state.redb")).unwrap();
        Self { store, _directory: directory }
    }
}

impl Store {
    /// The same with these rows, too.
    pub fn with<R: Row>(self, rows: impl IntoIterator<Item = R>) -> Self {
        self.put(rows);
        self
    }

    /// Writes rows as the engine would.
    pub fn put<R: Row>(&self, rows: impl IntoIterator<Item = R>) {
        let mut writer = self.store.writer();
        for row in rows {
            writer.put(&row);
        }
        writer.commit().unwrap();
    }

    /// Removes all rows of a table.
    pub fn clear<R: Row>(&self) {
        let mut writer = self.store.writer();
        for row in self.store.read().unwrap().rows::<R>().unwrap() {
            writer.delete(R::TABLE, &row.key().bytes());
        }
        writer.commit().unwrap();
    }

    /// From here on the table of `R` can't be read.
    pub fn damage<R: Row>(&self) {
        self.put([Damaged::<R>(PhantomData)]);
    }
}

/// What stands in the table of `R` and is no such row.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "")]
struct Damaged<R>(PhantomData<R>);

impl<R: Row> Row for Damaged<R> {
    type Key = String;
    const TABLE: &'static str = R::TABLE;
    fn key(&self) -> String {
        "disk-is-gone".to_owned()
    }
}

/// Remembers what it was asked and answers from a list.
pub struct Engine {
    pub asked: Mutex<Vec<Input>>,
    pub answers: Mutex<VecDeque<Result<Answer, AskError>>>,
    pub view: Mutex<Arc<View>>,
    pub newest: watch::Sender<u64>,
    pub hangs: AtomicBool,
}

impl Tell for Engine {
    fn offer(&self, _: Input) -> bool {
        unreachable!("the façade only asks")
    }
    fn tell(&self, _: Input) -> BoxFuture<'_, ()> {
        unreachable!("the façade only asks")
    }
    fn tell_blocking(&self, _: Input) -> Result<(), Stopped> {
        unreachable!("the façade only asks")
    }
}

impl crate::engine::Engine for Engine {
    fn answer(&self, make: MakeInput) -> BoxFuture<'_, Result<Answer, AskError>> {
        self.asked.lock().unwrap().push(make(ReplyTo(1)));
        let answer = self.answers.lock().unwrap().pop_front().expect("the test has an answer for every question");
        Box::pin(std::future::ready(answer))
    }
    fn view(&self) -> Arc<View> {
        self.view.lock().unwrap().clone()
    }
    fn events(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
    fn pulse(&self, _: Duration) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(!self.hangs.load(SeqCst)))
    }
}

/// One log that may grow.
pub struct Logs {
    pub fence: Fence,
    pub log: watch::Sender<LogPiece>,
}

impl crate::http::ports::Logs for Logs {
    fn read(&self, fence: Fence, offset: u64, max: u64) -> BoxFuture<'_, std::io::Result<Option<LogPiece>>> {
        let log = self.log.borrow().clone();
        let found = (fence == self.fence).then(|| {
            let begin = usize::try_from(offset.saturating_sub(log.offset)).unwrap().min(log.bytes.len());
            let bytes: Vec<u8> = log.bytes[begin..].iter().copied().take(usize::try_from(max).unwrap()).collect();
            LogPiece { offset: offset.max(log.offset), bytes, ..log }
        });
        Box::pin(std::future::ready(Ok(found)))
    }
    fn grown(&self, _: Fence) -> BoxFuture<'static, ()> {
        let mut changes = self.log.subscribe();
        Box::pin(async move {
            let _ = changes.changed().await;
        })
    }
}

/// Keeps what was uploaded, by artifact.
#[derive(Default)]
pub struct Binhost {
    /// What keeps it from taking packages.
    pub full: Mutex<Option<String>>,
    pub incoming: Mutex<BTreeMap<u64, Vec<u8>>>,
    pub report: Mutex<Option<Report>>,
}

impl crate::http::ports::Binhost for Binhost {
    fn fingerprint(&self) -> String {
        "ABCD".to_owned()
    }
    fn public_key(&self) -> String {
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n".to_owned()
    }
    fn client_help(&self, _: &IndexKey, url: &str, key_url: &str) -> ClientHelp {
        ClientHelp { snippet: format!("[swarm]\nsync-uri = {url}\n"), commands: vec![format!("fetch {key_url}")] }
    }
    fn receive(
        &self,
        artifact: ArtifactId,
        sha256: String,
        size: u64,
        mut body: BodyDataStream,
    ) -> BoxFuture<'_, Result<UploadedFile, UploadError>> {
        Box::pin(async move {
            let mut bytes = Vec::new();
            while let Some(chunk) = body.next().await {
                bytes.extend(chunk.map_err(|error| UploadError::Broken(error.to_string()))?);
            }
            if bytes.starts_with(b"full") {
                return Err(UploadError::Full("less than 5 % would be left".to_owned()));
            }
            if bytes.len() as u64 != size || bytes.starts_with(b"bad") {
                return Err(UploadError::Refused("the file is not what was announced".to_owned()));
            }
            self.incoming.lock().unwrap().insert(artifact.0, bytes);
            Ok(UploadedFile { sha256, size, ..UploadedFile::default() })
        })
    }
    fn discard(&self, artifact: ArtifactId) {
        self.incoming.lock().unwrap().remove(&artifact.0);
    }
    fn secret(&self) -> Secret {
        Secret("s3cret".to_owned())
    }
    fn verify(&self, _: &str, _: bool, _: bool) -> bool {
        let mut report = self.report.lock().unwrap();
        let first = report.is_none();
        report.get_or_insert_with(|| Report { running: true, total: 2, ..Report::default() });
        first
    }
    fn report(&self) -> Option<Report> {
        self.report.lock().unwrap().clone()
    }
}

impl Readiness for Binhost {
    fn missing(&self) -> Vec<String> {
        self.full.lock().unwrap().iter().cloned().collect()
    }
}

/// Drones called alpha answer; others do not.
pub struct Pings;

impl PingNow for Pings {
    fn ping(&self, drone: DroneId) -> BoxFuture<'_, Option<Pinged>> {
        let vitals = Vitals { load_1m: 0.5, mem_percent: 40.0, uptime_s: 77, ..Vitals::default() };
        let pong = Pong { at: NOW + 7, middle: NOW, vitals, worker: WorkerState::Alive, ..Pong::default() };
        let outcome = match drone.as_str() {
            "UALPHA" => Ok(Answered { pong, latency_us: 1_250 }),
            _ => Err(PingLoss::Silent),
        };
        Box::pin(std::future::ready((drone.as_str() != "UBUSY").then_some(Pinged { drone, seq: 3, outcome })))
    }
    fn ping_all(&self, view: Arc<View>) -> BoxFuture<'_, Arc<Vec<Pinged>>> {
        Box::pin(async move {
            let mut pinged = Vec::new();
            for (drone, _) in view.drones.iter() {
                pinged.extend(self.ping(drone.clone()).await);
            }
            Arc::new(pinged)
        })
    }
}

struct Ready(Vec<String>);

impl Readiness for Ready {
    fn missing(&self) -> Vec<String> {
        self.0.clone()
    }
}

/// A bus that takes every change, or none.
pub struct Bus {
    pub addresses: Mutex<Result<Addresses, String>>,
    pub admits: Mutex<Result<bool, String>>,
    pub waited_for: Mutex<Vec<u64>>,
}

impl Default for Bus {
    fn default() -> Self {
        let addresses = Addresses {
            facade: "http://swarm.example.org:8100".to_owned(),
            bus: "tls://swarm.example.org:4222".to_owned(),
            prefix: "swarm.v1".to_owned(),
            authority: Some("ab".repeat(32)),
        };
        let (addresses, admits) = (Mutex::new(Ok(addresses)), Mutex::new(Ok(true)));
        Self { addresses, admits, waited_for: Mutex::default() }
    }
}

impl crate::http::ports::Bus for Bus {
    fn addresses(&self) -> Result<Addresses, String> {
        self.addresses.lock().unwrap().clone()
    }
    fn authority(&self) -> Option<String> {
        Some("-----BEGIN CERTIFICATE-----\n".to_owned())
    }
    fn admitted(&self, membership: Arc<Membership>) -> BoxFuture<'_, Result<bool, String>> {
        self.waited_for.lock().unwrap().push(membership.generation);
        Box::pin(std::future::ready(self.admits.lock().unwrap().clone()))
    }
    fn permissions(&self, membership: &Membership) -> Result<String, String> {
        Ok(format!("{} drones", membership.drones.len()))
    }
    fn state(&self) -> BusState {
        BusState {
            url: "tls://127.0.0.1:4222".to_owned(),
            managed: true,
            connected: true,
            prefix: "swarm.v1".to_owned(),
            counters: vec![("malformed", 3)],
            ..BusState::default()
        }
    }
}

pub struct World {
    pub bus: Arc<Bus>,
    pub engine: Arc<Engine>,
    pub logs: Arc<Logs>,
    pub binhost: Arc<Binhost>,
    pub router: Router,
    /// The administrators' port.
    pub admin: Router,
    pub state: AppState,
    pub runtime: Arc<Runtime>,
    pub store: Store,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub async fn of(response: axum::response::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap().to_vec();
        Self { status, headers, body }
    }
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl World {
    pub fn new(store: Store, view: View) -> Self {
        Self::with_missing(store, view, Vec::new())
    }

    pub fn with_missing(store: Store, view: View, missing: Vec<String>) -> Self {
        let engine = Arc::new(Engine {
            asked: Mutex::default(),
            answers: Mutex::default(),
            newest: watch::channel(view.last_event).0,
            view: Mutex::new(Arc::new(view)),
            hangs: AtomicBool::new(false),
        });
        let logs = Arc::new(Logs { fence: fence(1, 2), log: watch::channel(LogPiece::default()).0 });
        let (binhost, bus) = (Arc::new(Binhost::default()), Arc::new(Bus::default()));
        let configured = Config { name: "hive".to_owned(), ..Config::default() };
        let runtime = Arc::new(Runtime::new(configured, &[], Vec::new()).0);
        let place = Place { public_port: 8100, admin_port: 8093, metrics: true, ..Place::default() };
        let asking = Asking::new(engine.clone());
        let state = AppState {
            admin_key: AdminKey::new(KEY),
            about: About::new(place, "http://127.0.0.1:8100/", runtime.clone()),
            reading: Reading::new(store.store.clone()),
            streams: Streams::new(CancellationToken::new()),
            missing: Missing::new([Arc::new(Ready(missing)) as Arc<dyn Readiness>, binhost.clone()]),
            overviews: Overviews::default(),
            tallies: Tallies::default(),
            changes: Changes::new(runtime.clone()),
            build_logs: BuildLogs::new(logs.clone(), asking.clone()),
            own_log: OwnLog::default(),
            binhost: crate::http::Binhost::new(binhost.clone(), 1 << 20),
            members: Members::new(bus.clone()),
            healing: HealingPart {
                pings: Arc::new(Pings),
                channels: vec!["mail".to_owned()],
                rules: Default::default(),
            },
            measured: Measured::new(Arc::default(), Arc::new(Counted::default)),
            asking,
        };
        let (router, admin) = (router(state.clone(), Router::new(), Router::new()), admin_router(state.clone()));
        Self { engine, logs, binhost, bus, router, admin, state, runtime, store }
    }

    /// How often the store was read so far.
    pub fn reads(&self) -> usize {
        self.state.reading.reads.load(SeqCst)
    }

    pub fn will_answer(&self, answer: Answer) {
        self.engine.answers.lock().unwrap().push_back(Ok(answer));
    }

    /// Asks the port the path is on.
    pub async fn send(&self, request: Request<Body>) -> Reply {
        let router = if request.uri().path().starts_with("/admin/") { &self.admin } else { &self.router };
        Reply::of(router.clone().oneshot(request).await.unwrap()).await
    }

    /// Asks the administrators' port, with the key.
    pub async fn admin(&self, method: Method, path: &str, body: &str) -> Reply {
        let request = Request::builder().method(method).uri(path).header("X-Admin-Key", KEY);
        let response = self.admin.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        Reply::of(response).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn write(&self, method: Method, path: &str, body: &str) -> Reply {
        let request = Request::builder().method(method).uri(path).header("X-Admin-Key", KEY);
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }
}

pub fn fence(build: u64, attempt: u32) -> Fence {
    Fence { build: BuildId(build), attempt: Attempt(attempt) }
}

pub fn build(id: u64, cpv: &str, state: BuildState) -> BuildRow {
    BuildRow {
        id: BuildId(id),
        session: SessionId(1),
        profile: "default".to_owned(),
        asked: cpv.rsplit_once('-').unwrap().0.to_owned(),
        cpv: Some(cpv.to_owned()),
        slot: "0".to_owned(),
        repository: "demo".to_owned(),
        use_flags: vec!["sweet".to_owned()],
        restrict: String::new(),
        sources: Vec::new(),
        package_use: Vec::new(),
        origin: Origin::Asked,
        rebuild: false,
        base: "base".to_owned(),
        tree: "tree".to_owned(),
        attempt: Attempt(2),
        after: Vec::new(),
        state,
        marks: Vec::new(),
        auto_retries: 0,
        created_at: NOW,
        queued_at: 0,
        wishes: BuildWishes::default(),
        arch: "amd64".to_owned(),
        moved: false,
    }
}

pub fn needed() -> BuildState {
    BuildState::Needed { not_before: 0 }
}

pub fn delegated() -> BuildState {
    BuildState::Delegated {
        assignment: Assignment {
            drone: DroneId::from("UALPHA"),
            order: 3,
            assigned_at: NOW + 1_000,
            taken: true,
            building_since: Some(NOW + 1_500),
            cancelling: None,
            disk_free: 0,
            sweep: None,
        },
    }
}

pub fn blocked(reason: &str) -> BuildState {
    let by = BlockedBy::Failures { culprit: Culprit::Package };
    BuildState::Blocked { by, reasons: vec![reason.to_owned()], since: NOW + 2_000, retry_at: None }
}

pub fn received() -> BuildState {
    let received = Received {
        at: NOW + 9_500,
        drone: Some("alpha".to_owned()),
        duration_ms: 8_500,
        how: Outcome::Built,
        size: 4_096,
    };
    BuildState::Received { received }
}

pub fn mark(attempt: u32) -> FailureMark {
    FailureMark {
        drone: DroneId::from("UALPHA"),
        drone_name: "alpha".to_owned(),
        attempt: Attempt(attempt),
        class: FailureClass::Phase,
        culprit: Culprit::Package,
        phase: Some(Phase::Compile),
        message: "compile failed".to_owned(),
        log_line: Some("wasp.c:3: error: implicit declaration of function 'sting'".to_owned()),
        at: 5,
        wall: NOW + 2_000,
        had_bytes: 0,
    }
}

pub fn attempt(id: u64, fence: Fence, status: HistoryStatus) -> HistoryRow {
    HistoryRow {
        id,
        fence,
        session: SessionId(1),
        package: "=app-misc/waggle-1.1".to_owned(),
        drone: DroneId::from("UALPHA"),
        drone_name: "alpha".to_owned(),
        status,
        duration_ms: 12_500,
        error: (status == HistoryStatus::Failed).then(|| "compile failed".to_owned()),
        log_line: None,
        class: None,
        culprit: None,
        phase: None,
        log_bytes: 100,
        log_complete: true,
        memory_peak_bytes: 0,
        built_at: NOW + 20_000 + id,
    }
}

pub fn event(seq: u64, kind: &str) -> EventRow {
    EventRow {
        seq,
        at: NOW + seq * 1_000,
        kind: kind.to_owned(),
        message: format!("event {seq}"),
        drone: Some("alpha".to_owned()),
        ..EventRow::default()
    }
}

pub fn drone(id: &str, name: &str, presence: Presence) -> Arc<DroneView> {
    let row = DroneRow {
        id: DroneId::from(id),
        name: name.to_owned(),
        created_at: NOW,
        agent_version: "0.5.0".to_owned(),
        arch: "amd64".to_owned(),
        cores: 8,
        ram_bytes: 16 << 30,
        address: "10.0.0.7".to_owned(),
        detected_type: DroneType::Lxc,
        evidence: vec!["PID 1 runs with container=lxc".to_owned()],
        own_reboot: RebootPolicy::Auto,
        ssh_host_keys: Vec::new(),
        ssh_host_keys_offered: Vec::new(),
        type_override: None,
        tags: Vec::new(),
        slots: 1,
        waiting: None,
        features: vec!["ccache".to_owned()],
        sources: Vec::new(),
        build_profile: "default".to_owned(),
        chost: "x86_64-pc-linux-gnu".to_owned(),
        base: "base".to_owned(),
        tree: "tree".to_owned(),
        tree_timestamp: None,
        portage_version: "3.0.83".to_owned(),
        index_header: BTreeMap::new(),
        supervisor: InstanceId::from("i1"),
        worker: None,
        last_order: 3,
        paused: None,
        draining: None,
        drained: None,
        syncing: None,
        speeds: vec![1_500],
        grounded: None,
        upload_impaired: None,
        streaks: Streaks::default(),
        last_seen: NOW,
    };
    let vitals = Vitals { load_1m: f64::NAN, cpu_percent: 12.5, ..Vitals::default() };
    let (worker, last_heartbeat) = (WorkerState::Alive, 0);
    let (health, wishes) = (Health::default(), None);
    let (tasks, speed) = (Vec::new(), row.learned_speed());
    Arc::new(DroneView {
        row: Arc::new(row),
        presence,
        last_heartbeat,
        vitals,
        worker,
        tasks,
        completed: 4,
        failed: 1,
        speed,
        wait_ms: 9_000,
        health,
        wishes,
    })
}

/// Two drones, one of them building; one session with an entry in each state.
pub fn busy() -> (Store, View) {
    let mut trap = build(4, "app-misc/wasp-trap-1.0", needed());
    trap.after = vec![BuildId(3)];
    let mut wasp = build(3, "app-misc/wasp-1.0", blocked("alpha: compile failed"));
    wasp.marks = vec![mark(1)];
    let session = SessionRow {
        id: SessionId(1),
        name: "bees".to_owned(),
        opened_by: "ada".to_owned(),
        started_at: NOW,
        ended_at: None,
        builds_on: Default::default(),
    };
    let builds =
        [build(1, "app-misc/waggle-1.1", delegated()), build(2, "dev-libs/libpollen-2.0", received()), wasp, trap];
    let history = [attempt(1, fence(1, 1), HistoryStatus::Failed), attempt(2, fence(2, 2), HistoryStatus::Success)];
    let store = Store::default()
        .with(builds)
        .with([session])
        .with(history)
        .with((1..=5).map(|seq| event(seq, if seq % 2 == 0 { "assign" } else { "queue" })))
        .with([StatsRow { drone: "alpha".to_owned(), total: 4, success: 3, duration_ms: 10_000 }]);
    let mut alpha = Arc::unwrap_or_clone(drone("UALPHA", "alpha", Presence::Online));
    alpha.tasks = vec![TaskView {
        fence: fence(1, 2),
        package: "=app-misc/waggle-1.1".to_owned(),
        phase: Phase::Compile,
        assigned_at: NOW + 1_000,
        building_since: Some(NOW + 1_500),
        order: 3,
        begun_at: Some(NOW + 1_500),
        sweep: false,
        estimated_ms: Some(30_000),
        log_bytes: 7,
    }];
    Arc::make_mut(&mut alpha.row).streaks.failures = 2;
    let counts = Counts { needed: 1, delegated: 1, received: 1, blocked: 1, failed: 0, waiting: 1 };
    let view = View {
        drones: [
            (DroneId::from("UALPHA"), Arc::new(alpha)),
            (DroneId::from("UBETA"), drone("UBETA", "sweeper-beta", Presence::Offline)),
        ]
        .into(),
        session: Some(SessionId(1)),
        counts,
        sessions: [(SessionId(1), counts)].into(),
        last_event: 5,
        last_history: 2,
        ..View::default()
    };
    (store, view)
}
