//! Roots and what is said of them.

use std::process::Command;

use fs_err as fs;
use swarm_portage::{RootSpec, create, environment, fingerprint_of, inspect};

use crate::farm::{Binhost, Farm};

#[test]
fn two_roots_set_up_alike_are_one_base_and_making_one_again_changes_nothing() {
    let farm = Farm::new();
    let (one, two) = (farm.root("r1"), farm.root("r2"));
    let state = inspect(&one).unwrap();
    create(&RootSpec { config: one.clone(), ..Default::default() }).unwrap();
    assert_eq!(inspect(&one).unwrap(), state);
    let other = inspect(&two).unwrap();
    assert_eq!(
        (&state.profile, &state.installed_hash, &state.tree),
        (&other.profile, &other.installed_hash, &other.tree)
    );
    assert_eq!(state.version, "3.0.83");
    assert!(state.profile.starts_with("default/") && state.chost.contains("linux"), "{state:?}");
    assert!(!state.tree.id.is_empty() && state.build_profile == "demo");
}

#[test]
fn the_index_header_is_the_one_portage_writes() {
    let farm = Farm::new();
    for version in ["3.0.83", "3.0.82.2"] {
        let root = farm.config(&format!("r{}", version.len()), version);
        create(&RootSpec { config: root.clone(), ..Default::default() }).unwrap();
        let status = Command::new(root.venv.join("bin/emaint"))
            .args(["binhost", "--fix"])
            .env_clear()
            .envs(environment(&root))
            .output()
            .unwrap();
        assert!(status.status.success());
        let index = fs::read_to_string(root.path.join("var/cache/binpkgs/Packages")).unwrap();
        let written: std::collections::BTreeMap<String, String> = index
            .lines()
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_once(": "))
            .filter(|(key, _)| !["TIMESTAMP", "PACKAGES", "REPO_REVISIONS"].contains(key))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        assert!(written.contains_key("ARCH") && written.len() > 10, "{written:?}");
        assert_eq!(inspect(&root).unwrap().index_header, written, "{version}");
    }
}

#[test]
fn the_fingerprint_of_a_key_is_read_from_the_key_and_of_no_key_or_two_it_is_refused() {
    let farm = Farm::new();
    let access = Binhost::new(&farm).access.clone();
    assert_eq!(fingerprint_of(&access.public_key).unwrap(), access.fingerprint);
    assert!(fingerprint_of("no key").is_err());
    let other = tempfile::tempdir_in(farm.path()).unwrap();
    fs::rename(farm.path().join("gpg"), other.path().join("gpg")).unwrap();
    fs::remove_dir_all(farm.path().join("binhost")).unwrap();
    let two = format!("{}\n{}", access.public_key, Binhost::new(&farm).access.public_key);
    assert!(fingerprint_of(&two).unwrap_err().to_string().contains("2 keys"));
}
