//! A drone whose network is gone: nothing is refused or closed, packets just don't arrive.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use swarm_tests::network::Cable;
use swarm_tests::{Setup, Swarm, until};

/// For anything that takes some seconds of its own.
const SOON: Duration = Duration::from_secs(60);
/// TCP and the bus client wait ever longer before they try again.
const HEALED: Duration = Duration::from_secs(120);

/// Short times: a lease of six seconds, and a package that takes longer than that.
const RULES: &str = "heartbeat = \"500ms\"\noffline_after = \"2s\"\nlease = \"6s\"\nstart_grace = \"1s\"\n\
                     resend_order = \"1s\"";

fn only(swarm: &Swarm, drone: &str, other: &str) -> Result<()> {
    swarm.http.post(&format!("/api/v1/nodes/{other}/pause"), &json!({}))?;
    swarm.http.post(&format!("/api/v1/nodes/{drone}/resume"), &json!({})).map(drop)
}

#[test]
fn a_drone_cut_off_beyond_its_lease_loses_the_package_and_works_on_when_it_is_back() -> Result<()> {
    let cable = Cable::lay()?;
    let environment = match cable.url() {
        url if url.is_empty() => Vec::new(),
        url => vec![("BUILD_SWARM_HTTP_PUBLIC_URL".to_owned(), url)],
    };
    let setup = Setup { drones: 2, stand_in: true, rules: RULES.to_owned(), environment, ..Setup::default() };
    let mut swarm = setup.make()?;
    cable.connect(&fs_err::read_to_string(swarm.data().join("bus.url"))?, &swarm.http.url)?;
    let far = swarm.drone("d1");
    far.within = cable.within();
    far.environment = vec![("BUILD_SWARM_BUS_URL".to_owned(), format!("tls://{}", cable.bus.address))];
    swarm.start_drone(0)?;
    swarm.start_drone(1)?;
    swarm.until_online(2)?;

    only(&swarm, "d1", "d2")?;
    swarm.queue(&["=stand-in/long_ms4000-1"])?;
    ensure!(swarm.until_building("=stand-in/long", SOON)? == "d1");
    // an attempt looks at the binhost before its emerge begins, and the binhost is on the other side
    let stand_in = swarm.stand_in().clone();
    let runs = || Ok(stand_in.journal()?.iter().any(|entry| entry.drone == "d1").then_some(()));
    until("the emerge of d1 to run", SOON, runs)?;
    cable.pull(true)?;
    swarm.http.post("/api/v1/nodes/d2/resume", &json!({}))?;
    let offline = || Ok((swarm.http.get("/api/v1/status")?["nodes_online"] == 1).then_some(()));
    until("d1 to be offline", SOON, offline)?;
    let entry = swarm.entry("=stand-in/long")?.context("the entry")?;
    ensure!(entry["assigned_to"] == "d1", "it keeps its package while its lease lasts: {entry}");
    swarm.until_state("=stand-in/long", "received", SOON)?;
    let ended = |drone: &str| -> Result<bool> {
        let journal = stand_in.journal()?;
        Ok(journal.iter().any(|entry| entry.drone == drone && entry.status == Some(0)))
    };
    ensure!(ended("d2")?, "it was built elsewhere");
    until("d1 to end its build all the same", SOON, || Ok(ended("d1")?.then_some(())))?;
    ensure!(!swarm.drone("d1").held().is_empty(), "its result waits for the controller's word");

    cable.pull(false)?;
    swarm.until_online_within(2, HEALED)?;
    until("the late result to be let go", HEALED, || Ok(swarm.drone("d1").held().is_empty().then_some(())))
        .map_err(|error| error.context(swarm.logs()))?;
    let history = swarm.http.get("/api/v1/history?limit=10")?;
    let rows = history["history"].as_array().context("history is a list")?;
    let success: Vec<_> = rows.iter().filter(|row| row["status"] == "success").collect();
    ensure!(success.len() == 1 && success[0]["drone_name"] == "d2", "one result counts, that of d2: {history}");

    only(&swarm, "d1", "d2")?;
    swarm.queue(&["=stand-in/next-1"])?;
    swarm.until_state("=stand-in/next", "received", HEALED)?;
    let last = swarm.http.get("/api/v1/history?limit=1")?;
    ensure!(last["history"][0]["drone_name"] == "d1", "d1 works on: {last}");
    Ok(())
}
