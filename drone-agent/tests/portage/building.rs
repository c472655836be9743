//! Real builds: a library, a program on top of it as a binary, variants, failures.

use std::path::Path;
use std::process::Command;

use drone_agent::attempt::AttemptState;
use fs_err as fs;
use swarm_portage::{RootSpec, create};
use swarm_protocol::order::BuildJob;
use swarm_protocol::report::{BinhostAccess, FailureClass, Phase};

use crate::farm::{AGENT, Binhost, Farm, VERSIONS, job, log, succeeded};

#[test]
fn a_program_is_built_on_its_library_from_the_binhost_and_runs() {
    let farm = Farm::new();
    let (first, second) = (farm.root("r1"), farm.root("r2"));
    let binhost = Binhost::new(&farm);
    let (library, result) = farm.build(1, &first, "dev-libs/libcomb-1.2");
    succeeded(&library, &result);
    assert_eq!(result.artifacts.len(), 1);
    let artifact = &result.artifacts[0];
    assert_eq!((artifact.cpv.as_str(), artifact.repository.as_str()), ("dev-libs/libcomb-1.2", "swarm-demo"));
    assert_eq!(fs::metadata(library.artifact_path(artifact)).unwrap().len(), artifact.size);
    assert!(result.log_bytes > 0 && result.memory_peak_bytes > 0 && result.exit_status == Some(0));
    let timestamp = binhost.publish(&first, &library, &result);

    let order = BuildJob { min_index_timestamp: timestamp, ..job("app-misc/waggle-1.1") };
    let (program, result) = farm.run(farm.attempt(2, &second, &binhost.access, order.clone()));
    succeeded(&program, &result);
    assert!(log(&program).contains(">>> Emerging binary (1 of 2) dev-libs/libcomb-1.2"), "{}", log(&program));
    let made: Vec<&str> = result.artifacts.iter().map(|artifact| artifact.cpv.as_str()).collect();
    assert_eq!(made, ["app-misc/waggle-1.1"], "what came as a binary is not uploaded again");
    let ran = Command::new(second.path.join("usr/bin/waggle")).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");

    let order = BuildJob { min_index_timestamp: timestamp + 1000, ..order };
    let (_, result) = farm.run(farm.attempt(3, &second, &binhost.access, order));
    assert_eq!(result.failure.unwrap().class, FailureClass::IndexTooOld);
}

/// A library from source, a program on top of its binary, and the same binary refused when nobody signed it.
fn builds_installs_what_is_signed_and_refuses_what_is_not(version: &str) {
    assert!(VERSIONS.contains(&version));
    let farm = Farm::new();
    let binhost = Binhost::new(&farm);
    let root = |name: &str| farm.root_of(name, version, &[]);
    let (first, second, third) = (root("r1"), root("r2"), root("r3"));
    let (library, result) = farm.build(1, &first, "dev-libs/libcomb-1.2");
    succeeded(&library, &result);
    let artifact = result.artifacts[0].clone();
    let timestamp = binhost.publish(&farm.root("s1"), &library, &result);

    let order = BuildJob { min_index_timestamp: timestamp, ..job("app-misc/waggle-1.1") };
    let (program, result) = farm.run(farm.attempt(2, &second, &binhost.access, order.clone()));
    succeeded(&program, &result);
    let said = log(&program);
    assert!(said.contains(">>> Emerging binary (1 of 2) dev-libs/libcomb-1.2"), "{said}");
    assert_eq!(phases(&said), Phase::Merge, "the log alone tells the phases");
    assert!(Command::new(second.path.join("usr/bin/waggle")).output().unwrap().status.success());

    binhost.forge("dev-libs/libcomb/libcomb-1.2-1.gpkg.tar", &library.artifact_path(&artifact));
    let (attempt, result) = farm.run(farm.attempt(3, &third, &binhost.access, order));
    let failure = result.failure.unwrap_or_else(|| panic!("an unsigned package was taken:\n{}", log(&attempt)));
    assert_eq!(failure.class, FailureClass::BinhostUnreachable, "{failure:?}\n{}", log(&attempt));
}

/// With a secret Portage fetches by wget, which reads it from a file: it stands in no address, command line or log.
#[test]
fn a_binhost_with_a_secret_is_used_and_the_secret_never_shown() {
    for version in ["3.0.83", "3.0.66.1"] {
        let farm = Farm::new();
        let mut binhost = Binhost::new(&farm);
        let (first, second) = (farm.root_of("r1", version, &[]), farm.root_of("r2", version, &[]));
        let (library, result) = farm.build(1, &first, "dev-libs/libcomb-1.2");
        succeeded(&library, &result);
        let timestamp = binhost.publish(&farm.root("s1"), &library, &result);
        let secret = "0123456789abcdefopensesame";
        binhost.door.secret.lock().unwrap().push_str(secret);
        let order = BuildJob { min_index_timestamp: timestamp, ..job("app-misc/waggle-1.1") };
        let (_, result) = farm.run(farm.attempt(2, &second, &binhost.access, order.clone()));
        assert_eq!(result.failure.unwrap().class, FailureClass::BinhostUnreachable, "without it nobody gets in");

        binhost.access.private_url = std::mem::replace(&mut binhost.access.url, "http://127.0.0.1:9/public".to_owned());
        binhost.access.secret = swarm_protocol::Secret(secret.to_owned());
        let (program, result) = farm.run(farm.attempt(3, &second, &binhost.access, order));
        succeeded(&program, &result);
        let said = log(&program);
        assert!(said.contains(">>> Emerging binary (1 of 2) dev-libs/libcomb-1.2"), "{version}: {said}");
        let let_in = binhost.door.let_in.lock().unwrap().clone();
        assert!(let_in.iter().any(|one| one.starts_with("Wget") && one.ends_with(".gpkg.tar")), "{let_in:?}");
        assert_eq!(*binhost.door.shown.lock().unwrap(), [] as [&str; 0], "{version}: in a process list");
        assert!(!said.contains(secret), "{version}: in the log");
        for entry in files_with(farm.path(), secret) {
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&entry).unwrap().permissions());
            assert_eq!(mode & 0o077, 0, "{version}: others can read it in {}", entry.display());
            assert!(!entry.starts_with(program.path().join("fetched")), "it went with the build");
        }
    }
}

/// A binhost that breaks between our look and emerge's is the fleet's trouble, whatever Portage makes of it.
#[test]
fn a_binhost_that_breaks_while_portage_asks_is_no_packages_failure() {
    let farm = Farm::new();
    let mut binhost = Binhost::new(&farm);
    let (library, result) = farm.build(1, &farm.root("r1"), "dev-libs/libcomb-1.2");
    succeeded(&library, &result);
    let timestamp = binhost.publish(&farm.root("s1"), &library, &result);
    binhost.door.secret.lock().unwrap().push_str("s3cret");
    binhost.access.secret = swarm_protocol::Secret("s3cret".to_owned());
    binhost.door.broken_for_wget.store(true, std::sync::atomic::Ordering::SeqCst);
    for (version, build) in VERSIONS.into_iter().zip(2..) {
        let root = farm.root_of(&format!("b{build}"), version, &[]);
        let order = BuildJob { min_index_timestamp: timestamp, ..job("app-misc/waggle-1.1") };
        let (attempt, result) = farm.run(farm.attempt(build, &root, &binhost.access, order));
        let class = result.failure.as_ref().map(|failure| failure.class);
        let fine = [None, Some(FailureClass::BinhostUnreachable)];
        assert!(fine.contains(&class), "{version}: {:?}\n{}", result.failure, log(&attempt));
    }
}

/// Files below a folder that hold a text.
fn files_with(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let output = Command::new("grep").args(["-rlFs", text]).arg(folder).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(Into::into).collect()
}

/// The phase a log ends in.
fn phases(log: &str) -> Phase {
    let mut tracker = swarm_portage::phases::Tracker::new("app-misc/waggle-1.1");
    tracker.feed(log.as_bytes());
    tracker.finish();
    tracker.phase()
}

#[test]
fn portage_3_0_83_builds_installs_what_is_signed_and_refuses_what_is_not() {
    builds_installs_what_is_signed_and_refuses_what_is_not("3.0.83");
}

#[test]
fn portage_3_0_82_2_builds_installs_what_is_signed_and_refuses_what_is_not() {
    builds_installs_what_is_signed_and_refuses_what_is_not("3.0.82.2");
}

#[test]
fn portage_3_0_77_builds_installs_what_is_signed_and_refuses_what_is_not() {
    builds_installs_what_is_signed_and_refuses_what_is_not("3.0.77");
}

#[test]
fn portage_3_0_66_1_builds_installs_what_is_signed_and_refuses_what_is_not() {
    builds_installs_what_is_signed_and_refuses_what_is_not("3.0.66.1");
}

/// A drone whose user is not root, and who may do nothing but what any user may.
#[test]
fn a_drone_without_privileges_builds_and_installs() {
    if !nix::unistd::geteuid().is_root() {
        // then every other test here is this one
        return;
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let farm = Farm::new();
    fs::set_permissions(farm.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let place = farm.path().join("nobodys");
    fs::create_dir(&place).unwrap();
    nix::unistd::chown(&place, Some(nobody.uid), Some(nobody.gid)).unwrap();
    let run = |program: &Path, arguments: &[&str]| {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw()).args(arguments).current_dir("/");
        command.env("TEST_PLACE", &place).env("HOME", &place).env("TMPDIR", &place).output()
    };
    let reaches = |path: &Path| run(Path::new("/usr/bin/test"), &["-x", path.to_str().unwrap()]);
    let here = std::env::current_exe().unwrap();
    for needed in [here.as_path(), Path::new(AGENT), &crate::farm::venv("3.0.83").join("bin/emerge")] {
        if !reaches(needed).is_ok_and(|done| done.status.success()) {
            crate::farm::skipped(
                "a_drone_without_privileges_builds_and_installs",
                &format!("nobody can't reach {}", needed.display()),
            );
            return;
        }
    }
    let done = run(&here, &["--exact", "building::helper_without_privileges", "--ignored", "--nocapture"]).unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

/// Not a test: what the one above does as nobody.
#[test]
#[ignore = "run by another test as another user"]
fn helper_without_privileges() {
    let Some(place) = std::env::var_os("TEST_PLACE") else { return };
    assert!(!nix::unistd::geteuid().is_root());
    let farm = Farm::at(Path::new(&place));
    let root = farm.root("r1");
    let (library, result) = farm.build(1, &root, "dev-libs/libcomb-1.2");
    succeeded(&library, &result);
    let (program, result) = farm.build(2, &root, "app-misc/waggle-1.1");
    succeeded(&program, &result);
    assert!(Command::new(root.path.join("usr/bin/waggle")).output().unwrap().status.success());
    // with a binhost, whose packages are verified by the user itself
    let (binhost, other) = (Binhost::new(&farm), farm.root("r2"));
    let timestamp = binhost.publish(&root, &library, &{
        let AttemptState::Finished(result) = library.state() else { panic!() };
        result
    });
    let order = BuildJob { min_index_timestamp: timestamp, ..job("app-misc/waggle-1.1") };
    let (program, result) = farm.run(farm.attempt(3, &other, &binhost.access, order));
    succeeded(&program, &result);
    assert!(log(&program).contains(">>> Emerging binary (1 of 2) dev-libs/libcomb-1.2"), "{}", log(&program));
}

#[test]
fn two_use_variants_are_two_packages_and_a_wrong_one_is_not_taken_for_right() {
    let farm = Farm::new();
    let root = farm.root("r1");
    let (plain, result) = farm.build(1, &root, "app-misc/nectar-2.1");
    succeeded(&plain, &result);
    let sweet = BuildJob {
        use_flags: vec!["sweet".to_owned()],
        package_use: vec!["app-misc/nectar sweet".to_owned()],
        ..job("app-misc/nectar-2.1")
    };
    let (variant, result) = farm.run(farm.attempt(2, &root, &BinhostAccess::default(), sweet.clone()));
    succeeded(&variant, &result);
    let made: Vec<(&str, &[String])> =
        result.artifacts.iter().map(|artifact| (artifact.cpv.as_str(), &artifact.use_flags[..])).collect();
    assert!(made.contains(&("app-misc/nectar-2.1", &["sweet".to_owned()][..])), "{made:?}");
    assert!(
        made.iter().any(|(cpv, _)| *cpv == "dev-libs/libpollen-2.0"),
        "a dependency built on the side is kept: {made:?}"
    );
    assert_eq!(fs::read_dir(root.path.join("etc/portage/package.use")).unwrap().count(), 0);

    let wrong = BuildJob { package_use: Vec::new(), ..sweet };
    let (_, result) = farm.run(farm.attempt(3, &root, &BinhostAccess::default(), wrong));
    let failure = result.failure.unwrap();
    assert_eq!(failure.class, FailureClass::MissingBinary);
    assert!(failure.message.contains("USE \"sweet\" were ordered"), "{}", failure.message);
}

#[test]
fn a_program_that_does_not_compile_is_told_with_the_compilers_line() {
    let farm = Farm::new();
    let root = farm.root("r1");
    let (attempt, result) = farm.build(1, &root, "app-misc/wasp-1.0");
    let failure = result.failure.unwrap();
    assert_eq!((failure.class, failure.phase), (FailureClass::Phase, Some(Phase::Compile)), "{failure:?}");
    assert_eq!(failure.cpv.as_deref(), Some("app-misc/wasp-1.0"));
    let line = failure.log_line.unwrap();
    assert!(line.contains("wasp.c:") && line.contains("error:"), "{line}\n{}", log(&attempt));
    let made: Vec<&str> = result.artifacts.iter().map(|artifact| artifact.cpv.as_str()).collect();
    assert_eq!(made, ["dev-libs/libcomb-1.2"], "the dependency that was built is kept");

    let (_, result) = farm.build(2, &root, "app-misc/wasp-trap-1.0");
    assert_eq!(result.failure.unwrap().cpv.as_deref(), Some("app-misc/wasp-1.0"), "the dependency is charged");
}

#[test]
fn sources_that_cannot_be_had_and_dependencies_that_do_not_exist_are_told_apart() {
    let farm = Farm::new();
    let root = farm.root("r1");
    let cases = [
        ("app-misc/mirage-1.0", FailureClass::Fetch),
        ("app-misc/vaulted-1.0", FailureClass::Fetch),
        ("app-misc/queenless-1.0", FailureClass::Unsatisfiable),
        ("app-misc/no-such-thing-1.0", FailureClass::Unsatisfiable),
    ];
    for (build, (cpv, class)) in (1..).zip(cases) {
        let (attempt, result) = farm.build(build, &root, cpv);
        let failure = result.failure.unwrap_or_default();
        assert_eq!(failure.class, class, "{cpv}: {failure:?}\n{}", log(&attempt));
    }
}

#[test]
fn a_real_phase_that_dies_of_the_drone_is_not_the_packages_failure() {
    let farm = Farm::new();
    let cases = [
        ("cc1plus: fatal error: /tmp/x.o: No space left on device", FailureClass::DiskFull),
        ("gcc: fatal error: Killed signal terminated program cc1plus", FailureClass::OutOfMemory),
        ("environment: line 7: meson: command not found", FailureClass::MissingTool),
        ("moody.c:1:1: error: all is grey", FailureClass::Phase),
    ];
    for (build, (words, class)) in (1..).zip(cases) {
        let root = farm.root_with("r1", &[&format!("DEMO_MOODY=\"{words}\"")]);
        let (attempt, result) = farm.build(build, &root, "app-misc/moody-1.0");
        let failure = result.failure.unwrap_or_default();
        assert_eq!(failure.class, class, "{words}: {failure:?}\n{}", log(&attempt));
    }
}

#[test]
fn a_client_installs_only_signed_packages_from_the_binhost() {
    let farm = Farm::new();
    let (drone, binhost) = (farm.root("r1"), Binhost::new(&farm));
    let (library, result) = farm.build(1, &drone, "dev-libs/libcomb-1.2");
    succeeded(&library, &result);
    binhost.publish(&drone, &library, &result);
    let client = farm.config("c1", "3.0.83");
    let spec = RootSpec { config: client.clone(), binhost: Some(binhost.access.clone()), request_signature: true };
    create(&spec).unwrap();
    create(&spec).unwrap();
    let output = Command::new(client.emerge_program())
        .args(["--getbinpkgonly", "--oneshot", "dev-libs/libcomb"])
        .env_clear()
        .envs(swarm_portage::environment(&client))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(client.path.join("var/db/pkg/dev-libs/libcomb-1.2").is_dir());
}
