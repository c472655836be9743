//! Ends that come from outside: cancelled, orphaned, killed. Nothing may be left running or lying about.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use drone_agent::attempt::{AttemptDir, AttemptState};
use fs_err as fs;
use swarm_portage::RootConfig;
use swarm_portage::processes::{belonging_to, signal};
use swarm_protocol::report::{BinhostAccess, FailureClass, Phase};

use crate::farm::{AGENT, BUILD, Farm, finished, job, log, succeeded, wait_for};

const SLOW: &str = "DEMO_SLOW_SECONDS=\"60\"\nDEMO_SLOW_STEPS=\"60\"";

/// A real build in the middle of its compile phase.
fn compiling(farm: &Farm, build: u64, root: &RootConfig) -> AttemptDir {
    let attempt = farm.attempt(build, root, &BinhostAccess::default(), job("app-misc/honeydrip-1.0"));
    attempt.spawn(Path::new(AGENT)).unwrap();
    wait_for("the compile phase", BUILD, || {
        log(&attempt).contains("[2/60]") && attempt.status().is_some_and(|status| status.phase == Phase::Compile)
    });
    attempt
}

fn nothing_left(attempt: &AttemptDir, root: &RootConfig) {
    assert!(belonging_to(attempt.path()).is_empty(), "processes were left");
    for dir in ["tmp", "config", "fetched", "logs"] {
        assert!(!attempt.path().join(dir).exists(), "{dir} was left");
    }
    let status = fs::read_dir(root.path.join("run/portage")).map_or(0, Iterator::count);
    assert_eq!(status, 0, "Portage's status files were left");
}

#[test]
fn a_cancelled_build_leaves_nothing_running_and_nothing_behind_and_the_root_still_works() {
    let farm = Farm::new();
    let root = farm.root_with("r1", &[SLOW]);
    let attempt = compiling(&farm, 1, &root);
    assert!(belonging_to(attempt.path()).len() > 2);
    attempt.end(Duration::from_secs(20)).unwrap();
    let AttemptState::Finished(result) = attempt.state() else { panic!("{:?}", attempt.state()) };
    let failure = result.failure.unwrap();
    assert_eq!((failure.class, failure.phase), (FailureClass::Cancelled, Some(Phase::Compile)), "{failure:?}");
    assert!(attempt.read_log(0, 10).unwrap().end);
    nothing_left(&attempt, &root);
    attempt.remove().unwrap();
    let (next, result) = farm.build(2, &root, "app-misc/moody-1.0");
    succeeded(&next, &result);
}

#[test]
fn an_attempt_outlives_its_parent_and_is_adopted_by_who_asks() {
    let farm = Farm::new();
    let root = farm.root_with("r1", &["DEMO_SLOW_SECONDS=\"6\"\nDEMO_SLOW_STEPS=\"60\""]);
    let attempt = farm.attempt(1, &root, &BinhostAccess::default(), job("app-misc/honeydrip-1.0"));
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ending::helper_parent_of_an_attempt", "--ignored", "--nocapture"])
        .env("TEST_ATTEMPT", attempt.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the compile phase", BUILD, || log(&attempt).contains("[2/60]"));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let adopted = AttemptDir::open(attempt.path()).unwrap();
    assert!(matches!(adopted.state(), AttemptState::Running { .. }), "{:?}", adopted.state());
    let result = finished(&adopted);
    succeeded(&adopted, &result);
    assert_eq!(result.artifacts.len(), 1);
}

/// Not a test: the process that starts an attempt and is killed.
#[test]
#[ignore = "run by another test as a process of its own"]
fn helper_parent_of_an_attempt() {
    let Some(dir) = std::env::var_os("TEST_ATTEMPT") else { return };
    AttemptDir::open(Path::new(&dir)).unwrap().spawn(Path::new(AGENT)).unwrap();
    // It is killed long before; the bound is for a test that failed.
    std::thread::sleep(BUILD);
}

#[test]
fn an_attempt_that_was_killed_has_vanished_and_its_orphans_can_be_ended() {
    let farm = Farm::new();
    let root = farm.root_with("r1", &[SLOW]);
    let attempt = compiling(&farm, 1, &root);
    let AttemptState::Running { pid, .. } = attempt.state() else { panic!("{:?}", attempt.state()) };
    signal(pid, nix::sys::signal::Signal::SIGKILL);
    wait_for("the end of the attempt's process", Duration::from_secs(5), || attempt.state() == AttemptState::Vanished);
    assert!(!belonging_to(attempt.path()).is_empty(), "emerge goes on without its parent");
    attempt.end(Duration::from_secs(20)).unwrap();
    assert!(belonging_to(attempt.path()).is_empty());
    attempt.remove().unwrap();
    let (next, result) = farm.build(2, &root, "app-misc/moody-1.0");
    succeeded(&next, &result);
    nothing_left(&next, &root);
}
