//! A scripted drone: it introduces itself, takes orders, keeps its results until they are durable. It never builds.

use std::collections::BTreeMap;

use swarm_core::Now;
use swarm_core::effect::Route;
use swarm_core::input::{PingLoss, Pong, RouteOutcome};
use swarm_core::rows::RouteKind;
use swarm_protocol::artifact::ArtifactRef;
use swarm_protocol::machine::{DroneType, Machine, PortageState, RebootPolicy, TreeState, Vitals, WorkerState};
use swarm_protocol::order::{BuildJob, EscalationRefusal, Rung, SyncJob};
use swarm_protocol::report::{AttemptStatus, BuildResult, Heartbeat, Hello, Phase, Role};
use swarm_protocol::{DroneId, Fence, InstanceId};

/// A drone and everything it would keep on its disk.
#[derive(Debug, Clone)]
pub struct Drone {
    pub id: DroneId,
    pub name: String,
    /// Counts its agent's starts.
    pub starts: u32,
    pub arch: String,
    pub cores: u32,
    pub ram_gib: u64,
    pub slots: u32,
    pub tags: Vec<String>,
    pub profile: String,
    pub cflags: String,
    pub tree: String,
    /// When its tree was made; `None` for a tree that does not say.
    pub tree_timestamp: Option<u64>,
    pub features: Vec<String>,
    pub sources: Vec<u32>,
    /// Orders it takes beyond its slots, as it says.
    pub waiting: Option<u32>,
    /// The order to bring its tree up to date, not yet carried out.
    pub syncing: Option<(u64, SyncJob)>,
    pub vitals: Vitals,
    pub worker: WorkerState,
    pub seq: u64,
    pub orders_seen: u64,
    /// Attempts it has and since when they build, on the core's clock.
    pub running: BTreeMap<Fence, (BuildJob, Option<u64>)>,
    /// Numbers of the orders it got, which is the order it begins in.
    pub line: BTreeMap<Fence, u64>,
    /// Results that are not acknowledged.
    pub finished: BTreeMap<Fence, BuildResult>,
    /// Orders to it are lost.
    pub deaf: bool,
    /// It sends nothing by itself.
    pub silent: bool,
    /// It takes plan orders and does not answer them.
    pub dull: bool,
    /// It can't upload.
    pub no_upload: bool,
    /// Its supervisor answers no ping and takes no order.
    pub mute: bool,
    /// The rung that makes it well again, if one does.
    pub cure: Option<Rung>,
    /// By its own detection.
    pub kind: DroneType,
    /// SSH and hypervisor commands reach it.
    pub ways: bool,
    /// By its own configuration.
    pub reboot: RebootPolicy,
    /// The SSH host keys it names, and shows.
    pub host_keys: Vec<String>,
}

pub const GIB: u64 = 1 << 30;

impl Drone {
    pub fn new(name: &str) -> Self {
        let vitals = Vitals { disk_build_free: 50 * GIB, disk_packages_free: 50 * GIB, ..Vitals::default() };
        Self {
            id: DroneId(format!("U-{name}")),
            name: name.to_owned(),
            starts: 1,
            arch: "amd64".to_owned(),
            cores: 8,
            ram_gib: 16,
            slots: 1,
            tags: Vec::new(),
            profile: "default".to_owned(),
            cflags: "-O2".to_owned(),
            tree: "tree-1".to_owned(),
            tree_timestamp: None,
            features: Vec::new(),
            sources: Vec::new(),
            waiting: None,
            syncing: None,
            vitals,
            worker: WorkerState::Alive,
            seq: 0,
            orders_seen: 0,
            running: BTreeMap::new(),
            line: BTreeMap::new(),
            finished: BTreeMap::new(),
            deaf: false,
            silent: false,
            dull: false,
            no_upload: false,
            mute: false,
            cure: None,
            kind: DroneType::Lxc,
            ways: true,
            reboot: RebootPolicy::Auto,
            host_keys: Vec::new(),
        }
    }

    pub fn instance(&self, role: Role) -> InstanceId {
        InstanceId(format!("{}-{role:?}-{}", self.name, self.starts))
    }

    pub fn tree_state(&self) -> TreeState {
        TreeState { id: self.tree.clone(), timestamp: self.tree_timestamp }
    }

    pub fn hello(&self, role: Role) -> Hello {
        Hello {
            instance: self.instance(role),
            supervisor: (role == Role::Worker).then(|| self.instance(Role::Supervisor)),
            role,
            name: self.name.clone(),
            agent_version: "0.5.0".to_owned(),
            proto_min: 1,
            proto_max: 1,
            machine: Machine {
                arch: self.arch.clone(),
                cores: self.cores,
                ram_bytes: self.ram_gib * GIB,
                drone_type: self.kind,
                reboot: self.reboot,
                ssh_host_keys: self.host_keys.clone(),
                ..Machine::default()
            },
            portage: PortageState {
                version: "3.0.83".to_owned(),
                build_profile: self.profile.clone(),
                profile: "default/linux/amd64/23.0".to_owned(),
                chost: "x86_64-pc-linux-gnu".to_owned(),
                cflags: self.cflags.clone(),
                installed_hash: "base".to_owned(),
                features: self.features.clone(),
                tree: self.tree_state(),
                ..PortageState::default()
            },
            tags: self.tags.clone(),
            slots: self.slots,
            waiting: self.waiting,
            sources: self.sources.clone(),
            orders_seen: self.orders_seen,
            running: self.running.keys().copied().collect(),
            finished: self.finished.keys().copied().collect(),
            ..Hello::default()
        }
    }

    /// Answers a ping, or does not.
    pub fn ping(&self, now: Now) -> Result<Pong, PingLoss> {
        if self.mute {
            return Err(PingLoss::Absent);
        }
        Ok(Pong {
            instance: self.instance(Role::Supervisor),
            at: now.wall,
            middle: now.wall,
            vitals: self.vitals.clone(),
            worker: self.worker,
            attempts: self.running.keys().copied().collect(),
        })
    }

    /// Carries out a rung that came by a route, or says why not.
    pub fn escalate(&mut self, rung: Rung, route: &Route) -> RouteOutcome {
        let failed = |detail: &str| RouteOutcome::Failed { detail: detail.to_owned() };
        if let Route::Ssh { host_keys, .. } = route
            && !self.host_keys.iter().all(|key| host_keys.contains(key))
        {
            return RouteOutcome::Distrusted { detail: "it shows another host key".to_owned() };
        }
        match route.kind() {
            RouteKind::Bus if self.mute => return failed("its supervisor is not on the bus"),
            RouteKind::Ssh | RouteKind::Hypervisor if !self.ways => return failed("no route to host"),
            RouteKind::Bus
                if rung == Rung::RebootContainer && !matches!(self.kind, DroneType::Lxc | DroneType::Qemu) =>
            {
                let detail = format!("this is {}", self.kind.name());
                return RouteOutcome::Refused { why: EscalationRefusal::Type, detail };
            }
            RouteKind::Bus | RouteKind::Ssh | RouteKind::Hypervisor => {}
        }
        if rung == Rung::RebootContainer {
            self.running.clear();
            self.starts += 1;
            self.seq = 0;
        }
        if self.cure == Some(rung) {
            (self.mute, self.silent, self.worker) = (false, false, WorkerState::Alive);
        }
        RouteOutcome::Done { detail: format!("{} carried out", rung.name()) }
    }

    pub fn heartbeat(&mut self, now: u64) -> Heartbeat {
        self.seq += 1;
        let status = |(fence, (job, since)): (&Fence, &(BuildJob, Option<u64>))| AttemptStatus {
            fence: *fence,
            cpv: job.cpv.clone(),
            phase: if since.is_some() { Phase::Compile } else { Phase::Queued },
            elapsed_ms: since.map_or(0, |since| now - since),
            ..AttemptStatus::default()
        };
        Heartbeat {
            instance: self.instance(Role::Supervisor),
            seq: self.seq,
            orders_seen: self.orders_seen,
            vitals: self.vitals.clone(),
            worker: self.worker,
            worker_instance: Some(self.instance(Role::Worker)),
            attempts: self.running.iter().map(status).collect(),
            finished: self.finished.keys().copied().collect(),
            tree: self.tree_state(),
        }
    }
}

/// The package an attempt makes.
pub fn binary(job: &BuildJob) -> ArtifactRef {
    ArtifactRef {
        cpv: job.cpv.clone(),
        slot: job.slot.clone(),
        repository: job.repository.clone(),
        sha256: sha(&format!("{} {} {:?}", job.cpv, job.fence, job.use_flags)),
        size: 1000,
        use_flags: job.use_flags.clone(),
    }
}

/// Something that looks like a SHA-256 and differs for different texts.
pub fn sha(text: &str) -> String {
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{sum:016x}").repeat(4)
}
