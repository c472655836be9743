//! Full disks, on a drone and under the controller's own data.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use swarm_tests::disk::SmallDisk;
use swarm_tests::{Setup, until};

/// A build with real Portage on two busy cores.
const BUILD: Duration = Duration::from_secs(150);

#[test]
fn a_drone_whose_disk_runs_full_is_blamed_and_the_package_built_elsewhere() -> Result<()> {
    let rules = "min_free_disk = \"8MiB\"\nheartbeat = \"1s\"".to_owned();
    let mut swarm = Setup { drones: 2, rules, ..Setup::default() }.make()?;
    // honeypot has 16 MB that don't compress: once as image, once as package
    let Some(disk) = SmallDisk::mount(&swarm.dir().join("small"), 24 << 20)? else { return Ok(()) };
    let small = swarm.drone("d1");
    small.environment = vec![("BUILD_SWARM_BUILD_DIR".to_owned(), disk.dir().display().to_string())];
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

    // d1 works on: what fits is built there
    swarm.http.post("/api/v1/nodes/d2/pause", &json!({}))?;
    swarm.queue(&["app-misc/waggle"])?;
    swarm.until_state("=app-misc/waggle", "received", BUILD)?;

    // and while its disk is full it gets nothing, and says why
    disk.fill()?;
    let free = |name: &str| -> Result<Option<f64>> {
        let nodes = swarm.http.get("/api/v1/nodes")?;
        let nodes = nodes.as_array().context("nodes are an array")?;
        Ok(nodes.iter().find(|node| node["name"] == name).and_then(|node| node["metrics"]["disk_free_gb"].as_f64()))
    };
    until("the full disk to be seen", BUILD, || Ok((free("d1")? == Some(0.0)).then_some(())))?;
    swarm.queue(&["app-misc/moody"])?;
    until("the full disk to be the reason", BUILD, || {
        let Ok(why) = swarm.http.get("/api/v1/packages/app-misc/moody/why") else { return Ok(None) };
        let drones = why["entries"][0]["drones"].as_array().context("drones")?.clone();
        let d1 = drones.into_iter().find(|drone| drone["name"] == "d1").context("d1")?;
        let against = d1["against"].as_array().context("reasons")?.clone();
        Ok(against.iter().any(|reason| reason["rule"] == "disk").then_some(()))
    })?;
    ensure!(swarm.entry("=app-misc/moody")?.context("the entry")?["status"] == "needed");
    disk.clear()?;
    swarm.until_state("=app-misc/moody", "received", BUILD)?;
    Ok(())
}
