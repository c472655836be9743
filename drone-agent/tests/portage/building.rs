//! Real builds: a library, a program on top of it as a binary, variants, failures.

use std::process::Command;

use drone_agent::portage::{RootSpec, create};
use fs_err as fs;
use swarm_protocol::order::BuildJob;
use swarm_protocol::report::{BinhostAccess, FailureClass, Phase};

use crate::farm::{Binhost, Farm, job, log, succeeded};

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

#[test]
fn a_client_takes_no_package_whose_signature_is_another_ones() {
    let farm = Farm::new();
    let (first, binhost) = (farm.root("r1"), Binhost::new(&farm));
    let (library, result) = farm.build(1, &first, "dev-libs/libcomb-1.2");
    succeeded(&library, &result);
    let timestamp = binhost.publish(&first, &library, &result);
    // The file is exchanged for the unsigned one the drone made, and the index told so.
    let file = binhost.dir.join("dev-libs/libcomb/libcomb-1.2-1.gpkg.tar");
    let index = fs::read_to_string(binhost.dir.join("Packages")).unwrap();
    fs::copy(library.artifact_path(&result.artifacts[0]), &file).unwrap();
    let size = fs::metadata(&file).unwrap().len();
    let sums: Vec<String> = ["md5sum", "sha1sum"]
        .iter()
        .map(|tool| String::from_utf8(Command::new(tool).arg(&file).output().unwrap().stdout).unwrap())
        .map(|said| said.split(' ').next().unwrap().to_owned())
        .collect();
    let forged: Vec<String> = index
        .lines()
        .map(|line| match line.split_once(": ") {
            Some(("MD5", _)) => format!("MD5: {}", sums[0]),
            Some(("SHA1", _)) => format!("SHA1: {}", sums[1]),
            Some(("SIZE", _)) => format!("SIZE: {size}"),
            _ => line.to_owned(),
        })
        .collect();
    fs::write(binhost.dir.join("Packages"), forged.join("\n") + "\n\n").unwrap();
    let _ = fs::remove_file(binhost.dir.join("Packages.gz"));
    let second = farm.root("r2");
    let order = BuildJob { min_index_timestamp: timestamp, ..job("app-misc/waggle-1.1") };
    let (attempt, result) = farm.run(farm.attempt(2, &second, &binhost.access, order));
    let failure = result.failure.unwrap_or_else(|| panic!("an unsigned package was taken:\n{}", log(&attempt)));
    assert_eq!(failure.class, FailureClass::BinhostUnreachable, "{failure:?}\n{}", log(&attempt));
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
        .envs(drone_agent::portage::environment(&client))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(client.path.join("var/db/pkg/dev-libs/libcomb-1.2").is_dir());
}
