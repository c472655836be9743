//! Asks the root's Portage to resolve atoms: exact versions, USE, edges and merge order, or a readable complaint.
//!
//! The resolver is Portage's own (`plan.py`); nothing about dependencies is decided here. A planner that fails is a
//! complaint of kind `Planner`, never the package's fault. Called by the worker.

use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use swarm_common::errors::chain;
use swarm_protocol::order::PlanJob;
use swarm_protocol::plan::{Complaint, ComplaintKind, Plan, PlannedEdge, PlannedPackage};

use crate::layer;
use crate::root::RootConfig;
use crate::script::Script;
use crate::state::{self, BasePackage};

/// Most atoms taken at once.
const MAX_ATOMS: usize = 20_000;

#[derive(Serialize)]
struct Question<'a> {
    atoms: &'a [String],
    base: &'a [BasePackage],
}

#[derive(Deserialize)]
struct Answer {
    portage: String,
    complaint: Option<Complaint>,
    #[serde(default)]
    packages: Vec<PlannedPackage>,
    #[serde(default)]
    edges: Vec<PlannedEdge>,
    #[serde(default)]
    order: Vec<u32>,
    #[serde(default)]
    targets: Vec<Option<u32>>,
}

/// Resolves the job's atoms. `workdir` is a folder of the caller's for temporary files; what is made in it is removed.
/// Takes half a second for a few packages and seconds for a thousand, once Portage's metadata cache is warm.
pub fn plan(root: &RootConfig, job: &PlanJob, workdir: &Path, timeout: Duration) -> Plan {
    let began = Instant::now();
    let mut plan = ask(root, job, workdir, timeout).unwrap_or_else(|text| Plan {
        complaint: Some(Complaint { kind: ComplaintKind::Planner, text, ..Default::default() }),
        ..Default::default()
    });
    plan.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    plan
}

fn ask(root: &RootConfig, job: &PlanJob, workdir: &Path, timeout: Duration) -> Result<Plan, String> {
    if let Some(bad) = job.package_use.iter().find(|line| !swarm_protocol::atom::is_package_use_line(line)) {
        return Ok(refused(format!("{bad:?} is not a package.use line; write: category/name flag -flag")));
    }
    if job.atoms.is_empty() || job.atoms.len() > MAX_ATOMS {
        return Ok(refused(format!("{} atoms asked for; 1 to {MAX_ATOMS} can be", job.atoms.len())));
    }
    fs::create_dir_all(workdir).map_err(|e| chain(&e))?;
    let place = tempfile::Builder::new().prefix("plan-").tempdir_in(workdir).map_err(|e| chain(&e))?;
    let base = state::base_list(root).map_err(|e| chain(&e))?;
    let layer = layer::make(root, &place.path().join("config"), &job.package_use, None).map_err(|e| chain(&e))?;
    let script = Script {
        name: "plan",
        text: include_str!("plan.py"),
        root,
        workdir: place.path(),
        environment: &[("PORTAGE_CONFIGROOT".to_owned(), layer.display().to_string())],
        timeout,
    };
    let answer: Answer = script.ask(&Question { atoms: &job.atoms, base: &base }).map_err(|e| chain(&e))?;
    Ok(Plan {
        portage: answer.portage,
        complaint: answer.complaint,
        packages: answer.packages,
        edges: answer.edges,
        order: answer.order,
        targets: answer.targets,
        duration_ms: 0,
    })
}

fn refused(text: String) -> Plan {
    let complaint = Some(Complaint { kind: ComplaintKind::BadAtom, text, ..Default::default() });
    Plan { complaint, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_package_use_line_never_reaches_portage() {
        let job = PlanJob {
            atoms: vec!["a/b".to_owned()],
            package_use: vec!["a/b x\n*/* evil".to_owned()],
            ..Default::default()
        };
        let plan = plan(&RootConfig::default(), &job, Path::new("/nonexistent"), Duration::from_secs(1));
        assert_eq!(plan.complaint.unwrap().kind, ComplaintKind::BadAtom);
    }

    #[test]
    fn a_root_that_was_never_made_is_the_planners_failure() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootConfig { path: dir.path().join("none"), ..Default::default() };
        let job = PlanJob { atoms: vec!["a/b".to_owned()], ..Default::default() };
        let plan = plan(&root, &job, dir.path(), Duration::from_secs(1));
        assert_eq!(plan.complaint.unwrap().kind, ComplaintKind::Planner);
    }
}
