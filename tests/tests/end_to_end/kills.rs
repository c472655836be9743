//! A real process killed in the middle of real builds: nothing acknowledged is lost, nothing counts twice, nothing that
//! works is harmed.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use swarm_tests::standing_in::{Behaviour, End};
use swarm_tests::{Setup, Swarm, processes, tools, until};

/// A build with its dependencies on two busy cores.
const BUILD: Duration = Duration::from_secs(150);
/// A process that is started anew.
const AGAIN: Duration = Duration::from_secs(30);

/// Successes in the history, by package.
fn successes(swarm: &Swarm, package: &str) -> Result<usize> {
    let history = swarm.http.get("/api/v1/history?limit=500&status=success")?;
    let history = history["history"].as_array().context("history is a list")?;
    Ok(history.iter().filter(|row| row["package"].as_str().is_some_and(|atom| atom.starts_with(package))).count())
}

#[test]
fn builds_go_on_while_the_controller_is_killed_and_every_result_arrives_once() -> Result<()> {
    let mut swarm = Swarm::start(2, "")?;
    swarm.queue(&["app-misc/honeydrip", "app-misc/waggle"])?;
    let builder = swarm.until_building("=app-misc/honeydrip", BUILD)?;
    let attempts = swarm.drone(&builder).attempts();
    let before = swarm.http.get("/api/v1/events?since=0")?["latest_id"].as_u64().context("an event's number")?;
    swarm.kill_controller()?;
    ensure!(attempts.iter().all(|pid| processes::lives(*pid)), "the build goes on without a controller");
    swarm.start_controller()?;
    swarm.until_state("=app-misc/honeydrip", "received", BUILD)?;
    swarm.until_state("=app-misc/waggle", "received", BUILD)?;
    ensure!(successes(&swarm, "=app-misc/honeydrip")? == 1, "one result: {}", swarm.logs());
    ensure!(swarm.events("fail")?.is_empty(), "nothing failed: {:?}", swarm.events("fail")?);
    let events = swarm.http.get("/api/v1/events/history?since=0&limit=2000")?;
    let ids: Vec<u64> =
        events["events"].as_array().into_iter().flatten().filter_map(|event| event["id"].as_u64()).collect();
    ensure!(ids.iter().copied().eq(1..=ids.len() as u64), "events have no gaps and no doubles: {ids:?}");
    ensure!(ids.len() as u64 > before, "events go on after the restart");
    Ok(())
}

#[test]
fn a_drone_that_is_gone_loses_its_package_after_the_lease_and_its_late_result_changes_nothing() -> Result<()> {
    let mut swarm =
        Swarm::start(2, "heartbeat = \"2s\"\nlease = \"12s\"\nstart_grace = \"1s\"\noffline_after = \"6s\"")?;
    swarm.queue(&["app-misc/honeydrip"])?;
    let first = swarm.until_building("=app-misc/honeydrip", BUILD)?;
    // The agent vanishes, the build itself goes on: its result will come late.
    let agent = swarm.drone(&first);
    let (supervisor, worker) = (agent.pid(), agent.worker_pid().context("a worker runs")?);
    processes::signal(supervisor, Signal::SIGKILL)?;
    let _ = processes::signal(worker, Signal::SIGKILL);
    let entry = swarm.until_state("=app-misc/honeydrip", "received", BUILD)?;
    ensure!(entry["assigned_to"] != first.as_str(), "built elsewhere: {entry}");
    ensure!(successes(&swarm, "=app-misc/honeydrip")? == 1);
    swarm.drone(&first).start()?;
    // it is superseded already in the welcome, or when it is reported; either way the drone lets go of it
    until("the late result to be let go", AGAIN, || Ok(swarm.drone(&first).held().is_empty().then_some(())))
        .map_err(|error| error.context(swarm.logs()))?;
    ensure!(successes(&swarm, "=app-misc/honeydrip")? == 1, "a late result changes nothing");
    swarm.until_online(2)
}

#[test]
fn a_running_emerge_is_adopted_when_its_worker_is_killed() -> Result<()> {
    let mut swarm = Swarm::start(1, "")?;
    swarm.queue(&["app-misc/honeydrip"])?;
    let name = swarm.until_building("=app-misc/honeydrip", BUILD)?;
    let drone = swarm.drone(&name);
    let (attempts, worker) = (drone.attempts(), drone.worker_pid().context("a worker runs")?);
    ensure!(attempts.len() == 1, "one attempt runs: {attempts:?}");
    processes::signal(worker, Signal::SIGKILL)?;
    let anew = until("a new worker", AGAIN, || Ok(swarm.drone(&name).worker_pid().filter(|pid| *pid != worker)))?;
    ensure!(processes::lives(anew));
    ensure!(swarm.drone(&name).attempts() == attempts, "the same attempt runs on");
    swarm.until_state("=app-misc/honeydrip", "received", BUILD)?;
    let assigned = swarm.events("assign")?;
    let times = assigned
        .iter()
        .filter(|event| event["message"].as_str().is_some_and(|text| text.contains("honeydrip")))
        .count();
    ensure!(times == 1, "ordered once, built once: {assigned:?}");
    ensure!(successes(&swarm, "=app-misc/honeydrip")? == 1);
    Ok(())
}

#[test]
fn a_hung_worker_is_replaced_and_its_emerge_adopted() -> Result<()> {
    let mut swarm = Setup { stand_in: true, ..Setup::default() }.make()?;
    swarm.drone("d1").environment = vec![("BUILD_SWARM_WATCHDOG_SILENCE".to_owned(), "2s".to_owned())];
    swarm.start_drone(0)?;
    swarm.until_online(1)?;
    swarm.queue(&["=stand-in/long_ms15000-1"])?;
    swarm.until_building("=stand-in/long", BUILD)?;
    let drone = swarm.drone("d1");
    let (attempts, worker) = (drone.attempts(), drone.worker_pid().context("a worker runs")?);
    // a stopped process takes no TERM either
    processes::signal(worker, Signal::SIGSTOP)?;
    until("a new worker", AGAIN, || Ok(swarm.drone("d1").worker_pid().filter(|pid| *pid != worker)))?;
    ensure!(!processes::lives(worker), "no two workers run");
    ensure!(swarm.drone("d1").attempts() == attempts, "the same attempt runs on");
    swarm.until_state("=stand-in/long", "received", BUILD)?;
    ensure!(
        successes(&swarm, "=stand-in/long")? == 1 && swarm.events("fail")?.is_empty(),
        "{:?}",
        swarm.events("fail")?
    );
    Ok(())
}

#[test]
fn an_agent_upgraded_and_killed_under_a_running_emerge_adopts_it() -> Result<()> {
    let mut swarm = Setup::default().make()?;
    let place = swarm.dir().join("agent");
    fs_err::create_dir(&place)?;
    let agent = place.join("drone-agent");
    fs_err::copy(tools::program("drone-agent")?, &agent)?;
    swarm.drone("d1").agent = agent.clone();
    swarm.start_drone(0)?;
    swarm.until_online(1)?;
    swarm.queue(&["app-misc/honeydrip"])?;
    swarm.until_building("=app-misc/honeydrip", BUILD)?;

    // as a package manager does it: another file takes the name; who runs keeps the old one
    let next = place.join("drone-agent.new");
    let mut bytes = fs_err::read(&agent)?;
    bytes.extend_from_slice(b"the next version");
    fs_err::write(&next, bytes)?;
    fs_err::set_permissions(&next, fs_err::metadata(&agent)?.permissions())?;
    fs_err::rename(&next, &agent)?;
    let drone = swarm.drone("d1");
    let (attempts, worker) = (drone.attempts(), drone.worker_pid().context("a worker runs")?);
    ensure!(attempts.len() == 1, "one attempt runs: {attempts:?}");
    drone.kill_supervisor()?;
    // it may have noticed already that its supervisor is gone
    let _ = processes::signal(worker, Signal::SIGKILL);
    drone.start()?;
    let anew = until("a new worker", AGAIN, || Ok(swarm.drone("d1").worker_pid().filter(|pid| *pid != worker)))?;
    let upgraded = fs_err::metadata(&agent)?.ino();
    let runs = |pid: i32| Ok::<_, anyhow::Error>(fs_err::metadata(format!("/proc/{pid}/exe"))?.ino());
    ensure!(runs(swarm.drone("d1").pid())? == upgraded && runs(anew)? == upgraded, "both run the new file");
    ensure!(runs(attempts[0])? != upgraded, "the attempt runs on with the old one");
    ensure!(swarm.drone("d1").attempts() == attempts, "the same attempt runs on");
    swarm.until_state("=app-misc/honeydrip", "received", BUILD)?;
    let assigned = swarm.events("assign")?;
    ensure!(assigned.len() == 1, "ordered once, built once: {assigned:?}");
    ensure!(successes(&swarm, "=app-misc/honeydrip")? == 1);
    ensure!(swarm.events("fail")?.is_empty(), "nothing failed");
    Ok(())
}

#[test]
fn a_killed_bus_server_comes_back_and_everyone_with_it() -> Result<()> {
    let swarm = Swarm::start(2, "")?;
    swarm.queue(&["app-misc/honeydrip"])?;
    swarm.until_building("=app-misc/honeydrip", BUILD)?;
    let server = swarm.nats_pid()?;
    processes::signal(server, Signal::SIGKILL)?;
    until("a new nats-server", AGAIN, || Ok(swarm.nats_pid().ok().filter(|pid| *pid != server)))?;
    swarm.until_state("=app-misc/honeydrip", "received", BUILD)?;
    ensure!(successes(&swarm, "=app-misc/honeydrip")? == 1);
    ensure!(swarm.events("fail")?.is_empty(), "nothing failed");
    swarm.until_online(2)
}

#[test]
fn a_killed_attempt_takes_its_silent_emerge_with_it_before_the_next_one_begins() -> Result<()> {
    let mut swarm = Swarm::standing_in(1, "drone_retry_after = \"0s\"\nheartbeat = \"500ms\"")?;
    // one that prints would end by itself when nobody reads it any more
    swarm.stand_in().change(|set| set.usual = Behaviour { end: End::Hangs, ms: 0, ..Behaviour::default() })?;
    swarm.queue(&["=stand-in/silent-1"])?;
    until("the compiler's silence", BUILD, || {
        let nodes = swarm.http.get("/api/v1/nodes")?;
        Ok((nodes[0]["build_progress"][0]["phase"] == "compile").then_some(()))
    })?;
    let emerge = swarm.stand_in().journal()?.first().context("emerge began")?.pid;
    let attempt = *swarm.drone("d1").attempts().first().context("an attempt runs")?;
    swarm.stand_in().change(|set| set.usual.end = End::Built)?;
    processes::signal(attempt, Signal::SIGKILL)?;
    until("the next emerge", AGAIN, || Ok((swarm.stand_in().journal()?.len() > 1).then_some(())))
        .map_err(|error| error.context(swarm.logs()))?;
    ensure!(!processes::lives(emerge), "two emerges run in one root");
    swarm.until_state("=stand-in/silent", "received", AGAIN)?;
    let history = swarm.http.get("/api/v1/history?limit=10")?;
    ensure!(history["history"][1]["culprit"] == "drone", "the package is not to blame: {history}");
    Ok(())
}
