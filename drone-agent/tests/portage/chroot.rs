//! Chroot roots: builds with plain paths over the machine's own programs, and nothing of it left on the machine. Where
//! mounts are not permitted these tests say so, by name.

use std::path::Path;
use std::time::Duration;

use drone_agent::attempt::{AttemptDir, AttemptState};
use fs_err as fs;
use nix::sys::signal::Signal;
use swarm_portage::mounts::{self, Purpose};
use swarm_portage::processes::{belonging_to, signal};
use swarm_portage::{RootConfig, RootKind, RootSpec, create, inspect, plan};
use swarm_protocol::order::{BuildJob, PlanJob};
use swarm_protocol::report::{BinhostAccess, FailureClass, Phase};

use crate::farm::{AGENT, BUILD, Binhost, Farm, job, log, skipped, succeeded, wait_for};

/// A chroot that was made; `None` where it can't be, after saying so.
fn chroot(farm: &Farm, test: &str, name: &str, make_conf: &[&str]) -> Option<RootConfig> {
    let mut root = RootConfig { kind: RootKind::Chroot, ..farm.config(name, "3.0.83") };
    root.make_conf.extend(make_conf.iter().map(|line| (*line).to_owned()));
    match create(&RootSpec { config: root.clone(), ..Default::default() }) {
        Ok(()) => Some(root),
        Err(error) => {
            let text = format!("{:#}", anyhow::Error::from(error));
            assert!(text.contains("can't be entered"), "only mounts may be missing: {text}");
            skipped(test, &text);
            None
        }
    }
}

/// What is mounted below a folder, as this process sees it.
fn mounted_below(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.contains(folder)).map(str::to_owned).collect()
}

/// Processes that still live among mounts below a folder.
fn living_among_mounts(folder: &Path) -> usize {
    let folder = folder.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter(|process| process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|process| fs::read_to_string(process.path().join("mountinfo")).is_ok_and(|text| text.contains(folder)))
        .count()
}

/// Runs a program inside and answers what it said.
fn run_inside(root: &RootConfig, program: &str) -> String {
    let output = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            mounts::enter(root, Purpose::Build, &[]).unwrap();
            mounts::command(root, Path::new(program)).env_clear().output().unwrap()
        });
        inside.join().unwrap()
    });
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_chroot_builds_installs_and_leaves_the_machine_as_it_was() {
    let test = "a_chroot_builds_installs_and_leaves_the_machine_as_it_was";
    let farm = Farm::new();
    // names of unequal length: plain paths need no relocation
    let Some(first) = chroot(&farm, test, "c1", &[]) else { return };
    let Some(second) = chroot(&farm, test, "chroot-2", &[]) else { return };
    let (one, two) = (inspect(&first).unwrap(), inspect(&second).unwrap());
    assert_eq!((&one.installed_hash, &one.profile, &one.chost), (&two.installed_hash, &two.profile, &two.chost));
    let wanted = PlanJob { atoms: vec!["app-misc/waggle".to_owned()], ..Default::default() };
    let planned = plan(&first, &wanted, &farm.path().join("plans"), Duration::from_secs(100));
    assert!(planned.complaint.is_none() && planned.packages.len() >= 2, "{:?}", planned.complaint);

    let (library, result) = farm.build(1, &first, "dev-libs/libcomb-1.2");
    succeeded(&library, &result);
    let (prefix, binhost) = (farm.root("s1"), Binhost::new(&farm));
    let timestamp = binhost.publish(&prefix, &library, &result);
    let order = BuildJob { min_index_timestamp: timestamp, ..job("app-misc/waggle-1.1") };
    let (program, result) = farm.run(farm.attempt(2, &second, &binhost.access, order));
    succeeded(&program, &result);
    assert!(log(&program).contains(">>> Emerging binary (1 of 2) dev-libs/libcomb-1.2"), "{}", log(&program));
    assert!(!log(&program).contains("Adjusting Prefix"), "{}", log(&program));

    let metadata = swarm_portage::gpkg::metadata(&program.artifact_path(&result.artifacts[0])).unwrap();
    assert_eq!(metadata.get("EPREFIX").map_or("", |prefix| prefix.trim()), "", "no path of this machine is in it");
    assert!(second.at("var/db/pkg/app-misc/waggle-1.1").is_dir());
    assert!(second.path.join("layers/usr/upper/bin/waggle").is_file());
    assert!(!run_inside(&second, "/usr/bin/waggle").is_empty());
    assert!(!Path::new("/usr/bin/waggle").exists() && !Path::new("/var/db/pkg/app-misc/waggle-1.1").exists());
    assert_eq!(mounted_below(farm.path()), [] as [&str; 0]);
    assert_eq!(living_among_mounts(farm.path()), 0);
    let strange = |name: &str| second.at(name).join(farm.path().strip_prefix("/").unwrap());
    assert!(!strange("").join("plans").exists(), "mount points of questions are removed");
}

fn compiling(farm: &Farm, build: u64, root: &RootConfig) -> AttemptDir {
    let attempt = farm.attempt(build, root, &BinhostAccess::default(), job("app-misc/honeydrip-1.0"));
    attempt.spawn(Path::new(AGENT)).unwrap();
    wait_for("the compile phase", BUILD, || {
        log(&attempt).contains("[2/60]") && attempt.status().is_some_and(|status| status.phase == Phase::Compile)
    });
    attempt
}

#[test]
fn ending_a_build_in_a_chroot_leaves_no_process_and_no_mount() {
    let test = "ending_a_build_in_a_chroot_leaves_no_process_and_no_mount";
    let farm = Farm::new();
    let slow = "DEMO_SLOW_SECONDS=\"60\"\nDEMO_SLOW_STEPS=\"60\"";
    let Some(root) = chroot(&farm, test, "c1", &[slow]) else { return };
    let attempt = compiling(&farm, 1, &root);
    let AttemptState::Running { pid, .. } = attempt.state() else { panic!("{:?}", attempt.state()) };
    let own = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap();
    assert_ne!(own("self"), own(&pid.to_string()), "the attempt has mounts of its own");
    assert_eq!(mounted_below(farm.path()), [] as [&str; 0]);
    attempt.end(Duration::from_secs(20)).unwrap();
    let AttemptState::Finished(result) = attempt.state() else { panic!("{:?}", attempt.state()) };
    assert_eq!(result.failure.unwrap().class, FailureClass::Cancelled);
    nothing_left(&farm, &attempt);

    // killed, it leaves an emerge among its mounts; whoever ends it takes both
    let attempt = compiling(&farm, 2, &root);
    let AttemptState::Running { pid, .. } = attempt.state() else { panic!("{:?}", attempt.state()) };
    signal(pid, Signal::SIGKILL);
    wait_for("the end of the attempt's process", Duration::from_secs(10), || attempt.state() == AttemptState::Vanished);
    assert!(!belonging_to(attempt.path()).is_empty(), "emerge goes on without its parent");
    let adopted = AttemptDir::open(attempt.path()).unwrap();
    adopted.end(Duration::from_secs(20)).unwrap();
    nothing_left(&farm, &adopted);
    adopted.remove().unwrap();
    let (next, result) = farm.build(3, &root, "app-misc/moody-1.0");
    succeeded(&next, &result);
}

fn nothing_left(farm: &Farm, attempt: &AttemptDir) {
    assert!(belonging_to(attempt.path()).is_empty(), "processes were left");
    wait_for("the mounts' end", Duration::from_secs(10), || living_among_mounts(farm.path()) == 0);
    assert_eq!(mounted_below(farm.path()), [] as [&str; 0]);
}

#[test]
fn a_root_that_cannot_be_entered_is_the_drones_failure() {
    let test = "a_root_that_cannot_be_entered_is_the_drones_failure";
    let farm = Farm::new();
    let Some(root) = chroot(&farm, test, "c1", &[]) else { return };
    // a file where the overlay wants a folder
    fs::remove_dir_all(root.path.join("layers")).unwrap_or_default();
    fs::write(root.path.join("layers"), "in the way").unwrap();
    let (_, result) = farm.build(1, &root, "app-misc/moody-1.0");
    let failure = result.failure.unwrap();
    assert_eq!(failure.class, FailureClass::MissingTool, "{failure:?}");
    assert!(failure.message.contains("can't be entered"), "{failure:?}");
}
