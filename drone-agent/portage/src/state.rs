//! What a root's Portage is: version, profile, what the root had installed when it was made, and the state of its trees.
//!
//! Two drones with equal answers form a base and may exchange plans and packages. Called by the worker for
//! its hello, and by the supervisor for the state of the tree in each heartbeat.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use swarm_common::files::write_if_changed;
use swarm_protocol::machine::{PortageState, TreeState};
use thiserror::Error;

use crate::root::RootConfig;
use crate::script::{Script, ScriptError};

/// How long a look at Portage may take; it takes half a second on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Most files of a tree whose names, sizes and times are hashed; a Gentoo tree has some 150,000.
const MAX_TREE_FILES: usize = 400_000;

/// Why a root could not be inspected.
#[derive(Debug, Error)]
pub enum StateError {
    /// The script beside Portage failed.
    #[error("ask the Portage of root {0}")]
    Script(PathBuf, #[source] ScriptError),
    /// A file could not be read or written.
    #[error("inspect the root")]
    Io(#[from] io::Error),
    /// The base list is damaged.
    #[error("base list {0} is damaged; make the root anew")]
    BaseList(PathBuf, #[source] serde_json::Error),
}

/// A package the root had installed when it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BasePackage {
    /// `category/name-version`.
    pub cpv: String,
    /// Portage's metadata of it.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Question {
    what: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    version: String,
    profile: String,
    chost: String,
    cflags: String,
    #[serde(default)]
    features: Vec<String>,
    index_header: BTreeMap<String, String>,
}

/// Describes the root's Portage. Takes about half a second of one processor.
pub fn inspect(root: &RootConfig) -> Result<PortageState, StateError> {
    let answer: Answer = ask(root, "state")?;
    Ok(PortageState {
        version: answer.version,
        build_profile: root.build_profile.clone(),
        profile: answer.profile,
        chost: answer.chost,
        cflags: answer.cflags,
        installed_hash: installed_hash(&base_list(root)?),
        features: answer.features,
        tree: tree_state(root)?,
        index_header: answer.index_header,
    })
}

fn ask<A: serde::de::DeserializeOwned>(root: &RootConfig, what: &'static str) -> Result<A, StateError> {
    let workdir = tempfile::tempdir()?;
    Script {
        name: "state",
        text: include_str!("state.py"),
        root,
        workdir: workdir.path(),
        environment: &[],
        timeout: TIMEOUT,
    }
    .ask(&Question { what })
    .map_err(|e| StateError::Script(root.path.clone(), e))
}

/// Writes down what the root has installed, once: what the swarm builds in it later is not part of its base.
pub fn write_base_list(root: &RootConfig) -> Result<(), StateError> {
    let path = root.base_list();
    if path.exists() {
        return Ok(());
    }
    let packages: Vec<BasePackage> =
        if nothing_installed(&root.at("var/db/pkg"))? { Vec::new() } else { ask(root, "base")? };
    let text = serde_json::to_string(&packages).map_err(|e| StateError::BaseList(path.clone(), e))?;
    write_if_changed(&path, &text)?;
    Ok(())
}

fn nothing_installed(vdb: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(vdb)?.next().is_none())
}

/// What the root had installed when it was made.
pub fn base_list(root: &RootConfig) -> Result<Vec<BasePackage>, StateError> {
    let path = root.base_list();
    let text = fs::read(&path)?;
    serde_json::from_slice(&text).map_err(|e| StateError::BaseList(path, e))
}

/// SHA-256 over cpv, slot, repository and enabled flags of each package: equal for drones set up alike, whenever built.
pub fn installed_hash(packages: &[BasePackage]) -> String {
    let mut lines: Vec<String> = packages
        .iter()
        .map(|package| {
            let field = |key: &str| package.metadata.get(key).map_or("", String::as_str);
            let iuse: Vec<&str> = field("IUSE").split_whitespace().map(|f| f.trim_start_matches(['+', '-'])).collect();
            let mut flags: Vec<&str> = field("USE").split_whitespace().filter(|flag| iuse.contains(flag)).collect();
            flags.sort_unstable();
            format!("{}:{}::{}[{}]\n", package.cpv, field("SLOT"), field("repository"), flags.join(","))
        })
        .collect();
    lines.sort_unstable();
    hex::encode(Sha256::digest(lines.concat()))
}

/// State of the root's main repository: `metadata/timestamp.chk`, else the commit, else a hash over its files.
pub fn tree_state(root: &RootConfig) -> Result<TreeState, StateError> {
    let tree = &root.repository;
    for name in ["metadata/timestamp.chk", "metadata/timestamp"] {
        let Ok(text) = fs::read_to_string(tree.join(name)) else { continue };
        let text = text.trim();
        if let Ok(time) = jiff::fmt::rfc2822::parse(text) {
            let timestamp = u64::try_from(time.timestamp().as_second()).ok();
            return Ok(TreeState { timestamp, id: text.to_owned() });
        }
    }
    if let Some(commit) = git_commit(tree) {
        return Ok(TreeState { timestamp: None, id: commit });
    }
    Ok(TreeState { timestamp: None, id: tree_hash(tree)? })
}

/// The commit checked out in `tree`, read without git: the agent needs no git installed.
fn git_commit(tree: &Path) -> Option<String> {
    let git = tree.join(".git");
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(reference) = head.trim().strip_prefix("ref: ") else { return is_commit(head.trim()) };
    if let Ok(loose) = fs::read_to_string(git.join(reference)) {
        return is_commit(loose.trim());
    }
    let packed = fs::read_to_string(git.join("packed-refs")).ok()?;
    packed
        .lines()
        .find_map(|line| line.split_once(' ').filter(|(_, name)| *name == reference))
        .and_then(|(c, _)| is_commit(c))
}

fn is_commit(text: &str) -> Option<String> {
    (text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| text.to_owned())
}

/// A hash over names and contents of what decides a build: ebuilds, eclasses, profiles, Manifests, files. The metadata
/// cache is left out: it is derived, and made at another time on every machine.
fn tree_hash(tree: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(below) = pending.pop() {
        for entry in fs::read_dir(tree.join(&below))? {
            let entry = entry?;
            let name = below.join(entry.file_name());
            if name == Path::new("metadata/md5-cache") || name == Path::new(".git") {
                continue;
            }
            match entry.file_type()? {
                kind if kind.is_dir() => pending.push(name),
                _ => files.push(name),
            }
        }
        if files.len() > MAX_TREE_FILES {
            return Err(io::Error::other(format!("{} has more than {MAX_TREE_FILES} files", tree.display())));
        }
    }
    files.sort_unstable();
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    for name in files {
        hash.update(name.as_os_str().as_encoded_bytes());
        hash.update([0]);
        let Ok(mut file) = fs::File::open(tree.join(&name)) else { continue };
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
        }
        hash.update([0]);
    }
    Ok(hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(cpv: &str, iuse: &str, used: &str, built: &str) -> BasePackage {
        let metadata = [("IUSE", iuse), ("USE", used), ("SLOT", "0"), ("repository", "gentoo"), ("BUILD_TIME", built)];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        BasePackage { cpv: cpv.to_owned(), metadata }
    }

    #[test]
    fn bases_built_at_different_times_in_different_order_are_equal() {
        let one = [package("a/a-1", "+x y", "x amd64", "1"), package("a/b-1", "", "", "1")];
        let two = [package("a/b-1", "", "amd64", "2"), package("a/a-1", "x +y", "amd64 x", "2")];
        assert_eq!(installed_hash(&one), installed_hash(&two));
    }

    #[test]
    fn a_flag_that_differs_makes_another_base() {
        assert_ne!(
            installed_hash(&[package("a/a-1", "x", "x", "1")]),
            installed_hash(&[package("a/a-1", "x", "", "1")])
        );
    }

    #[test]
    fn a_tree_with_a_time_stamp_is_known_by_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("metadata")).unwrap();
        fs::write(dir.path().join("metadata/timestamp.chk"), "Mon, 23 Nov 2026 15:45:00 +0000\n").unwrap();
        let root = RootConfig { repository: dir.path().to_owned(), ..Default::default() };
        assert_eq!(tree_state(&root).unwrap().timestamp, Some(1_795_448_700));
    }

    #[test]
    fn a_checkout_is_known_by_its_commit_loose_or_packed() {
        let dir = tempfile::tempdir().unwrap();
        let git = dir.path().join(".git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        let commit = "a".repeat(40);
        fs::write(git.join("packed-refs"), format!("# pack\n{commit} refs/heads/main\n")).unwrap();
        assert_eq!(git_commit(dir.path()), Some(commit));
        let newer = "b".repeat(40);
        fs::write(git.join("refs/heads/main"), &newer).unwrap();
        assert_eq!(git_commit(dir.path()), Some(newer));
    }

    #[test]
    fn any_other_tree_is_known_by_its_content_and_not_by_its_cache() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("metadata/md5-cache")).unwrap();
        fs::write(dir.path().join("x.ebuild"), "EAPI=8").unwrap();
        let before = tree_hash(dir.path()).unwrap();
        fs::write(dir.path().join("metadata/md5-cache/x"), "cache").unwrap();
        assert_eq!(tree_hash(dir.path()).unwrap(), before);
        fs::write(dir.path().join("x.ebuild"), "EAPI=9").unwrap();
        assert_ne!(tree_hash(dir.path()).unwrap(), before);
    }
}
