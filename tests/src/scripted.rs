//! A drone whose every word the test writes: a real key on the real bus, no agent behind it. For drones that mean harm, and
//! for builds without Portage.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::{Client, ConnectOptions, Subscriber};
use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use swarm_protocol::envelope::{Envelope, encode, open};
use swarm_protocol::machine::{Machine, PortageState, TreeState, Vitals};
use swarm_protocol::order::{BuildJob, Order, OrderAnswer, PlanJob, Task};
use swarm_protocol::plan::{CHUNK, Plan, PlanAnswer, PlanChunk, PlannedPackage};
use swarm_protocol::report::{AttemptStatus, BuildAnswer, BuildNews, BuildReport, Heartbeat, Hello, HelloAnswer, Role};
use swarm_protocol::subject::{ReportKind, Subjects};
use swarm_protocol::{DroneId, Fence, InstanceId, StoreId};
use tokio::time::{sleep, timeout};

use crate::Swarm;

/// How long anything on the bus may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// A drone without an agent.
pub struct Scripted {
    /// Its identity.
    pub id: DroneId,
    /// Its name.
    pub name: String,
    /// Its connection.
    pub client: Client,
    /// Subjects of the swarm.
    pub subjects: Subjects,
    /// Its supervisor's run.
    pub instance: InstanceId,
    /// The controller's store, once it is welcome.
    pub store_id: StoreId,
    /// Attempts its heartbeats list.
    pub running: Vec<Fence>,
    orders: Subscriber,
    told: Arc<Mutex<Vec<String>>>,
    seq: u64,
    orders_seen: u64,
}

impl Scripted {
    /// Connects as a drone of `swarm` whose key lies in the controller's data directory.
    ///
    /// # Errors
    /// When the bus does not let it in.
    pub async fn connect(swarm: &Swarm, name: &str) -> Result<Self> {
        let url = fs_err::read_to_string(swarm.data().join("bus.url"))?;
        Self::connect_with(
            &url,
            &swarm.data().join("bus-ca.pem"),
            &swarm.data().join("drones").join(format!("{name}.nk")),
            name,
        )
        .await
    }

    /// Connects with a key.
    ///
    /// # Errors
    /// When the bus does not let it in.
    pub async fn connect_with(url: &str, ca: &Path, key: &Path, name: &str) -> Result<Self> {
        let seed = fs_err::read_to_string(key)?.trim().to_owned();
        let id = DroneId(nkeys::KeyPair::from_seed(&seed)?.public_key());
        let told = Arc::new(Mutex::new(Vec::new()));
        let ears = told.clone();
        let client = ConnectOptions::with_nkey(seed)
            .add_root_certificates(ca.to_owned())
            .require_tls(true)
            .custom_inbox_prefix(Subjects::inbox(id.as_str()))
            .reconnect_delay_callback(|_| Duration::from_millis(50))
            .event_callback(move |event| {
                ears.lock().expect("no test panics here").push(event.to_string());
                std::future::ready(())
            })
            .connect(url.trim())
            .await?;
        let subjects = Subjects::default();
        let orders = client.subscribe(subjects.orders_of(&id)).await?;
        let drone = Self {
            instance: InstanceId(format!("{name}-supervisor")),
            store_id: StoreId(String::new()),
            running: Vec::new(),
            name: name.to_owned(),
            id,
            client,
            subjects,
            orders,
            told,
            seq: 0,
            orders_seen: 0,
        };
        drone.barrier().await;
        Ok(drone)
    }

    /// Returns when the server has taken everything sent before: a request nobody serves is refused in order.
    pub async fn barrier(&self) {
        let unserved = self.subjects.logs_of(&self.id).replace('>', "unserved");
        let _refused = timeout(SOON, self.client.request(unserved, Vec::new().into())).await;
    }

    /// Whether the server, or the client's own connection, said this.
    pub fn was_told(&self, part: &str) -> bool {
        self.told.lock().expect("no test panics here").iter().any(|line| line.contains(part))
    }

    /// Waits until the server says this.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn is_told(&self, part: &str) -> Result<()> {
        let heard = async {
            while !self.was_told(part) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, heard).await.with_context(|| format!("{} was never told {part:?}", self.name))
    }

    /// The server refuses a subscription.
    ///
    /// # Errors
    /// When it does not say so.
    pub async fn may_not_hear(&self, subject: &str) -> Result<()> {
        drop(self.client.subscribe(subject.to_owned()).await?);
        self.is_told(&format!("Permissions Violation for Subscription to \"{subject}\"")).await
    }

    /// The server refuses a message.
    ///
    /// # Errors
    /// When it does not say so.
    pub async fn may_not_say(&self, subject: &str) -> Result<()> {
        self.client.publish(subject.to_owned(), "x".into()).await?;
        self.is_told(&format!("Permissions Violation for Publish to \"{subject}\"")).await
    }

    /// Asks and reads the answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ask<A: DeserializeOwned>(&self, kind: ReportKind, body: impl Serialize) -> Result<A> {
        let bytes = encode(&Envelope::new("report", 1, 2, body))?;
        let asked = self.client.request(self.subjects.report(&self.id, kind), bytes.into());
        let answer = timeout(SOON, asked).await.with_context(|| format!("{kind:?} was not answered"))??;
        Ok(open::<A>(&answer.payload)?.body)
    }

    /// The run of its worker.
    pub fn worker(&self) -> InstanceId {
        InstanceId(format!("{}-worker", self.name))
    }

    /// What it says of itself; all scripted drones have the same base.
    pub fn hello(&self, role: Role) -> Hello {
        let instance = if role == Role::Worker { self.worker() } else { self.instance.clone() };
        let tree = TreeState { timestamp: None, id: "scripted".to_owned() };
        Hello {
            instance,
            role,
            supervisor: (role == Role::Worker).then(|| self.instance.clone()),
            name: self.name.clone(),
            agent_version: "0.5.0".to_owned(),
            proto_min: 1,
            proto_max: 1,
            machine: Machine { arch: "amd64".to_owned(), cores: 4, ram_bytes: 8 << 30, ..Machine::default() },
            portage: PortageState {
                version: "3.0.83".to_owned(),
                profile: "scripted".to_owned(),
                chost: "x86_64-pc-linux-gnu".to_owned(),
                tree,
                index_header: [("ARCH", "amd64"), ("CHOST", "x86_64-pc-linux-gnu"), ("VERSION", "0")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
                ..PortageState::default()
            },
            slots: 1,
            orders_seen: self.orders_seen,
            ..Hello::default()
        }
    }

    /// Both processes say hello and are welcome; then the first heartbeat.
    ///
    /// # Errors
    /// When one is refused.
    pub async fn come_in(&mut self) -> Result<()> {
        for role in [Role::Supervisor, Role::Worker] {
            match self.ask(ReportKind::Hello, self.hello(role)).await? {
                HelloAnswer::Welcome { store_id, .. } => self.store_id = store_id,
                other => anyhow::bail!("{}'s {role:?} is not welcome: {other:?}", self.name),
            }
        }
        self.beat().await
    }

    /// Proof of life.
    ///
    /// # Errors
    /// When it can't be sent.
    pub async fn beat(&mut self) -> Result<()> {
        self.seq += 1;
        let vitals = Vitals { disk_build_free: 1 << 40, disk_packages_free: 1 << 40, ..Vitals::default() };
        let status = |fence: &Fence| AttemptStatus { fence: *fence, elapsed_ms: 1_000, ..AttemptStatus::default() };
        let beat = Heartbeat {
            attempts: self.running.iter().map(status).collect(),
            instance: self.instance.clone(),
            seq: self.seq,
            orders_seen: self.orders_seen,
            vitals,
            worker: swarm_protocol::machine::WorkerState::Alive,
            worker_instance: Some(self.worker()),
            tree: TreeState { timestamp: None, id: "scripted".to_owned() },
            ..Heartbeat::default()
        };
        let bytes = encode(&Envelope::new("report.heartbeat", self.seq, 2, beat))?;
        self.client.publish(self.subjects.report(&self.id, ReportKind::Heartbeat), bytes.into()).await?;
        self.barrier().await;
        Ok(())
    }

    /// The next order, answered as taken; heartbeats go on meanwhile.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn order(&mut self) -> Result<Order> {
        for _ in 0..SOON.as_secs() {
            if let Ok(message) = timeout(Duration::from_secs(1), self.orders.next()).await {
                let message = message.context("the subscription is over")?;
                let order = open::<Order>(&message.payload)?.body;
                self.orders_seen = self.orders_seen.max(order.number);
                if let Some(reply) = message.reply {
                    let bytes = encode(&Envelope::new("answer.order", 1, 2, OrderAnswer::Accepted {}))?;
                    self.client.publish(reply, bytes.into()).await?;
                }
                return Ok(order);
            }
            self.beat().await?;
        }
        anyhow::bail!("no order for {} came", self.name)
    }

    /// Resolves every atom `=category/name-version` to itself, until a build is ordered.
    ///
    /// # Errors
    /// When no build is ordered in time.
    pub async fn until_build(&mut self) -> Result<BuildJob> {
        loop {
            match self.order().await?.task {
                Task::Plan { job } => self.plan(&job).await?,
                Task::Build { job } => return Ok(job),
                _ => {}
            }
        }
    }

    async fn plan(&self, job: &PlanJob) -> Result<()> {
        let package = |atom: &String| PlannedPackage {
            cpv: atom.trim_start_matches('=').to_owned(),
            slot: "0".to_owned(),
            repository: "hive".to_owned(),
            ..PlannedPackage::default()
        };
        let count = u32::try_from(job.atoms.len())?;
        let plan = Plan {
            packages: job.atoms.iter().map(package).collect(),
            order: (0..count).collect(),
            targets: (0..count).map(Some).collect(),
            ..Plan::default()
        };
        let bytes = rmp_serde::to_vec_named(&plan)?;
        ensure!(bytes.len() <= CHUNK, "one chunk is enough");
        let chunk = PlanChunk {
            instance: self.worker(),
            store_id: self.store_id.clone(),
            plan: job.plan,
            attempt: job.attempt,
            chunk: 0,
            chunks: 1,
            sha256: hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes)),
            bytes,
        };
        let answer: PlanAnswer = self.ask(ReportKind::Plan, chunk).await?;
        ensure!(matches!(answer, PlanAnswer::Durable {} | PlanAnswer::Superseded { .. }), "{answer:?}");
        Ok(())
    }

    /// News of an attempt.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn report(&self, fence: Fence, news: BuildNews) -> Result<BuildAnswer> {
        let report = BuildReport { instance: self.worker(), store_id: self.store_id.clone(), fence, number: 1, news };
        self.ask(ReportKind::Build, report).await
    }
}
