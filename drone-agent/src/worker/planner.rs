//! Resolves a request in a directory of its own and delivers the plan, chunk by chunk, until it is answered.

use std::path::PathBuf;
use std::time::Duration;

use fs_err as fs;
use sha2::{Digest, Sha256};
use swarm_common::files::remove_tree;
use swarm_common::watch::blocking;
use swarm_portage::{RootConfig, plan};
use swarm_protocol::order::PlanJob;
use swarm_protocol::plan::{CHUNK, Complaint, ComplaintKind, MAX_CHUNKS, Plan, PlanAnswer, PlanChunk};
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{InstanceId, StoreId};
use tracing::{debug, info, warn};

use crate::bus::Link;

const ASK_TIMEOUT: Duration = Duration::from_secs(15);
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often a plan is sent anew because its first chunks were lost (the controller was started anew meanwhile).
const ROUNDS: u32 = 5;

/// Resolves and delivers; returns when the controller has the plan or wants it no more.
pub(crate) async fn resolve_and_deliver(
    link: &Link,
    root: RootConfig,
    dir: PathBuf,
    limit: Duration,
    job: PlanJob,
    store_id: StoreId,
    instance: InstanceId,
) {
    let (id, attempt) = (job.plan, job.attempt);
    let encoded = blocking("plan", move || encoded(&resolve(&root, &dir, limit, &job))).await;
    info!(plan = %id, attempt, bytes = encoded.len(), "resolved a request");
    let sha256 = hex::encode(Sha256::digest(&encoded));
    let pieces: Vec<&[u8]> = encoded.chunks(CHUNK).collect();
    let chunks = u32::try_from(pieces.len()).unwrap_or(MAX_CHUNKS);
    let chunk_at = |index: usize| PlanChunk {
        instance: instance.clone(),
        store_id: store_id.clone(),
        plan: id,
        attempt,
        chunk: u32::try_from(index).unwrap_or(MAX_CHUNKS),
        chunks,
        sha256: sha256.clone(),
        bytes: pieces[index].to_vec(),
    };
    let (mut index, mut wait, mut rounds) = (0, WAIT_MIN, 0);
    loop {
        match link.ask::<_, PlanAnswer>(ReportKind::Plan, &chunk_at(index), ASK_TIMEOUT).await {
            Ok(PlanAnswer::Next {}) if index + 1 < pieces.len() => {
                index += 1;
                wait = WAIT_MIN;
                continue;
            }
            Ok(PlanAnswer::Durable {}) => return,
            Ok(PlanAnswer::Superseded { reason }) => return debug!(plan = %id, reason, "a plan counts no more"),
            Ok(PlanAnswer::Refused { reason }) if index == 0 || rounds >= ROUNDS => {
                return warn!(plan = %id, reason, "the controller refuses a plan");
            }
            Ok(PlanAnswer::Refused { .. } | PlanAnswer::Next {} | PlanAnswer::Unknown) => {
                rounds += 1;
                index = 0;
            }
            Err(error) => debug!(plan = %id, %error, "a plan's chunk was not answered"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

fn resolve(root: &RootConfig, dir: &PathBuf, limit: Duration, job: &PlanJob) -> Plan {
    let fresh = remove_tree(dir).and_then(|()| fs::create_dir_all(dir));
    let resolved = match fresh {
        Ok(()) => plan(root, job, dir, limit),
        Err(error) => failed(format!("no directory to plan in: {error}")),
    };
    if let Err(error) = remove_tree(dir) {
        warn!(%error, "the planner's directory can't be removed");
    }
    resolved
}

/// The plan's bytes; one that is too large becomes a complaint that says so.
fn encoded(plan: &Plan) -> Vec<u8> {
    let most = CHUNK * MAX_CHUNKS as usize;
    match rmp_serde::to_vec_named(plan) {
        Ok(bytes) if bytes.len() <= most => bytes,
        Ok(bytes) => complaint(format!("the plan has {} bytes, more than {most}; ask for fewer packages", bytes.len())),
        Err(error) => complaint(format!("the plan can't be encoded: {error}")),
    }
}

fn complaint(text: String) -> Vec<u8> {
    rmp_serde::to_vec_named(&failed(text)).unwrap_or_default()
}

fn failed(text: String) -> Plan {
    let complaint = Complaint { kind: ComplaintKind::Planner, text, ..Complaint::default() };
    Plan { complaint: Some(complaint), ..Plan::default() }
}

#[cfg(test)]
mod tests {
    use swarm_protocol::plan::PlannedPackage;

    use super::*;

    #[test]
    fn a_plan_beyond_the_bound_becomes_a_complaint() {
        let package = PlannedPackage { cpv: "x".repeat(1 << 20), ..PlannedPackage::default() };
        let plan = Plan { packages: vec![package; 33], ..Plan::default() };
        let sent: Plan = rmp_serde::from_slice(&encoded(&plan)).unwrap();
        assert_eq!(sent.complaint.map(|c| c.kind), Some(ComplaintKind::Planner));
        let small = Plan { portage: "3".to_owned(), ..Plan::default() };
        assert_eq!(rmp_serde::from_slice::<Plan>(&encoded(&small)).unwrap(), small);
    }
}
