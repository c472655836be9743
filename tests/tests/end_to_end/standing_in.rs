//! The stand-in builds themselves: what the agent and the controller make of them is what they make of real ones.

use std::time::Duration;

use anyhow::{Result, ensure};
use swarm_tests::Swarm;
use swarm_tests::standing_in::{Behaviour, End};

/// Some builds of a quarter of a second each, on busy cores.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn stand_in_builds_are_planned_built_published_and_blamed_as_real_ones() -> Result<()> {
    let swarm = Swarm::standing_in(2, "")?;
    swarm.stand_in().change(|set| {
        let needs = vec!["stand-in/tool".to_owned()];
        set.packages.insert("stand-in/app".into(), Behaviour { needs, ..Behaviour::default() });
        let only_on = vec!["d1".to_owned()];
        let end = Behaviour { end: End::NoSpace, only_on, ..Behaviour::default() };
        set.packages.insert("stand-in/large".into(), end);
    })?;
    swarm.queue(&["stand-in/app", "=stand-in/x_fails-2", "stand-in/large"])?;
    let app = swarm.until_state("=stand-in/app", "received", SOON)?;
    ensure!(app["failures"] == 0, "{app}");
    swarm.until_state("=stand-in/large", "received", SOON)?;
    let blocked = swarm.until_state("=stand-in/x_fails", "blocked", SOON)?;
    ensure!(blocked["error_message"].as_str().is_some_and(|text| text.contains("it was to fail")), "{blocked}");

    let journal = swarm.stand_in().journal()?;
    let began = |cpv: &str| journal.iter().position(|entry| entry.cpv == cpv && entry.status.is_none());
    let ended = |cpv: &str| journal.iter().position(|entry| entry.cpv == cpv && entry.status == Some(0));
    ensure!(ended("stand-in/tool-1") < began("stand-in/app-1"), "the tool comes first: {journal:?}");
    let tried = journal.iter().filter(|entry| entry.cpv == "stand-in/x_fails-2" && entry.status == Some(1));
    ensure!(tried.count() == 2, "what fails is tried on both drones: {journal:?}");
    let index = swarm.index()?;
    for cpv in ["stand-in/app-1", "stand-in/tool-1", "stand-in/large-1"] {
        ensure!(index.contains(&format!("CPV: {cpv}\n")), "{cpv} is published: {index}");
    }
    Ok(())
}
