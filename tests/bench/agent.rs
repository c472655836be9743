//! The agent (`drone-agent`, optimised) on a drone with real Portage: its memory and processor time at rest (`agent`), and
//! what a build takes under it beside the same emerge by hand, by turns, in the same root (`build`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use swarm_portage::emerge::{Prepared, prepare};
use swarm_portage::{RootConfig, fingerprint_of};
use swarm_protocol::order::BuildJob;
use swarm_protocol::report::BinhostAccess;
use swarm_tests::figures::{Aim, Figure, quantile};
use swarm_tests::{Swarm, tools, until};

use crate::{Scale, usage};

/// Portage profile of the demo repository for this machine.
const PROFILE: &str = if cfg!(target_arch = "aarch64") { "default/arm64" } else { "default/amd64" };
/// Longer than any build here.
const BUILD: Duration = Duration::from_secs(300);
/// Between two looks at the history while a build runs: the bench must not be what takes its processor.
const PAUSE: Duration = Duration::from_millis(500);

/// Measures an agent at rest.
///
/// # Errors
/// When something does not work.
pub fn at_rest(scale: &Scale) -> Result<Vec<Figure>> {
    let mut swarm = Swarm::start(1, "")?;
    let drone = swarm.drone("d1");
    let supervisor = drone.pid();
    let worker = until("a worker", Duration::from_secs(30), || Ok(drone.worker_pid()))?;
    // what is done once after the start is done, and its threads have ended
    std::thread::sleep(scale.pick(Duration::from_secs(2), Duration::from_secs(20)));
    let window = scale.pick(Duration::from_secs(2), Duration::from_secs(40));
    let (mut memory, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds(3) {
        let used = || usage::of_process(supervisor) + usage::of_process(worker);
        let (before, began) = (used(), Instant::now());
        std::thread::sleep(window);
        cpu.push(100.0 * (used() - before) / began.elapsed().as_secs_f64());
        memory.push((usage::pss(supervisor)? + usage::pss(worker)?) as f64 / f64::from(1 << 20));
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let memory =
        Figure::new("agent/memory", "supervisor and worker together at rest, proportional set size", "MiB", memory)
            .aim(Aim::AtMost(15.0))
            .note("supervisor, PSS MiB", mib(usage::pss(supervisor)?))
            .note("worker, PSS MiB", mib(usage::pss(worker)?))
            .note("supervisor, RSS MiB", mib(usage::rss(supervisor)?))
            .note("worker, RSS MiB", mib(usage::rss(worker)?));
    let cpu =
        Figure::new("agent/cpu", "supervisor and worker together at rest", "% of a core", cpu).aim(Aim::AtMost(0.2));
    Ok(vec![memory, cpu])
}

/// Measures builds under the agent and beside it.
///
/// # Errors
/// When something does not work.
pub fn beside_plain(scale: &Scale) -> Result<Vec<Figure>> {
    let mut swarm = Swarm::start(1, "")?;
    let package = scale.pick("app-misc/moody-1.0", "app-misc/workers-1.0");
    // once before: the root has what the package needs, and the binhost has an index
    swarm.queue(&[&format!("={package}")])?;
    swarm.until_state(&format!("={package}"), "received", BUILD)?;
    let plain = Plain::new(scale, &swarm, package)?;
    plain.run()?;
    let (mut under, mut alone, mut ratios, mut around) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // one pair may differ by several percent either way
    for round in 0..scale.rounds(40) {
        // whoever goes first finds the disk as the other left it
        let ours = || under_the_agent(&swarm, package);
        let ((took, whole), by_hand) = if round % 2 == 0 {
            let ours = ours()?;
            (ours, plain.run()?)
        } else {
            let by_hand = plain.run()?;
            (ours()?, by_hand)
        };
        ratios.push(100.0 * (took / by_hand - 1.0));
        around.push(whole - took);
        under.push(took);
        alone.push(by_hand);
    }
    // waited for, so that what its builds took counts as ours
    swarm.drone("d1").stop()?;
    let (lower, upper) = (quantile(&ratios, 0.25), quantile(&ratios, 0.75));
    let overhead = Figure::new("build/overhead", "how much longer it takes under the agent, pair by pair", "%", ratios)
        .aim(Aim::AtMost(2.0))
        .note("lower quartile, %", lower)
        .note("upper quartile, %", upper);
    Ok(vec![
        Figure::new("build/agent", format!("{package} under the agent, from order to result on its disk"), "s", under),
        Figure::new("build/plain", "the same emerge by hand, in the same root, by turns", "s", alone),
        overhead,
        Figure::new(
            "build/around",
            "besides: order to start, upload, signature and index to durable (an index comes at most once a second)",
            "s",
            around,
        ),
    ])
}

/// Builds it again under the agent: seconds its attempt took, and seconds until the result was durable.
fn under_the_agent(swarm: &Swarm, package: &str) -> Result<(f64, f64)> {
    let newest = || {
        let history = swarm.http.get("/api/v1/history?limit=1")?;
        history["history"].get(0).cloned().context("an attempt in the history")
    };
    let before = newest()?["id"].as_u64();
    swarm.http.post("/api/v1/queue", &json!({ "packages": [format!("={package}")], "rebuild": true }))?;
    let row: Value = until("the package to be built again", BUILD, || {
        std::thread::sleep(PAUSE);
        let row = newest()?;
        Ok((row["id"].as_u64() != before).then_some(row))
    })?;
    ensure!(row["status"] == "success", "it failed: {row} {}", swarm.logs());
    let took = row["duration_seconds"].as_f64().context("a duration")?;
    let events = swarm.http.get("/api/v1/events/history?limit=2000")?;
    let at = |kind: &str| {
        let of_this = |event: &&Value| event["type"] == kind && event["details"]["build"] == row["build"];
        let newest = events["events"].as_array().into_iter().flatten().rev().find(of_this);
        newest.and_then(|event| event["timestamp"].as_f64())
    };
    let (assigned, completed) = (at("assign").context("an assign event")?, at("complete").context("a complete event")?);
    Ok((took, completed - assigned))
}

/// The same emerge without the agent.
struct Plain {
    dir: PathBuf,
    root: RootConfig,
    job: BuildJob,
    access: BinhostAccess,
}

impl Plain {
    fn new(scale: &Scale, swarm: &Swarm, package: &str) -> Result<Self> {
        let material = tools::repository()?;
        let root = RootConfig {
            path: swarm.dir().join("roots/d1"),
            venv: tools::tool("portage.sh", &[])?,
            repository: material.join("repository"),
            profile: PROFILE.to_owned(),
            distfiles: vec![material.join("distfiles")],
            ..RootConfig::default()
        };
        let binhost = swarm.data().join("binhost");
        let public_key = fs_err::read_to_string(binhost.join("binhost.asc"))?;
        let access = BinhostAccess {
            url: format!("{}/binhost/{}", swarm.http.url, only_index(&binhost)?),
            fingerprint: fingerprint_of(&public_key)?,
            public_key,
            ..BinhostAccess::default()
        };
        let job = BuildJob { cpv: package.to_owned(), slot: "0".to_owned(), ..BuildJob::default() };
        Ok(Self { dir: scale.dir.join("plain"), root, job, access })
    }

    /// Seconds emerge takes, its output in a file as under the agent.
    fn run(&self) -> Result<f64> {
        fs_err::create_dir_all(&self.dir)?;
        let Prepared { program, arguments, environment } =
            prepare(&self.root, &self.job, &self.access, true, &self.dir)?;
        let log = fs_err::File::create(self.dir.join("build.log"))?.into_parts().0;
        let began = Instant::now();
        let status = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()?;
        let took = began.elapsed().as_secs_f64();
        let said = fs_err::read_to_string(self.dir.join("build.log"))?;
        ensure!(status.success(), "emerge by hand: {said}");
        fs_err::remove_dir_all(&self.dir)?;
        Ok(took)
    }
}

/// `<arch>/<build profile>/<chost>` of the one index there is.
fn only_index(binhost: &Path) -> Result<String> {
    let mut at = binhost.to_owned();
    for _ in 0..3 {
        let folders = fs_err::read_dir(&at)?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
        let folders: Vec<PathBuf> = folders.collect();
        let [only] = folders.as_slice() else { anyhow::bail!("{} has {folders:?}", at.display()) };
        at.clone_from(only);
    }
    Ok(at.strip_prefix(binhost)?.to_string_lossy().into_owned())
}
