//! The managed server against the real `nats-server`. Also what other tests of the bus start theirs with.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use futures::{FutureExt, StreamExt};
use nix::sys::signal::Signal;
use swarm_protocol::DroneId;
use tokio::time::{Instant, sleep, timeout};

use super::process::Record;
use super::*;
use crate::bus::keys::{self, read_seed};

pub(crate) const PREFIX: &str = "swarm.v1";
const SOON: Duration = Duration::from_secs(20);

/// The binary for tests: as a controller finds it, or the one `make` fetches. None is a failure, not a skip.
pub(crate) async fn binary() -> ServerBinary {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let fetched = workspace.join(".tools/nats-server");
    match find_server(&workspace.join(".tools"), None).await {
        Ok(binary) => binary,
        Err(reason) => find_server(&workspace, Some(&fetched)).await.unwrap_or_else(|_| {
            panic!(
                "tests of the bus need a real server at {}, on PATH or in BUILD_SWARM_NATS_SERVER: {reason}",
                fetched.display()
            )
        }),
    }
}

/// A server with its members. Whatever happens, its process is ended with the value.
pub(crate) struct TestBus {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) controller: UserCredentials,
    pub(crate) members: Members,
    pub(crate) server: Option<ManagedServer>,
}

impl TestBus {
    /// A running server with `drones` enrolled.
    pub(crate) async fn start(drones: &[&str]) -> Self {
        let mut bus = Self::prepare(drones);
        bus.server = Some(bus.take_up().await.unwrap());
        bus
    }

    fn prepare(drones: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let controller = keys::controller(dir.path()).unwrap();
        let members = Members { controller: controller.id.clone(), ..Members::default() };
        let mut bus = Self { dir, controller, members, server: None };
        drones.iter().for_each(|name| drop(bus.enrol(name)));
        bus
    }

    pub(crate) fn enrol(&mut self, name: &str) -> UserCredentials {
        let made = keys::enrol_local(&self.dir.path().join("drones"), name).unwrap();
        self.members.drones.insert(DroneId(made.id.clone()));
        made
    }

    pub(crate) fn enrol_tapper(&mut self, name: &str) -> UserCredentials {
        let made = keys::enrol_tapper(&self.dir.path().join("tappers"), name).unwrap();
        self.members.tappers.insert(made.id.clone());
        made
    }

    async fn settings(&self) -> ServerSettings {
        ServerSettings {
            binary: binary().await,
            data_dir: self.dir.path().to_owned(),
            store_id: "test-store".to_owned(),
            listen: std::net::Ipv4Addr::LOCALHOST.into(),
            port: None,
            names: Vec::new(),
        }
    }

    async fn take_up(&self) -> Result<ManagedServer, ServerError> {
        let users = permissions::render(PREFIX, &self.members).unwrap();
        ManagedServer::start(self.settings().await, self.controller.clone(), &users).await
    }

    pub(crate) fn url(&self) -> String {
        self.server.as_ref().unwrap().url()
    }

    pub(crate) async fn admit(&self) {
        let users = permissions::render(PREFIX, &self.members).unwrap();
        self.server.as_ref().unwrap().admit(users).await.unwrap();
    }

    pub(crate) fn pid(&self) -> i32 {
        self.record().expect("a server was started").pid
    }

    fn record(&self) -> Option<Record> {
        let text = fs_err::read_to_string(self.dir.path().join("nats/process.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("bus-ca.pem")
    }

    pub(crate) async fn client(&self, user: &UserCredentials) -> Tried {
        self.try_client(user).await.unwrap()
    }

    async fn try_client(&self, user: &UserCredentials) -> Result<Tried, async_nats::ConnectError> {
        self.try_client_at(&self.url(), user).await
    }

    pub(crate) async fn try_client_at(
        &self,
        url: &str,
        user: &UserCredentials,
    ) -> Result<Tried, async_nats::ConnectError> {
        Tried::connect(url, &self.ca(), user).await
    }
}

impl Drop for TestBus {
    fn drop(&mut self) {
        if let Some(record) = self.record() {
            record.signal(Signal::SIGKILL);
        }
    }
}

/// A client that remembers what the server told it.
pub(crate) struct Tried {
    pub(crate) client: Client,
    told: Arc<Mutex<Vec<String>>>,
}

impl Tried {
    async fn connect(url: &str, ca: &Path, user: &UserCredentials) -> Result<Self, async_nats::ConnectError> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let (_, seed) = read_seed(&user.seed_file).unwrap();
        let ears = told.clone();
        let client = ConnectOptions::with_nkey(seed.expose().to_owned())
            .add_root_certificates(ca.to_owned())
            .require_tls(true)
            .custom_inbox_prefix(format!("_INBOX.{}", user.id))
            .reconnect_delay_callback(|_| Duration::from_millis(50))
            .event_callback(move |event: Event| {
                ears.lock().unwrap().push(event.to_string());
                std::future::ready(())
            })
            .connect(url)
            .await?;
        Ok(Self { client, told })
    }

    pub(crate) async fn is_told(&self, part: &str) {
        until(&format!("the server says {part:?}"), async || self.was_told(part)).await;
    }

    fn was_told(&self, part: &str) -> bool {
        self.told.lock().unwrap().iter().any(|line| line.contains(part))
    }

    async fn may_not_subscribe(&self, subject: &str) {
        drop(self.client.subscribe(subject.to_owned()).await.unwrap());
        let _dropped_at_once_is_fine = self.client.flush().await;
        self.is_told(&format!("Permissions Violation for Subscription to \"{subject}\"")).await;
    }

    async fn may_not_publish(&self, subject: &str) {
        self.client.publish(subject.to_owned(), "x".into()).await.unwrap();
        self.is_told(&format!("Permissions Violation for Publish to \"{subject}\"")).await;
    }
}

/// Polls until `condition` holds; gives up loudly.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !condition().await {
        assert!(Instant::now() < end, "gave up waiting until {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Both ways through the server: what one publishes the other hears.
async fn answers(bus: &TestBus, client: &Tried) {
    let subject = format!("{PREFIX}.all.echo");
    let mut heard = client.client.subscribe(subject.clone()).await.unwrap();
    until("a message comes back", async || {
        // lost while the client reconnects
        let _ = client.client.publish(subject.clone(), "x".into()).await;
        timeout(Duration::from_millis(100), heard.next()).await.is_ok_and(|got| got.is_some())
    })
    .await;
    assert!(bus.record().unwrap().lives());
}

#[tokio::test]
async fn starts_answers_and_ends_on_request() {
    let mut bus = TestBus::start(&[]).await;
    answers(&bus, &bus.client(&bus.controller).await).await;
    let record = bus.record().unwrap();
    let state = bus.server.as_ref().unwrap().state();
    bus.server.take().unwrap().stop().await.unwrap();
    assert!(!record.lives());
    assert_eq!(*state.borrow(), ServerState::Ended);
}

#[tokio::test]
async fn nobody_without_a_known_key_gets_in() {
    let bus = TestBus::start(&[]).await;
    let stranger = keys::enrol_local(&bus.dir.path().join("strangers"), "mallory").unwrap();
    assert!(bus.try_client(&stranger).await.is_err());
    let trusting = || ConnectOptions::new().add_root_certificates(bus.ca()).require_tls(true);
    assert!(trusting().connect(bus.url()).await.is_err());
    assert!(trusting().user_and_password("a".into(), "b".into()).connect(bus.url()).await.is_err());
}

#[tokio::test]
async fn nothing_is_said_without_tls_and_nobody_trusts_a_bus_of_another_authority() {
    let bus = TestBus::start(&["alpha"]).await;
    let (_, seed) = read_seed(&bus.dir.path().join("drones/alpha.nk")).unwrap();
    let options = || ConnectOptions::with_nkey(seed.expose().to_owned());
    let plain = bus.url().replace("tls://", "nats://");
    // a client that does not ask for TLS is told to, and has no root to check the server by
    assert!(options().connect(&plain).await.is_err());
    // the authorities of this machine do not count, and neither does a stranger's
    assert!(options().require_tls(true).connect(bus.url()).await.is_err());
    let stranger = tempfile::tempdir().unwrap();
    let other = crate::bus::tls::Authority::load_or_make(stranger.path(), jiff::Timestamp::now()).unwrap();
    let trusting = |ca: &Path| options().add_root_certificates(ca.to_owned()).require_tls(true);
    assert!(trusting(other.path()).connect(bus.url()).await.is_err());
    assert!(trusting(&bus.ca()).connect(bus.url()).await.is_ok());
    // a name that is not in the certificate is another server
    let elsewhere = bus.url().replace("127.0.0.1", "127.0.0.2");
    assert!(trusting(&bus.ca()).connect(elsewhere).await.is_err());
}

/// The certificate that a new connection is shown.
fn shown_certificate(url: &str, ca: &Path) -> Vec<u8> {
    use std::io::{BufRead, BufReader, Write};

    use async_nats::rustls::pki_types::pem::PemObject;
    use async_nats::rustls::pki_types::{CertificateDer, ServerName};
    use async_nats::rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let address = url.strip_prefix("tls://").unwrap();
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut info = String::new();
    BufReader::with_capacity(1, &socket).read_line(&mut info).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    Stream::new(&mut client, &mut socket).write_all(b"PING\r\n").unwrap();
    client.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_certificate_near_its_end_is_renewed_while_clients_stay_connected() {
    let bus = TestBus::start(&[]).await;
    let client = bus.client(&bus.controller).await;
    let path = bus.dir.path().join("nats/server.pem");
    let server = bus.server.as_ref().unwrap();
    let first = shown_certificate(&bus.url(), &bus.ca());
    server.renew().await.unwrap();
    assert_eq!(shown_certificate(&bus.url(), &bus.ca()), first, "a fresh one is left alone");
    // one that was issued 340 days ago
    fs_err::remove_file(&path).unwrap();
    let then = jiff::Timestamp::now() - jiff::ToSpan::hours(340 * 24);
    server.authority().ensure(&path, &[], then).unwrap();
    server.renew().await.unwrap();
    let renewed = shown_certificate(&bus.url(), &bus.ca());
    assert_ne!(renewed, first);
    answers(&bus, &client).await;
    assert!(!client.was_told("disconnected"));
}

#[tokio::test]
async fn other_names_in_the_configuration_are_in_the_certificate_of_the_adopted_server() {
    let mut bus = TestBus::start(&[]).await;
    let (pid, first) = (bus.pid(), shown_certificate(&bus.url(), &bus.ca()));
    drop(bus.server.take());
    let mut settings = bus.settings().await;
    settings.names = vec!["swarm.example.org".to_owned()];
    let users = permissions::render(PREFIX, &bus.members).unwrap();
    bus.server = Some(ManagedServer::start(settings, bus.controller.clone(), &users).await.unwrap());
    assert_eq!(bus.pid(), pid, "no new process is needed");
    let now = shown_certificate(&bus.url(), &bus.ca());
    let holds = |name: &[u8]| now.windows(name.len()).any(|window| window == name);
    assert!(now != first && holds(b"swarm.example.org"));
}

#[tokio::test]
async fn killed_it_is_started_anew_on_the_same_port_and_clients_come_back() {
    let bus = TestBus::start(&[]).await;
    let client = bus.client(&bus.controller).await;
    answers(&bus, &client).await;
    let (first, url) = (bus.pid(), bus.url());
    for round in 1..=2_u64 {
        let before = bus.pid();
        bus.record().unwrap().signal(Signal::SIGKILL);
        let mut state = bus.server.as_ref().unwrap().state();
        let up = state.wait_for(|state| matches!(state, ServerState::Up { restarts, .. } if *restarts == round));
        timeout(SOON, up).await.unwrap().unwrap();
        assert_ne!(bus.pid(), before);
        answers(&bus, &client).await;
    }
    assert_ne!(bus.pid(), first);
    assert_eq!(bus.url(), url);
}

#[tokio::test]
async fn a_server_whose_controller_vanished_is_adopted_with_its_clients() {
    let mut bus = TestBus::start(&["alpha"]).await;
    let client = bus.client(&bus.controller).await;
    answers(&bus, &client).await;
    let (pid, url) = (bus.pid(), bus.url());
    drop(bus.server.take());
    let late = bus.enrol("late");
    bus.server = Some(bus.take_up().await.unwrap());
    assert_eq!((bus.pid(), bus.url()), (pid, url));
    answers(&bus, &client).await;
    assert!(!client.was_told("disconnected"));
    // enrolled while nobody watched
    bus.client(&late).await;
    // and adopted, it is watched like an own one
    bus.record().unwrap().signal(Signal::SIGKILL);
    let mut state = bus.server.as_ref().unwrap().state();
    let up = state.wait_for(|state| matches!(state, ServerState::Up { restarts: 1, .. }));
    timeout(SOON, up).await.unwrap().unwrap();
    answers(&bus, &client).await;
    bus.server.take().unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn a_server_left_without_its_record_is_found_and_replaced() {
    let mut bus = TestBus::start(&[]).await;
    let left = bus.record().unwrap();
    drop(bus.server.take());
    // the controller was killed before it could write down what it had started, and the server before it wrote its pid
    for file in ["nats/process.json", "nats/nats.pid"] {
        fs_err::remove_file(bus.dir.path().join(file)).unwrap();
    }
    bus.server = Some(bus.take_up().await.unwrap());
    assert!(!left.lives());
    assert_ne!(bus.pid(), left.pid);
}

#[tokio::test]
async fn a_changed_configuration_ends_the_old_server_and_keeps_the_events() {
    let mut bus = TestBus::start(&[]).await;
    let client = bus.client(&bus.controller).await;
    let stream = async_nats::jetstream::new(client.client.clone());
    let wanted = async_nats::jetstream::stream::Config {
        name: "KEPT".to_owned(),
        subjects: vec![format!("{PREFIX}.event.>")],
        ..Default::default()
    };
    stream.create_stream(wanted).await.unwrap();
    stream.publish(format!("{PREFIX}.event.x"), "x".into()).await.unwrap().await.unwrap();
    let left = bus.record().unwrap();
    drop(bus.server.take());
    let mut settings = bus.settings().await;
    settings.store_id = "another-store".to_owned();
    let users = permissions::render(PREFIX, &bus.members).unwrap();
    bus.server = Some(ManagedServer::start(settings, bus.controller.clone(), &users).await.unwrap());
    assert!(!left.lives());
    let client = bus.client(&bus.controller).await;
    let kept = async_nats::jetstream::new(client.client.clone()).get_stream("KEPT").await.unwrap();
    assert_eq!(kept.cached_info().state.messages, 1);
}

#[tokio::test]
async fn a_process_that_merely_has_the_pid_is_left_alone() {
    let mut bus = TestBus::prepare(&[]);
    let mut bystander = tokio::process::Command::new("sleep").arg("60").kill_on_drop(true).spawn().unwrap();
    let dir = bus.dir.path().join("nats");
    fs_err::create_dir_all(&dir).unwrap();
    let pid = bystander.id().unwrap();
    let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let record = serde_json::json!({ "pid": pid, "started": 1, "boot": boot.trim(), "config": "" });
    fs_err::write(dir.join("process.json"), record.to_string()).unwrap();
    fs_err::write(dir.join("nats.pid"), pid.to_string()).unwrap();
    bus.server = Some(bus.take_up().await.unwrap());
    assert!(bystander.try_wait().unwrap().is_none());
    bystander.kill().await.unwrap();
}

#[tokio::test]
async fn a_port_someone_else_took_is_named_with_what_to_do() {
    let mut bus = TestBus::start(&[]).await;
    let port: u16 = bus.url().rsplit(':').next().unwrap().parse().unwrap();
    bus.server.take().unwrap().stop().await.unwrap();
    let _squatter = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let refused = bus.take_up().await.unwrap_err().to_string();
    assert!(refused.contains(&format!("port {port}")) && refused.contains("nats/port"), "{refused}");
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let bus = TestBus::prepare(&[]);
    let mut settings = bus.settings().await;
    // the store's place is taken by a file
    fs_err::create_dir_all(bus.dir.path().join("nats")).unwrap();
    fs_err::write(bus.dir.path().join("nats/jetstream"), "in the way").unwrap();
    settings.port = None;
    let users = permissions::render(PREFIX, &bus.members).unwrap();
    let refused = ManagedServer::start(settings, bus.controller.clone(), &users).await.unwrap_err().to_string();
    assert!(refused.contains("does not get ready") && refused.contains("not a directory"), "{refused}");
}

#[tokio::test]
async fn who_is_enrolled_gets_in_and_who_is_revoked_is_cut_off_while_others_stay() {
    let mut bus = TestBus::start(&["alpha", "beta"]).await;
    let (alpha, beta) = (bus.enrol("alpha"), bus.enrol("beta"));
    let (alpha_client, beta_client) = (bus.client(&alpha).await, bus.client(&beta).await);
    let gamma = bus.enrol("gamma");
    assert!(bus.try_client(&gamma).await.is_err());
    bus.admit().await;
    bus.client(&gamma).await;
    bus.members.drones.remove(&DroneId(beta.id.clone()));
    bus.admit().await;
    beta_client.is_told("disconnected").await;
    assert!(bus.try_client(&beta).await.is_err());
    assert!(!alpha_client.was_told("disconnected"));
    // and it is so for the next process as well
    bus.server.take().unwrap().stop().await.unwrap();
    bus.server = Some(bus.take_up().await.unwrap());
    assert!(bus.try_client(&beta).await.is_err());
    bus.client(&gamma).await;
}

#[tokio::test]
async fn users_the_server_would_refuse_leave_it_as_it_was() {
    let bus = TestBus::start(&["alpha"]).await;
    let server = bus.server.as_ref().unwrap();
    let users: PathBuf = bus.dir.path().join("nats/users.conf");
    let before = fs_err::read_to_string(&users).unwrap();
    let refused = server.admit("accounts {\n".to_owned()).await.unwrap_err();
    assert!(matches!(refused, ServerError::Refused { .. }), "{refused}");
    assert_eq!(fs_err::read_to_string(&users).unwrap(), before);
    answers(&bus, &bus.client(&bus.controller).await).await;
}

#[tokio::test]
async fn a_drone_hears_and_says_its_own_and_nothing_else() {
    let mut bus = TestBus::start(&["alpha", "beta"]).await;
    let (alpha, beta) = (bus.enrol("alpha"), bus.enrol("beta"));
    let (a, b, c) = (&alpha.id, &beta.id, &bus.controller.id);
    let drone = bus.client(&alpha).await;
    let others = [
        format!("{PREFIX}.drone.{b}.order.>"),
        format!("{PREFIX}.drone.{b}.order.build"),
        format!("{PREFIX}.drone.*.order.build"),
        format!("{PREFIX}.drone.{b}.report.>"),
        format!("{PREFIX}.drone.{a}.report.>"),
        format!("{PREFIX}.drone.{a}.>"),
        format!("{PREFIX}.log.>"),
        format!("{PREFIX}.log.{b}.>"),
        format!("{PREFIX}.shell.{b}.*.in"),
        format!("{PREFIX}.shell.*.*.in"),
        format!("{PREFIX}.event.>"),
        format!("{PREFIX}.json.event.>"),
        format!("{PREFIX}.>"),
        ">".to_owned(),
        "_INBOX.>".to_owned(),
        format!("_INBOX.{b}.>"),
        format!("_INBOX.{c}.>"),
        "$SYS.>".to_owned(),
        "$JS.>".to_owned(),
    ];
    for subject in &others {
        drone.may_not_subscribe(subject).await;
    }
    let foreign = [
        format!("{PREFIX}.drone.{b}.report.hello"),
        format!("{PREFIX}.drone.{b}.order.build"),
        format!("{PREFIX}.drone.{a}.order.build"),
        format!("{PREFIX}.all.ping"),
        format!("{PREFIX}.log.{b}.build.1.1"),
        format!("{PREFIX}.shell.{b}.s1.out"),
        format!("{PREFIX}.shell.{a}.s1.in"),
        format!("{PREFIX}.event.drone_lost"),
        format!("{PREFIX}.json.event.drone_lost"),
        format!("_INBOX.{b}.x"),
        format!("_INBOX.{c}.x"),
        "$JS.API.STREAM.INFO.SWARM_EVENTS".to_owned(),
        "$JS.API.CONSUMER.CREATE.SWARM_EVENTS".to_owned(),
        "$SYS.REQ.SERVER.PING".to_owned(),
    ];
    for subject in &foreign {
        drone.may_not_publish(subject).await;
    }
}

#[tokio::test]
async fn orders_reach_one_drone_reports_come_back_and_answers_are_limited() {
    let mut bus = TestBus::start(&["alpha", "beta"]).await;
    let (alpha, beta) = (bus.enrol("alpha"), bus.enrol("beta"));
    let controller = bus.client(&bus.controller).await;
    let (drone, other) = (bus.client(&alpha).await, bus.client(&beta).await);
    let mut own = drone.client.subscribe(format!("{PREFIX}.drone.{}.order.>", alpha.id)).await.unwrap();
    let mut others = other.client.subscribe(format!("{PREFIX}.drone.{}.order.>", beta.id)).await.unwrap();
    let mut reports = controller.client.subscribe(format!("{PREFIX}.drone.*.report.>")).await.unwrap();
    for (who, user) in [(&drone, &alpha), (&other, &beta)] {
        settled(&who.client, format!("{PREFIX}.log.{}.unserved", user.id)).await;
    }
    settled(&controller.client, format!("{PREFIX}.unserved")).await;

    let answering = async {
        let order = own.next().await.unwrap();
        let inbox = order.reply.clone().unwrap();
        drone.client.publish(inbox.clone(), "taken".into()).await.unwrap();
        inbox
    };
    let order = controller.client.request(format!("{PREFIX}.drone.{}.order.build", alpha.id), "job".into());
    let (answer, inbox) = timeout(SOON, async { tokio::join!(order, answering) }).await.unwrap();
    assert_eq!(answer.unwrap().payload, "taken");
    assert!(inbox.starts_with(&format!("_INBOX.{}.", bus.controller.id)));
    // another drone may not answer in its stead
    other.may_not_publish(&inbox).await;

    let serving = async {
        let report = reports.next().await.unwrap();
        assert_eq!(report.subject.as_str(), format!("{PREFIX}.drone.{}.report.hello", alpha.id));
        controller.client.publish(report.reply.unwrap(), "welcome".into()).await.unwrap();
    };
    let hello = drone.client.request(format!("{PREFIX}.drone.{}.report.hello", alpha.id), "hello".into());
    let (welcome, ()) = timeout(SOON, async { tokio::join!(hello, serving) }).await.unwrap();
    assert_eq!(welcome.unwrap().payload, "welcome");
    assert!(others.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_tapper_hears_events_and_says_nothing() {
    let mut bus = TestBus::start(&["alpha"]).await;
    let (alpha, watcher) = (bus.enrol("alpha"), bus.enrol_tapper("watcher"));
    bus.admit().await;
    let (controller, tapper) = (bus.client(&bus.controller).await, bus.client(&watcher).await);
    let mut events = tapper.client.subscribe(format!("{PREFIX}.event.>")).await.unwrap();
    let subject = format!("{PREFIX}.event.drone_joined");
    until("the tapper hears an event", async || {
        controller.client.publish(subject.clone(), "x".into()).await.unwrap();
        timeout(Duration::from_millis(100), events.next()).await.is_ok()
    })
    .await;
    for subject in [
        format!("{PREFIX}.>"),
        format!("{PREFIX}.drone.{}.order.>", alpha.id),
        format!("{PREFIX}.log.>"),
        ">".to_owned(),
    ] {
        tapper.may_not_subscribe(&subject).await;
    }
    tapper.may_not_subscribe(&format!("_INBOX.{}.>", watcher.id)).await;
    for subject in [
        subject,
        format!("{PREFIX}.all.ping"),
        format!("{PREFIX}.drone.{}.order.cancel", alpha.id),
        "$JS.API.INFO".to_owned(),
        "$JS.API.STREAM.PURGE.SWARM_EVENTS".to_owned(),
    ] {
        tapper.may_not_publish(&subject).await;
    }
}

/// A request nobody serves is refused in order, after everything sent before it: then the subscriptions hold.
pub(crate) async fn settled(client: &Client, unserved: String) {
    let refused = timeout(SOON, client.request(unserved, "".into())).await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), async_nats::RequestErrorKind::NoResponders);
}
