//! Full disks, on a drone and under the controller's own data.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use swarm_tests::disk::SmallDisk;
use swarm_tests::{Setup, Swarm, tools, until};

/// A build with real Portage on two busy cores.
const BUILD: Duration = Duration::from_secs(150);
/// Anything else that takes some seconds of its own.
const SOON: Duration = Duration::from_secs(90);

#[test]
fn a_drone_whose_disk_runs_full_is_blamed_and_the_package_built_elsewhere() -> Result<()> {
    let rules = "min_free_disk = \"8MiB\"\nheartbeat = \"1s\"".to_owned();
    let mut swarm = Setup { drones: 2, rules, ..Setup::default() }.make()?;
    // honeypot has 16 MB that don't compress: once as image, once as package
    let Some(disk) = SmallDisk::mount(&swarm.dir().join("small"), 24 << 20)? else { return Ok(()) };
    let small = swarm.drone("d1");
    // builds lie below it, beside the drone's memory
    small.environment = vec![("BUILD_SWARM_STATE_DIR".to_owned(), disk.dir().display().to_string())];
    swarm.start_drone(0)?;
    swarm.start_drone(1)?;
    swarm.until_online(2)?;
    swarm.http.post("/api/v1/nodes/d2/pause", &json!({}))?;
    swarm.queue(&["app-misc/honeypot"])?;
    ensure!(swarm.until_building("=app-misc/honeypot", BUILD)? == "d1");
    swarm.http.post("/api/v1/nodes/d2/resume", &json!({}))?;
    swarm.until_state("=app-misc/honeypot", "received", BUILD)?;

    let history = swarm.http.get("/api/v1/history?limit=10")?;
    let rows = history["history"].as_array().context("history is a list")?;
    let told: Vec<_> = rows.iter().map(|row| (row["drone_name"].as_str(), row["class"].as_str())).collect();
    ensure!(told == [(Some("d2"), None), (Some("d1"), Some("disk_full"))], "{history}");
    ensure!(rows[1]["culprit"] == "drone", "the package is not to blame: {history}");
    let health = swarm.http.get("/api/v1/status")?["drone_health"].clone();
    ensure!(health["d1"]["failures"] == 1 && health["d2"].is_null(), "{health}");
    until("the disk to be cleared", BUILD, || Ok((disk.free()? > 20 << 20).then_some(())))?;

    // while its disk is full it gets nothing, and `why` says so
    disk.fill()?;
    let free = |name: &str| -> Result<Option<f64>> {
        let nodes = swarm.http.get("/api/v1/nodes")?;
        let nodes = nodes.as_array().context("nodes are an array")?;
        Ok(nodes.iter().find(|node| node["name"] == name).and_then(|node| node["metrics"]["disk_free_gb"].as_f64()))
    };
    until("the full disk to be seen", BUILD, || Ok((free("d1")? == Some(0.0)).then_some(())))?;
    swarm.queue(&["app-misc/moody"])?;
    until("the full disk to be a reason", BUILD, || {
        let Ok(why) = swarm.http.get("/api/v1/packages/app-misc/moody/why") else { return Ok(None) };
        let drones = why["entries"][0]["drones"].as_array().context("drones")?.clone();
        let d1 = drones.into_iter().find(|drone| drone["name"] == "d1").context("d1")?;
        let against = d1["against"].as_array().context("reasons")?.clone();
        Ok(against.iter().any(|reason| reason["rule"] == "disk").then_some(()))
    })?;
    swarm.until_state("=app-misc/moody", "received", BUILD)?;
    ensure!(built_by(&swarm, "=app-misc/moody")? == ["d2"], "elsewhere, at once");

    // and when there is room again, it works on
    disk.clear()?;
    swarm.http.post("/api/v1/nodes/d2/pause", &json!({}))?;
    swarm.queue(&["dev-util/hexgen"])?;
    swarm.until_state("=dev-util/hexgen", "received", BUILD)?;
    ensure!(built_by(&swarm, "=dev-util/hexgen")? == ["d1"], "{}", swarm.logs());
    Ok(())
}

/// Drones that tried a package, newest first.
fn built_by(swarm: &Swarm, package: &str) -> Result<Vec<String>> {
    let history = swarm.http.get("/api/v1/history?limit=100")?;
    let rows = history["history"].as_array().context("history is a list")?;
    let its = rows.iter().filter(|row| row["package"].as_str().is_some_and(|atom| atom.starts_with(package)));
    Ok(its.filter_map(|row| row["drone_name"].as_str().map(str::to_owned)).collect())
}

#[test]
fn a_controller_whose_disk_is_full_ends_loudly_and_goes_on_from_what_it_acknowledged() -> Result<()> {
    let parent = tools::project().join("target/e2e");
    fs_err::create_dir_all(&parent)?;
    let dir = tempfile::Builder::new().prefix("c").tempdir_in(&parent)?;
    fs_err::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let Some(disk) = SmallDisk::mount(&dir.path().join("data"), 64 << 20)? else { return Ok(()) };
    let setup = Setup {
        drones: 2,
        stand_in: true,
        data: Some(disk.dir().to_owned()),
        // an upload that finds no room is nobody's fault, and tried again soon enough for a test
        rules: "heartbeat = \"1s\"\nfleet_backoff = \"1s\"\nuploads_to_impair = 1000\nfleet_failures_to_block = 1000"
            .to_owned(),
        ..Setup::default()
    };
    let mut swarm = setup.start()?;
    swarm.queue(&["=stand-in/before_ms3000-1"])?;
    swarm.until_building("=stand-in/before", SOON)?;
    let ask = |swarm: &Swarm, from: usize| -> Result<Vec<String>> {
        let atoms: Vec<String> = (from..from + 5).map(|number| format!("=stand-in/p{number}_ms50-1")).collect();
        swarm.queue(&atoms.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(atoms)
    };
    // asked until the store finds no room; what was answered is on disk, and only that
    let mut acknowledged = ask(&swarm, 0)?;
    disk.fill()?;
    for number in 1..1000 {
        match ask(&swarm, 5 * number) {
            Ok(atoms) => acknowledged.extend(atoms),
            Err(_) => break,
        }
    }
    for again in ["at the first failure", "started anew while the disk is still full"] {
        let status = swarm.until_controller_ends(SOON)?;
        ensure!(!status.success(), "it does not pretend to work, {again}: {status}");
        let log = fs_err::read_to_string(swarm.controller_log())?;
        ensure!(log.contains("No space left on device"), "it says why, {again}: {}", swarm.logs());
        if again.starts_with("at") {
            ensure!(status.code() == Some(75), "the service manager is to start it anew: {status}");
            ensure!(
                log.lines().any(|line| line.contains("ERROR") && line.contains("a commit failed")),
                "{}",
                swarm.logs()
            );
            fs_err::rename(swarm.controller_log(), swarm.dir().join("first.log"))?;
            swarm.spawn_controller()?;
        }
    }

    disk.clear()?;
    swarm.start_controller()?;
    let queue = swarm.http.get("/api/v1/queue")?;
    let listed: BTreeSet<&str> = queue
        .as_array()
        .context("the queue is an array")?
        .iter()
        .filter_map(|entry| entry["package"].as_str())
        .collect();
    let lost: Vec<_> = acknowledged.iter().filter(|atom| !listed.contains(atom.as_str())).collect();
    ensure!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let done = until("everything to be built", SOON, || {
        Ok((swarm.http.get("/api/v1/status")?["queue_depth"] == 0).then_some(()))
    });
    done.map_err(|error| error.context(swarm.logs()))?;
    let history = swarm.http.get("/api/v1/history?limit=2000&status=success")?;
    let rows = history["history"].as_array().context("history is a list")?;
    acknowledged.push("=stand-in/before_ms3000-1".to_owned());
    for atom in &acknowledged {
        let times = rows.iter().filter(|row| row["package"] == atom.as_str()).count();
        ensure!(times == 1, "{atom} counts {times} times: {history}");
    }
    Ok(())
}
