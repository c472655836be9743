//! The attempt's process with a script in emerge's place: ends that real Portage makes hard to come by.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use drone_agent::attempt::{AttemptDir, AttemptJob, AttemptState};
use fs_err as fs;
use swarm_portage::RootConfig;
use swarm_protocol::ids::{Attempt, BuildId, Fence};
use swarm_protocol::order::{BuildJob, Limits};
use swarm_protocol::report::{BuildResult, FailureClass};

use crate::farm::{AGENT, finished, left_running, log, wait_for};

/// An attempt whose emerge is this shell script.
fn attempt(dir: &Path, script: &str, limits: Limits) -> AttemptDir {
    let root = RootConfig { path: dir.join("root"), emerge: Some(dir.join("emerge")), ..Default::default() };
    fs::create_dir_all(root.path.join("etc/portage")).unwrap();
    fs::write(dir.join("emerge"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(dir.join("emerge"), PermissionsExt::from_mode(0o755)).unwrap();
    let fence = Fence { build: BuildId(1), attempt: Attempt(1) };
    let job = BuildJob { fence, cpv: "a/b-1".to_owned(), limits, ..Default::default() };
    AttemptDir::create(&dir.join("attempts"), &AttemptJob { job, root, ..Default::default() }).unwrap()
}

fn run(script: &str, limits: Limits) -> (tempfile::TempDir, AttemptDir, BuildResult) {
    let dir = tempfile::tempdir().unwrap();
    let attempt = attempt(dir.path(), script, limits);
    attempt.spawn(Path::new(AGENT)).unwrap();
    let result = finished(&attempt);
    (dir, attempt, result)
}

#[test]
fn a_build_that_falls_silent_is_ended_and_leaves_nobody() {
    let limits = Limits { silence_ms: 500, ..Default::default() };
    let (_dir, attempt, result) = run("echo '>>> Emerging (1 of 1) a/b-1::g'; sleep 60 & sleep 60", limits);
    let failure = result.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Silence, "{failure:?}");
    assert_eq!(left_running(&attempt), 0);
}

#[test]
fn a_build_that_talks_for_ever_is_ended_when_its_time_is_up() {
    let limits = Limits { total_ms: 700, ..Default::default() };
    let (_dir, _, result) = run("while :; do echo still here; sleep 0.05; done", limits);
    assert_eq!(result.failure.unwrap().class, FailureClass::Timeout);
}

#[test]
fn an_emerge_that_ignores_the_polite_signal_is_killed_with_all_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap '' TERM\nsetsid sh -c \"trap '' TERM; sleep 60; sleep 60\" &\necho ready\nsleep 60; sleep 60";
    let attempt = attempt(dir.path(), script, Limits::default());
    attempt.spawn(Path::new(AGENT)).unwrap();
    wait_for("emerge's start", Duration::from_secs(20), || log(&attempt).contains("ready"));
    let began = Instant::now();
    attempt.end(Duration::from_secs(30)).unwrap();
    assert!(began.elapsed() >= Duration::from_secs(10), "emerge has ten seconds");
    assert!(matches!(attempt.state(), AttemptState::Finished(_)), "{:?}", attempt.state());
    assert_eq!(left_running(&attempt), 0);
}

#[test]
fn a_daemon_that_a_build_leaves_is_killed_and_does_not_hold_up_the_result() {
    let (_dir, attempt, result) = run("setsid sh -c 'sleep 60; :' & echo done", Limits::default());
    assert_eq!(result.failure.unwrap().class, FailureClass::MissingBinary, "success without a package");
    assert_eq!(left_running(&attempt), 0);
}

#[test]
fn a_log_without_end_is_cut_in_its_middle_and_the_build_goes_on() {
    let limits = Limits { log_bytes: 4096, ..Default::default() };
    let (_dir, attempt, result) = run("echo first; seq 1 20000; echo last; exit 1", limits);
    assert!(result.log_bytes > 100_000);
    let kept = log(&attempt);
    assert!(kept.starts_with("first\n1\n") && kept.ends_with("20000\nlast\n"), "{kept}");
    assert!(kept.len() <= 4096 + 512, "{}", kept.len());
    let hole = attempt.read_log(3000, 100).unwrap();
    assert!(hole.bytes.is_empty() && hole.cut > 90_000 && hole.total == result.log_bytes && hole.end, "{hole:?}");
}

#[test]
fn an_emerge_killed_by_strangers_is_told_by_its_signal() {
    let (_dir, _, result) = run("kill -9 $$", Limits::default());
    assert_eq!(result.exit_status, Some(-9));
    assert_eq!(result.failure.unwrap().class, FailureClass::Killed);
}

#[test]
fn an_emerge_killed_by_a_real_time_signal_has_ended_like_any_other() {
    let (_dir, _, result) = run("kill -34 $$", Limits::default());
    assert_eq!(result.exit_status, Some(-34));
    assert_eq!(result.failure.unwrap().class, FailureClass::Killed);
}

#[test]
fn an_emerge_that_is_not_there_is_the_drones_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = attempt(dir.path(), "", Limits::default());
    fs::remove_file(dir.path().join("emerge")).unwrap();
    attempt.spawn(Path::new(AGENT)).unwrap();
    assert_eq!(finished(&attempt).failure.unwrap().class, FailureClass::MissingTool);
}

#[test]
fn an_attempt_ended_before_it_began_never_starts_emerge() {
    let dir = tempfile::tempdir().unwrap();
    let ran = dir.path().join("ran");
    let attempt = attempt(dir.path(), &format!("touch {}", ran.display()), Limits::default());
    attempt.end(Duration::from_secs(1)).unwrap();
    attempt.spawn(Path::new(AGENT)).unwrap();
    assert_eq!(finished(&attempt).failure.unwrap().class, FailureClass::Cancelled);
    assert!(!ran.exists());
}

#[test]
fn an_attempt_is_never_run_twice() {
    let (dir, attempt, result) = run("echo once >> $PORTAGE_LOGDIR/../count; exit 1", Limits::default());
    assert!(result.failure.is_some());
    let again = Command::new(AGENT).arg("attempt").arg(attempt.path()).output().unwrap();
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("never run twice"));
    assert_eq!(fs::read_to_string(attempt.path().join("count")).unwrap(), "once\n");
    drop(dir);
}

#[test]
fn emerge_finds_its_input_closed_and_only_the_environment_meant_for_it() {
    let (_dir, attempt, _) = run("cat; env | sort; exit 1", Limits::default());
    let said = log(&attempt);
    assert!(said.contains("PORTAGE_CONFIGROOT=") && said.contains("BUILD_SWARM_ATTEMPT="), "{said}");
    assert!(!said.contains("CARGO"), "{said}");
}
