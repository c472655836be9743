//! Drones that stop working and come back by themselves: real processes, stopped, killed and cut off; every time to recovery is
//! printed. Numbers are short here; those of the rules are in the core's tests.

mod people;
mod ways;
mod worker;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use swarm_tests::{Setup, Swarm, processes, until};

/// For whatever takes some seconds of its own on an idle machine; this one may be busy.
const SOON: Duration = Duration::from_secs(120);

const RULES: &str = "heartbeat = \"500ms\"\noffline_after = \"3s\"\nstart_grace = \"1s\"";

/// `[healing]` with short numbers; a way has `within` to answer.
fn healing(within: &str) -> String {
    format!(
        "[healing]\nping_every = \"1s\"\nping_within = \"900ms\"\njudge_after = \"2s\"\nworker_unrevived_after = \"3s\"\n\
         wait_restart = \"3s\"\nwait_hard_restart = \"3s\"\nwait_reboot = \"5s\"\nroute_within = {within:?}\n\
         cooldown = \"1s\"\nalert_repeat = \"6s\"\n"
    )
}

fn setup(tables: String) -> Setup {
    Setup { drones: 1, stand_in: true, rules: RULES.to_owned(), tables, ..Setup::default() }
}

/// Waits for an event of a kind whose message holds `part`.
fn until_event(swarm: &Swarm, kind: &str, part: &str) -> Result<Value> {
    let happened = until(format!("event {kind}: {part}"), SOON, || {
        // a busy controller may be slow to answer
        let Ok(events) = swarm.events(kind) else { return Ok(None) };
        Ok(events.into_iter().find(|event| event["message"].as_str().is_some_and(|text| text.contains(part))))
    });
    happened.map_err(|error| error.context(swarm.logs()))
}

/// Waits for the recovery of d1 and prints how long it took.
fn until_recovered(swarm: &Swarm, case: &str, began: Instant) -> Result<Value> {
    let event = until_event(swarm, "heal", "d1 has recovered")?;
    let told = event["details"]["time_to_recovery_ms"].as_str().unwrap_or("?").to_owned();
    println!(
        "{case}: recovered {:.1} s after it broke, {told} ms after its first sign ({})",
        began.elapsed().as_secs_f64(),
        event["message"].as_str().unwrap_or_default(),
    );
    Ok(event)
}

/// All about d1 and the ladder.
fn ladder(swarm: &Swarm) -> Result<Value> {
    swarm.admin()?.admin_get("/admin/api/drones/d1/escalation")
}

/// Waits until nothing is being done to d1, and gives what was done last.
fn until_done(swarm: &Swarm) -> Result<Value> {
    let over = until("the act to be over", SOON, || {
        let now = ladder(swarm)?;
        Ok((now["acting"].is_null() && !now["last"].is_null()).then(|| now["last"].clone()))
    });
    over.map_err(|error| error.context(swarm.logs()))
}

/// What was tried for d1 in its open incident: action, route and outcome.
fn tried(swarm: &Swarm) -> Result<Vec<String>> {
    let now = ladder(swarm)?;
    let deeds = now["deeds"].as_array().context("deeds are a list")?;
    let word = |deed: &Value, field: &str| deed[field].as_str().unwrap_or("?").to_owned();
    Ok(deeds.iter().map(|deed| ["action", "route", "outcome"].map(|field| word(deed, field)).join(" ")).collect())
}

/// A program that adds a line with its arguments to a file, and then runs `then`.
fn recorder(dir: &Path, name: &str, then: &str) -> Result<(PathBuf, PathBuf)> {
    let (program, record) = (dir.join(name), dir.join(format!("{name}.called")));
    fs_err::write(&program, format!("#!/bin/sh\necho \"$@\" >> {}\n{then}\n", record.display()))?;
    fs_err::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok((program, record))
}

/// Lines a [`recorder`] wrote.
fn recorded(record: &Path) -> Vec<String> {
    fs_err::read_to_string(record).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Waits until a [`recorder`] was called more often than `before`, and gives the newest call.
fn until_called(swarm: &Swarm, record: &Path, before: usize) -> Result<String> {
    let called = until(format!("{} to be called", record.display()), SOON, || {
        let calls = recorded(record);
        Ok((calls.len() > before).then(|| calls.last().cloned()).flatten())
    });
    called.map_err(|error| error.context(swarm.logs()))
}

/// What a service manager does when it is told to restart d1's agent.
fn restarted(swarm: &mut Swarm) -> Result<()> {
    swarm.drone("d1").kill_supervisor()?;
    swarm.drone("d1").start()
}

/// A build of d1 that runs, and the pids of its attempt.
fn building(swarm: &mut Swarm, atom: &str) -> Result<Vec<i32>> {
    swarm.queue(&[atom])?;
    let package = atom.rsplit_once('-').context("an atom with a version")?.0;
    swarm.until_building(package, SOON)?;
    // between fork and exec a child of it looks the same
    until("one attempt to run", SOON, || Ok(Some(swarm.drone("d1").attempts()).filter(|pids| pids.len() == 1)))
}

/// The build went on, if it has not ended yet, and its result counts once: another attempt would show.
fn unharmed(swarm: &mut Swarm, atom: &str) -> Result<()> {
    let package = atom.rsplit_once('-').context("an atom with a version")?.0.to_owned();
    swarm.until_state(&package, "received", SOON)?;
    let history = swarm.http.get("/api/v1/history?limit=50")?;
    let rows = history["history"].as_array().context("history is a list")?;
    let of = rows.iter().filter(|row| row["package"].as_str().is_some_and(|atom| atom.starts_with(&package)));
    let tries: Vec<&Value> = of.collect();
    ensure!(tries.len() == 1 && tries[0]["status"] == "success", "tried once, well: {tries:?}\n{}", swarm.logs());
    Ok(())
}

/// Sends a signal to d1's supervisor.
fn signal_supervisor(swarm: &mut Swarm, signal: Signal) -> Result<()> {
    processes::signal(swarm.drone("d1").pid(), signal)
}
