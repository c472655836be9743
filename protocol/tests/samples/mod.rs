//! One sample of every message and variant. Names come from matches without `_`, so that a new variant needs a name here.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use swarm_protocol::artifact::{ArtifactAnswer, ArtifactAsk, ArtifactRef};
use swarm_protocol::envelope::open;
use swarm_protocol::event::Event;
use swarm_protocol::log::LogChunk;
use swarm_protocol::machine::{DroneType, Machine, PortageState, RebootPolicy, TreeState, Vitals, WorkerState};
use swarm_protocol::order::{
    BuildJob, Escalated, EscalationRefusal, Limits, Order, OrderAnswer, PlanJob, Rung, SyncJob, Task,
};
use swarm_protocol::plan::{Complaint, ComplaintKind, Plan, PlanAnswer, PlanChunk, PlannedEdge, PlannedPackage};
use swarm_protocol::report::{
    AttemptStatus, BinhostAccess, BuildAnswer, BuildNews, BuildReport, BuildResult, Failure, FailureClass, Heartbeat,
    Hello, HelloAnswer, Phase, Role, SyncAnswer, SyncReport,
};
use swarm_protocol::{
    ArtifactId, Attempt, BuildId, CodecError, DroneId, Envelope, Fence, InstanceId, PlanId, Secret, StoreId, encode,
};

/// A message as it is written, and how it is read.
pub struct Sample {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub json: Value,
    pub read: fn(&[u8]) -> Result<Read, CodecError>,
}

impl Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What was read, written anew.
#[derive(Debug)]
pub struct Read {
    pub bytes: Vec<u8>,
    pub json: Value,
}

fn read<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<Read, CodecError> {
    let envelope: Envelope<T> = open(bytes)?;
    Ok(Read {
        bytes: encode(&envelope)?,
        json: serde_json::to_value(&envelope).expect("every message has a JSON form"),
    })
}

fn sample<T: Serialize + DeserializeOwned>(name: &'static str, kind: &str, body: T) -> Sample {
    let envelope = Envelope::new(kind, 7, 1_795_450_961_000, body);
    Sample {
        name,
        bytes: encode(&envelope).expect("a sample is small"),
        json: serde_json::to_value(&envelope).expect("every message has a JSON form"),
        read: read::<T>,
    }
}

/// All of them.
pub fn samples() -> Vec<Sample> {
    let mut all = vec![
        sample("report.hello", "report.hello", hello()),
        sample("report.heartbeat", "report.heartbeat", heartbeat()),
        sample("report.artifact", "report.artifact", ask()),
        sample("report.plan", "report.plan", chunk()),
        sample("report.sync", "report.sync", sync_report()),
        sample("plan", "plan", plan()),
        sample("log", "log", log()),
        sample("event", "event", event()),
    ];
    all.extend(hello_answers().into_iter().map(|answer| {
        let name = match &answer {
            HelloAnswer::Welcome { .. } => "answer.hello.welcome",
            HelloAnswer::Refused { .. } => "answer.hello.refused",
            HelloAnswer::Unknown => "answer.hello.unknown",
        };
        sample(name, "answer.hello", answer)
    }));
    all.extend(news().into_iter().map(|news| {
        let name = match &news {
            BuildNews::Taken { .. } => "report.build.taken",
            BuildNews::Started { .. } => "report.build.started",
            BuildNews::Finished { .. } => "report.build.finished",
            BuildNews::Dropped { .. } => "report.build.dropped",
            BuildNews::Refused { .. } => "report.build.refused",
            BuildNews::Unknown => "report.build.unknown",
        };
        sample(
            name,
            "report.build",
            BuildReport { instance: instance(), store_id: store(), fence: fence(), number: 3, news },
        )
    }));
    all.extend(build_answers().into_iter().map(|answer| {
        let name = match &answer {
            BuildAnswer::Durable { .. } => "answer.build.durable",
            BuildAnswer::Superseded { .. } => "answer.build.superseded",
            BuildAnswer::Pending { .. } => "answer.build.pending",
            BuildAnswer::NeedArtifacts { .. } => "answer.build.need_artifacts",
            BuildAnswer::NotUnderstood { .. } => "answer.build.not_understood",
            BuildAnswer::Unknown => "answer.build.unknown",
        };
        sample(name, "answer.build", answer)
    }));
    all.extend(artifact_answers().into_iter().map(|answer| {
        let name = match &answer {
            ArtifactAnswer::Ticket { .. } => "answer.artifact.ticket",
            ArtifactAnswer::Have { .. } => "answer.artifact.have",
            ArtifactAnswer::Superseded { .. } => "answer.artifact.superseded",
            ArtifactAnswer::Refused { .. } => "answer.artifact.refused",
            ArtifactAnswer::Unknown => "answer.artifact.unknown",
        };
        sample(name, "answer.artifact", answer)
    }));
    all.extend(plan_answers().into_iter().map(|answer| {
        let name = match &answer {
            PlanAnswer::Next { .. } => "answer.plan.next",
            PlanAnswer::Durable { .. } => "answer.plan.durable",
            PlanAnswer::Superseded { .. } => "answer.plan.superseded",
            PlanAnswer::Refused { .. } => "answer.plan.refused",
            PlanAnswer::Unknown => "answer.plan.unknown",
        };
        sample(name, "answer.plan", answer)
    }));
    all.extend(sync_answers().into_iter().map(|answer| {
        let name = match &answer {
            SyncAnswer::Durable { .. } => "answer.sync.durable",
            SyncAnswer::Superseded { .. } => "answer.sync.superseded",
            SyncAnswer::Unknown => "answer.sync.unknown",
        };
        sample(name, "answer.sync", answer)
    }));
    all.extend(tasks().into_iter().map(|task| {
        let name = match &task {
            Task::Build { .. } => "order.build",
            Task::Cancel { .. } => "order.cancel",
            Task::Release { .. } => "order.release",
            Task::Sync { .. } => "order.sync",
            Task::Plan { .. } => "order.plan",
            Task::Ping { .. } => "order.ping",
            Task::Logs { .. } => "order.logs",
            Task::Escalate { .. } => "order.escalate",
            Task::Unknown => "order.unknown",
        };
        sample(name, name, Order { number: 12, store_id: store(), instance: instance(), task })
    }));
    all.extend(order_answers().into_iter().map(|answer| {
        let name = match &answer {
            OrderAnswer::Escalated { outcome, .. } => match outcome {
                Escalated::Done { .. } => "answer.order.escalated.done",
                Escalated::DryRun { .. } => "answer.order.escalated.dry_run",
                Escalated::Refused { .. } => "answer.order.escalated.refused",
                Escalated::Unknown => "answer.order.escalated.unknown",
            },
            OrderAnswer::Accepted { .. } => "answer.order.accepted",
            OrderAnswer::Refused { .. } => "answer.order.refused",
            OrderAnswer::Pong { .. } => "answer.order.pong",
            OrderAnswer::Log { .. } => "answer.order.log",
            OrderAnswer::NotUnderstood { .. } => "answer.order.not_understood",
            OrderAnswer::Unknown => "answer.order.unknown",
        };
        sample(name, "answer.order", answer)
    }));
    all
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn instance() -> InstanceId {
    InstanceId::from("01a7f3c2b9d84e10")
}

fn store() -> StoreId {
    StoreId::from("5e9d0c4b7a312f68")
}

fn drone() -> DroneId {
    DroneId::from("UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4")
}

fn fence() -> Fence {
    Fence { build: BuildId(41), attempt: Attempt(2) }
}

fn sync_report() -> SyncReport {
    SyncReport {
        instance: instance(),
        store_id: store(),
        number: 12,
        failure: Some(text("emaint sync ended with 1: the mirror does not answer")),
        tree: tree(),
        duration_ms: 41_200,
    }
}

fn sync_answers() -> Vec<SyncAnswer> {
    vec![
        SyncAnswer::Durable {},
        SyncAnswer::Superseded { reason: text("nobody waits for this sync") },
        SyncAnswer::Unknown,
    ]
}

fn hello() -> Hello {
    Hello {
        instance: instance(),
        role: Role::Supervisor,
        supervisor: None,
        name: text("rack-3"),
        agent_version: text("0.5.0"),
        proto_min: 1,
        proto_max: 1,
        store_id: Some(store()),
        machine: Machine {
            hostname: text("rack-3.example.org"),
            arch: text("amd64"),
            cores: 16,
            ram_bytes: 32 << 30,
            drone_type: DroneType::Lxc,
            evidence: texts(&["/proc/1/environ names container=lxc"]),
            boot_id: text("2f1d7c1e-94c7-4e0c-8b68-0a8f7f1f2c4d"),
            kernel: text("6.18.2"),
            addresses: texts(&["192.0.2.7"]),
            reboot: RebootPolicy::DryRun,
            ssh_host_keys: texts(&["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMwkdS0xLyL9oUXJYnVWq6TD1xMKPyPMlS2bOYh6eUmd"]),
        },
        portage: PortageState {
            version: text("3.0.83"),
            build_profile: text("default"),
            profile: text("default/linux/amd64/23.0"),
            chost: text("x86_64-pc-linux-gnu"),
            cflags: text("-O2 -pipe"),
            installed_hash: text("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
            tree: tree(),
            features: texts(&["ccache", "observability"]),
            index_header: BTreeMap::from([(text("ARCH"), text("amd64")), (text("VERSION"), text("0"))]),
        },
        tags: texts(&["ssd"]),
        slots: 1,
        waiting: Some(4),
        sources: vec![0x0b1e_55ed, 0xc0ff_ee00],
        orders_seen: 12,
        running: vec![fence()],
        finished: vec![Fence { build: BuildId(40), attempt: Attempt(1) }],
    }
}

fn tree() -> TreeState {
    TreeState { timestamp: Some(1_795_449_600), id: text("1795449600") }
}

fn hello_answers() -> Vec<HelloAnswer> {
    vec![
        HelloAnswer::Welcome {
            store_id: store(),
            controller_version: text("0.5.0"),
            proto: 1,
            drone: drone(),
            heartbeat_ms: 5_000,
            lease_ms: 600_000,
            http_url: text("http://swarm.example.org:8100"),
            binhost: Box::new(BinhostAccess {
                url: text("http://swarm.example.org:8100/binhost/amd64/default/x86_64-pc-linux-gnu"),
                fingerprint: text("8D2A7C30E68AF91841AC4477BE4552750995E88D"),
                public_key: text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n…\n"),
                private_url: text("http://swarm.example.org:8100/binhost-private/amd64/default/x86_64-pc-linux-gnu"),
                secret: Secret(text("5b1f…")),
            }),
            superseded: vec![Fence { build: BuildId(40), attempt: Attempt(1) }],
        },
        HelloAnswer::Refused {
            reason: text("another instance of this drone is alive"),
            hint: text("two agents share one identity; stop one of them or enrol it on its own"),
        },
        HelloAnswer::Unknown,
    ]
}

fn vitals() -> Vitals {
    Vitals {
        load_1m: 3.5,
        cpu_percent: 87.25,
        mem_percent: 41.5,
        mem_available_bytes: 18 << 30,
        disk_build_free: 120 << 30,
        disk_build_total: 200 << 30,
        disk_packages_free: 120 << 30,
        psi_cpu: 12.5,
        psi_memory: 0.0,
        psi_io: 1.25,
        uptime_s: 864_000,
        agent_rss_bytes: 13 << 20,
    }
}

fn status() -> AttemptStatus {
    AttemptStatus {
        fence: fence(),
        cpv: text("app-misc/waggle-1.1"),
        phase: Phase::Compile,
        elapsed_ms: 42_000,
        log_bytes: 18_233,
        memory_peak_bytes: 310 << 20,
    }
}

fn heartbeat() -> Heartbeat {
    Heartbeat {
        instance: instance(),
        seq: 1_021,
        orders_seen: 12,
        vitals: vitals(),
        worker: WorkerState::Alive,
        worker_instance: Some(InstanceId::from("77aa10be")),
        attempts: vec![status()],
        finished: vec![Fence { build: BuildId(40), attempt: Attempt(1) }],
        tree: tree(),
    }
}

fn artifact() -> ArtifactRef {
    ArtifactRef {
        cpv: text("app-misc/waggle-1.1"),
        slot: text("0"),
        repository: text("gentoo"),
        sha256: text("2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"),
        size: 20_480,
        use_flags: texts(&["dance", "nls"]),
    }
}

fn ask() -> ArtifactAsk {
    ArtifactAsk { instance: instance(), store_id: store(), fence: fence(), artifact: artifact() }
}

fn artifact_answers() -> Vec<ArtifactAnswer> {
    vec![
        ArtifactAnswer::Ticket { artifact: ArtifactId(9), token: text("c0ffee"), expires_ms: 3_600_000 },
        ArtifactAnswer::Have {},
        ArtifactAnswer::Superseded { reason: text("attempt 41.2 is not current") },
        ArtifactAnswer::Refused { reason: text("the drone is not known") },
        ArtifactAnswer::Unknown,
    ]
}

fn failure() -> Failure {
    Failure {
        class: FailureClass::Phase,
        cpv: Some(text("app-misc/wasp-1.0")),
        phase: Some(Phase::Compile),
        message: text("app-misc/wasp-1.0 failed in its compile phase: the compiler failed"),
        log_line: Some(text("wasp.c:4:16: error: implicit declaration of function 'sting'")),
    }
}

fn news() -> Vec<BuildNews> {
    let result = BuildResult {
        failure: Some(failure()),
        duration_ms: 4_812,
        log_bytes: 18_233,
        artifacts: vec![artifact()],
        memory_peak_bytes: 310 << 20,
        exit_status: Some(1),
    };
    vec![
        BuildNews::Taken {},
        BuildNews::Started { at: 1_795_450_960_000 },
        BuildNews::Finished { result },
        BuildNews::Dropped { reason: text("cancelled") },
        BuildNews::Refused {
            failure: Failure { class: FailureClass::Busy, message: text("no free slot"), ..Failure::default() },
        },
        BuildNews::Unknown,
    ]
}

fn build_answers() -> Vec<BuildAnswer> {
    vec![
        BuildAnswer::Durable {},
        BuildAnswer::Superseded { reason: text("attempt 41.2 is not current") },
        BuildAnswer::Pending { retry_ms: 250 },
        BuildAnswer::NeedArtifacts { sha256: vec![artifact().sha256] },
        BuildAnswer::NotUnderstood { reason: text("news of a later version") },
        BuildAnswer::Unknown,
    ]
}

fn chunk() -> PlanChunk {
    PlanChunk {
        instance: instance(),
        store_id: store(),
        plan: PlanId(5),
        attempt: 1,
        chunk: 0,
        chunks: 2,
        sha256: text("fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9"),
        bytes: vec![0x81, 0xa7, b'p', b'o', b'r', b't', b'a', b'g', b'e'],
    }
}

fn plan_answers() -> Vec<PlanAnswer> {
    vec![
        PlanAnswer::Next {},
        PlanAnswer::Durable {},
        PlanAnswer::Superseded { reason: text("the request is settled") },
        PlanAnswer::Refused { reason: text("the merge order does not name each package once") },
        PlanAnswer::Unknown,
    ]
}

fn plan() -> Plan {
    let package = |cpv: &str, slot: &str, subslot: &str, use_flags: &[&str]| PlannedPackage {
        cpv: text(cpv),
        slot: text(slot),
        subslot: text(subslot),
        repository: text("gentoo"),
        use_flags: texts(use_flags),
        restrict: String::new(),
        distfile_bytes: 81_920,
        sources: vec![0xc0ff_ee00],
    };
    Plan {
        portage: text("3.0.83"),
        complaint: Some(Complaint {
            kind: ComplaintKind::UseChange,
            text: text("app-misc/nectar needs USE=sweet"),
            use_changes: BTreeMap::from([(text("app-misc/nectar-2.1"), BTreeMap::from([(text("sweet"), true)]))]),
        }),
        packages: vec![
            package("dev-libs/libcomb-1.2", "0", "3", &[]),
            package("app-misc/waggle-1.1", "0", "0", &["dance"]),
        ],
        edges: vec![PlannedEdge { from: 1, to: 0, build_time: true, run_time: true }],
        order: vec![0, 1],
        targets: vec![Some(1), None],
        duration_ms: 812,
    }
}

fn log() -> LogChunk {
    LogChunk {
        fence: fence(),
        offset: 16_384,
        bytes: b">>> Compiling source\n".to_vec(),
        total: 18_233,
        cut: 0,
        end: false,
    }
}

fn event() -> Event {
    Event {
        seq: 310,
        at: 1_795_450_961_000,
        kind: text("complete"),
        message: text("=app-misc/waggle-1.1 built on rack-3 in 4.8 s"),
        drone: Some(text("rack-3")),
        package: Some(text("=app-misc/waggle-1.1")),
        build: Some(41),
        attempt: Some(2),
        session: Some(3),
        details: BTreeMap::from([(text("size"), text("20480"))]),
    }
}

fn tasks() -> Vec<Task> {
    vec![
        Task::Build {
            job: BuildJob {
                fence: fence(),
                cpv: text("app-misc/waggle-1.1"),
                slot: text("0"),
                repository: text("gentoo"),
                use_flags: texts(&["dance"]),
                package_use: texts(&["app-misc/waggle dance -nls"]),
                min_index_timestamp: 1_795_450_900,
                limits: Limits::default(),
            },
        },
        Task::Cancel { fence: fence(), reason: text("superseded") },
        Task::Release { fence: fence(), reason: text("asked back, since it had not begun") },
        Task::Sync { job: SyncJob { expected: tree(), timeout_ms: 900_000 } },
        Task::Plan {
            job: PlanJob { plan: PlanId(5), attempt: 1, atoms: texts(&["app-misc/waggle"]), package_use: Vec::new() },
        },
        Task::Ping { seq: 77, sent_at: 1_795_450_961_000 },
        Task::Logs { fence: fence(), offset: 16_384, max: 65_536 },
        Task::Escalate { rung: Rung::HardRestart, reason: text("3 pings in a row were not answered"), generation: 4 },
        Task::Unknown,
    ]
}

fn order_answers() -> Vec<OrderAnswer> {
    vec![
        OrderAnswer::Accepted {},
        OrderAnswer::Refused { reason: text("it is for another instance") },
        OrderAnswer::Pong {
            seq: 77,
            instance: instance(),
            at: 1_795_450_961_012,
            vitals: vitals(),
            worker: WorkerState::Alive,
            attempts: vec![status()],
        },
        OrderAnswer::Log { chunk: log() },
        OrderAnswer::Escalated {
            generation: 4,
            outcome: Escalated::Done { detail: text("the worker was killed and started anew") },
        },
        OrderAnswer::Escalated {
            generation: 4,
            outcome: Escalated::DryRun { detail: text("would run systemctl reboot") },
        },
        OrderAnswer::Escalated {
            generation: 4,
            outcome: Escalated::Refused {
                why: EscalationRefusal::Type,
                detail: text("this is bare metal: DMI sys_vendor is \"Supermicro\""),
            },
        },
        OrderAnswer::Escalated { generation: 4, outcome: Escalated::Unknown },
        OrderAnswer::NotUnderstood { reason: text("an order of a later version") },
        OrderAnswer::Unknown,
    ]
}
