//! What stands in for Portage in a fleet: every request resolves to the atoms asked for, every build succeeds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use swarm_protocol::artifact::ArtifactRef;
use swarm_protocol::order::{BuildJob, PlanJob};
use swarm_protocol::plan::{Plan, PlannedPackage};
use swarm_protocol::report::BuildResult;
use swarm_protocol::{Attempt, DroneId};

use super::{Builds, Ticket, Uploads};
use crate::packages::Package;

/// Flags every package is planned and built with.
const FLAGS: [&str; 2] = ["nls", "ssl"];

/// Builds that take a fixed time and leave one package each. Without `files` the package is only spoken of, for controllers
/// whose binhost is stood in for; with them it is a real file, made when it is built and kept until it counts no more.
#[derive(Default)]
pub struct Standing {
    /// How long each takes.
    pub takes: Duration,
    /// Length of each log, bytes.
    pub log_bytes: u64,
    /// Make real files.
    pub files: Option<Files>,
}

/// Packages that were built and may still be wanted, by SHA-256.
pub type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

impl Builds for Standing {
    fn plan(&self, job: &PlanJob) -> Plan {
        let package = |atom: &String| PlannedPackage {
            cpv: atom.trim_start_matches('=').to_owned(),
            slot: "0".to_owned(),
            subslot: "0".to_owned(),
            repository: "gentoo".to_owned(),
            use_flags: FLAGS.map(str::to_owned).to_vec(),
            restrict: String::new(),
            distfile_bytes: 1 << 20,
            ..PlannedPackage::default()
        };
        let count = u32::try_from(job.atoms.len()).unwrap_or(u32::MAX);
        Plan {
            portage: "3.0.83".to_owned(),
            packages: job.atoms.iter().map(package).collect(),
            order: (0..count).collect(),
            targets: (0..count).map(Some).collect(),
            duration_ms: 2_000,
            ..Plan::default()
        }
    }

    fn build(&self, drone: &DroneId, job: &BuildJob) -> (Duration, BuildResult) {
        let (sha256, size) = match &self.files {
            None => (hex::encode(Sha256::digest(format!("{drone} {}", job.fence))), 180_000),
            Some(files) => keep(files, job),
        };
        let artifact = ArtifactRef {
            cpv: job.cpv.clone(),
            slot: job.slot.clone(),
            repository: job.repository.clone(),
            sha256,
            size,
            use_flags: job.use_flags.clone(),
        };
        let result = BuildResult {
            failure: None,
            duration_ms: u64::try_from(self.takes.as_millis()).unwrap_or(0).max(1),
            log_bytes: self.log_bytes,
            artifacts: vec![artifact],
            memory_peak_bytes: 700 << 20,
            exit_status: Some(0),
        };
        (self.takes, result)
    }

    fn forget(&self, result: &BuildResult) {
        if let Some(files) = &self.files {
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            for artifact in &result.artifacts {
                files.remove(&artifact.sha256);
            }
        }
    }
}

fn keep(files: &Files, job: &BuildJob) -> (String, u64) {
    let Attempt(attempt) = job.fence.attempt;
    let package = Package {
        cpv: job.cpv.clone(),
        slot: job.slot.clone(),
        repository: job.repository.clone(),
        use_flags: job.use_flags.clone(),
        off: vec!["test".to_owned()],
        depend: "dev-libs/openssl:0=".to_owned(),
        build_time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        image: 10_000,
        seed: job.fence.build.0.wrapping_mul(1_000) + u64::from(attempt),
    };
    let bytes = package.encode().expect("a planned package has a name");
    let (sha256, size) = (hex::encode(Sha256::digest(&bytes)), bytes.len() as u64);
    files.lock().unwrap_or_else(PoisonError::into_inner).insert(sha256.clone(), bytes);
    (sha256, size)
}

/// Uploads the files of [`Standing`] to a controller's façade.
pub struct HttpUploads {
    files: Files,
    agent: ureq::Agent,
}

impl HttpUploads {
    /// Uploads what is in `files`.
    pub fn new(files: Files) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(60)));
        Self { files, agent: config.http_status_as_error(false).build().new_agent() }
    }
}

impl Uploads for HttpUploads {
    fn upload(&self, ticket: Ticket, artifact: ArtifactRef) -> BoxFuture<'_, Result<(), String>> {
        let bytes = self.files.lock().unwrap_or_else(PoisonError::into_inner).get(&artifact.sha256).cloned();
        let agent = self.agent.clone();
        Box::pin(async move {
            let bytes = bytes.ok_or_else(|| format!("{} is not kept", artifact.sha256))?;
            let sent = tokio::task::spawn_blocking(move || put(&agent, &ticket, &bytes));
            sent.await.map_err(|error| error.to_string())?
        })
    }
}

fn put(agent: &ureq::Agent, ticket: &Ticket, bytes: &[u8]) -> Result<(), String> {
    let url = format!("{}/api/v1/artifacts/{}", ticket.http_url, ticket.artifact);
    let sent = agent.put(url).header("X-Upload-Ticket", &ticket.token).send(bytes);
    let mut answer = sent.map_err(|error| error.to_string())?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(format!("{} {}", answer.status(), answer.body_mut().read_to_string().unwrap_or_default()))
}
