//! The bench works: every figure at a small scale, in seconds. Figures themselves are no matter of tests, for they depend on
//! the machine and on who shares it; what is equal and what is counted is checked by the bench itself.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Measures at a small scale and gives the figures of one section.
fn quick(name: &str) -> Result<Vec<Value>> {
    let out = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let run = Command::new(env!("CARGO_BIN_EXE_swarm-bench"))
        .args(["--quick", "--out"])
        .arg(out.path())
        .arg(name)
        .output()?;
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success(), "{said}");
    let results: Value = serde_json::from_slice(&fs_err::read(out.path().join("results.json"))?)?;
    ensure!(results["quick"] == true && results["machine"]["cores"].as_u64().is_some_and(|cores| cores > 0));
    let sections = results["sections"].as_array().context("sections")?;
    let [section] = sections.as_slice() else { anyhow::bail!("one section: {results}") };
    ensure!(section["name"] == name && section["load"]["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    let figures = section["figures"].as_array().context("figures")?.clone();
    for figure in &figures {
        let rounds = figure["rounds"].as_array().context("rounds")?;
        ensure!(!rounds.is_empty(), "a figure was measured: {figure}");
        // what was measured is shown, with its unit
        let (shown, unit) = (figure["name"].as_str().context("a name")?, figure["unit"].as_str().context("a unit")?);
        ensure!(said.contains(shown) && said.contains(unit), "{shown} is in the table: {said}");
        ensure!(figure["met"].is_boolean() == figure["aim"].is_object(), "an aim is met or not: {figure}");
    }
    ensure!(fs_err::read_dir(out.path())?.count() == 1, "only the results are left behind");
    Ok(figures)
}

fn median(figures: &[Value], name: &str) -> Result<f64> {
    let figure = figures.iter().find(|figure| figure["name"] == name).with_context(|| format!("a figure {name}"))?;
    figure["median"].as_f64().context("a number")
}

#[test]
fn cycles_are_built_and_counted() -> Result<()> {
    let figures = quick("cycles")?;
    ensure!(median(&figures, "cycles/durable")? > 0.0 && median(&figures, "cycles/unsynced")? > 0.0);
    // several rows for each cycle, and all of them can be committed again
    ensure!(median(&figures, "cycles/rows")? > median(&figures, "cycles/durable")?, "{figures:?}");
    ensure!(median(&figures, "cycles/alone")? > 0.0 && median(&figures, "cycles/callers")? > 0.0);
    Ok(())
}

#[test]
fn heartbeats_are_taken_and_counted() -> Result<()> {
    ensure!(median(&quick("heartbeats")?, "heartbeats/cost")? > 0.0);
    Ok(())
}

#[test]
fn pings_are_timed_beside_bare_requests() -> Result<()> {
    let figures = quick("pings")?;
    ensure!(median(&figures, "pings/one")? > 0.0 && median(&figures, "pings/bare")? > 0.0);
    ensure!(median(&figures, "pings/ratio")? > 0.0 && median(&figures, "pings/all")? > 0.0);
    Ok(())
}

#[test]
fn recoveries_are_timed_with_the_usual_numbers() -> Result<()> {
    let figures = quick("recovery")?;
    ensure!(median(&figures, "recovery/hung worker")? > 5.0, "the watchdog is patient first: {figures:?}");
    ensure!(median(&figures, "recovery/killed worker")? > 0.0);
    ensure!(median(&figures, "recovery/killed supervisor")? > 2.0, "{figures:?}");
    Ok(())
}

#[test]
fn the_memory_of_a_controller_with_drones_is_seen() -> Result<()> {
    let figures = quick("memory")?;
    ensure!(median(&figures, "memory/0")? > 1.0 && median(&figures, "memory/30")? > 1.0, "{figures:?}");
    Ok(())
}

#[test]
fn our_index_is_emaints_but_for_its_time() -> Result<()> {
    // the bench itself fails when they differ
    let figures = quick("index")?;
    ensure!(median(&figures, "index/build")? > 0.0 && median(&figures, "index/add")? > 0.0);
    Ok(())
}

#[test]
fn an_agent_at_rest_is_seen() -> Result<()> {
    ensure!(median(&quick("agent")?, "agent/memory")? > 1.0);
    Ok(())
}

#[test]
fn builds_are_timed_under_the_agent_and_beside_it() -> Result<()> {
    let figures = quick("build")?;
    ensure!(median(&figures, "build/agent")? > 0.0 && median(&figures, "build/plain")? > 0.0, "{figures:?}");
    Ok(())
}

#[test]
fn a_start_with_a_history_is_timed_after_a_clean_end_and_after_a_kill() -> Result<()> {
    let figures = quick("start")?;
    ensure!(median(&figures, "start/clean")? > 0.0 && median(&figures, "start/killed")? > 0.0);
    Ok(())
}

#[test]
fn virtual_time_passes_and_is_measured() -> Result<()> {
    let figures = quick("simulation")?;
    ensure!(median(&figures, "simulation/calm")? > 0.0 && median(&figures, "simulation/rough")? > 0.0);
    Ok(())
}

#[test]
fn a_figure_nobody_knows_is_an_error_that_names_those_there_are() -> Result<()> {
    let run = Command::new(env!("CARGO_BIN_EXE_swarm-bench")).arg("speed").output()?;
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    ensure!(!run.status.success() && said.contains("\"speed\"") && said.contains("heartbeats"), "{said}");
    Ok(())
}
