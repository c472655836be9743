//! What goes wrong with the agent's own processes.

use swarm_tests::MailServer;

use super::*;

#[test]
fn a_hung_worker_is_replaced_by_its_supervisor_and_its_build_lives_on() -> Result<()> {
    // every number as it is by default: the supervisor's own watchdog is quicker than the ladder
    let mut swarm = Setup { drones: 1, stand_in: true, ..Setup::default() }.start()?;
    let atom = "=stand-in/long_ms30000-1";
    building(&mut swarm, atom)?;
    let worker = swarm.drone("d1").worker_pid().context("a worker runs")?;
    processes::signal(worker, Signal::SIGSTOP)?;
    let began = Instant::now();
    until("a new worker", SOON, || Ok(swarm.drone("d1").worker_pid().filter(|pid| *pid != worker)))
        .map_err(|error| error.context(swarm.logs()))?;
    println!("worker stopped: a new one after {:.1} s", began.elapsed().as_secs_f64());
    ensure!(!processes::lives(worker), "the old one is gone before the new one starts");
    unharmed(&mut swarm, atom)?;
    ensure!(swarm.events("escalate")?.is_empty(), "the ladder had nothing to do: {:?}", swarm.events("escalate")?);
    Ok(())
}

#[test]
fn a_worker_that_keeps_ending_goes_up_the_ladder_to_a_person_who_is_mailed_once_again_and_when_it_is_over() -> Result<()>
{
    let place = tempfile::tempdir()?;
    let mail = MailServer::start(&place.path().join("mail"))?;
    let mut swarm = setup(healing("5s") + &mail.table()).start()?;
    let atom = "=stand-in/long_ms40000-1";
    let attempts = building(&mut swarm, atom)?;
    // its memory can't be read: each worker ends at its start
    let memory = swarm.dir().join("drones/d1/state/tombstones");
    let _ = fs_err::remove_file(&memory);
    fs_err::create_dir_all(memory.join("in the way"))?;
    let began = Instant::now();
    processes::signal(swarm.drone("d1").worker_pid().context("a worker runs")?, Signal::SIGKILL)?;
    until("the worker to be failing", SOON, || {
        let nodes = swarm.http.get("/api/v1/nodes?all=true")?;
        Ok((nodes[0]["worker"] == "failing").then_some(()))
    })
    .map_err(|error| error.context(swarm.logs()))?;
    until_event(&swarm, "alert", "d1 needs a person")?;
    println!("worker keeps ending: a person was told after {:.1} s", began.elapsed().as_secs_f64());
    let tried = tried(&swarm)?;
    ensure!(tried == ["restart_service bus done", "hard_restart bus done"], "{tried:?}");
    ensure!(attempts.iter().all(|pid| processes::lives(*pid)), "level 1 and 2 leave the build alone");
    let arrived = |part: &'static str, count: usize| {
        until(format!("{count} mail(s): {part}"), SOON, || Ok((mail.mails(part)?.len() >= count).then_some(())))
    };
    arrived("alert: d1 needs a person", 1).map_err(|error| error.context(swarm.logs()))?;
    let first = &mail.mails("alert: d1")?[0];
    let text = first["text"].as_str().context("a text")?;
    ensure!(text.contains("hard_restart by bus: done") && text.contains("swarm drone reset d1"), "{text}");
    ensure!(first["encrypted"] == true && first["user"] == "swarm", "{first}");
    arrived("reminder: still: d1 needs a person", 1)?;
    // the person puts it right and says so
    fs_err::remove_dir_all(&memory)?;
    swarm.admin()?.post("/admin/api/drones/d1/restart", &serde_json::json!({}))?;
    until_recovered(&swarm, "worker keeps ending, put right by a person", began)?;
    arrived("resolved: d1 has recovered", 1)?;
    ensure!(mail.mails("alert: d1")?.len() == 1, "one alert for one incident: {:?}", mail.mails("alert")?);
    ensure!(mail.mails("resolved: d1")?.len() == 1);
    unharmed(&mut swarm, atom)
}

#[test]
fn a_killed_supervisor_that_its_manager_starts_again_takes_its_build_over() -> Result<()> {
    let mut swarm = setup(healing("5s")).start()?;
    let atom = "=stand-in/long_ms20000-1";
    building(&mut swarm, atom)?;
    let worker = swarm.drone("d1").worker_pid().context("a worker runs")?;
    swarm.drone("d1").kill_supervisor()?;
    let began = Instant::now();
    // as systemd would
    std::thread::sleep(Duration::from_secs(1));
    swarm.drone("d1").start()?;
    let answers = || Ok((swarm.http.get("/api/v1/ping?name=d1")?["status"] == "ok").then_some(()));
    until("d1 to answer", SOON, answers).map_err(|error| error.context(swarm.logs()))?;
    println!("supervisor killed: it answers again after {:.1} s", began.elapsed().as_secs_f64());
    until("the old worker to be gone", SOON, || Ok((!processes::lives(worker)).then_some(())))?;
    unharmed(&mut swarm, atom)
}

#[test]
fn levels_by_hand_replace_the_worker_and_sweep_what_it_left_and_leave_the_build_alone() -> Result<()> {
    let mut swarm = setup(healing("5s")).start()?;
    let atom = "=stand-in/long_ms30000-1";
    building(&mut swarm, atom)?;
    let state = swarm.dir().join("drones/d1/state");
    let (left, half_made) = (state.join(".tmpLeft"), state.join("attempts/.new-7.1"));
    for (body, word) in
        [(serde_json::json!({}), "restart_service"), (serde_json::json!({"hard": true}), "hard_restart")]
    {
        let worker = swarm.drone("d1").worker_pid().context("a worker runs")?;
        fs_err::write(&left, b"half")?;
        fs_err::create_dir_all(&half_made)?;
        let ordered = swarm.admin()?.post("/admin/api/drones/d1/restart", &body)?;
        ensure!(ordered["action"] == word, "{ordered}");
        let last = until_done(&swarm)?;
        ensure!(last["outcome"] == "done" && last["route"] == "bus" && last["by"] == "admin", "{last}");
        until("a new worker", SOON, || Ok(swarm.drone("d1").worker_pid().filter(|pid| *pid != worker)))
            .map_err(|error| error.context(swarm.logs()))?;
        // the new worker sweeps half-made attempts itself; the rest is what the hard way is for
        until("half-made attempts to be swept", SOON, || Ok((!half_made.exists()).then_some(())))?;
        ensure!(left.exists() == (word == "restart_service"), "{word}: {}", left.exists());
    }
    unharmed(&mut swarm, atom)
}
