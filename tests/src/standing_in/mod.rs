//! Stand-in builds, for scale: the controller, nats-server and agents (supervisor, worker, attempts) are the real ones, but
//! the "Portage" a drone finds is one small program that behaves as the agent expects of emerge and of Portage's Python.
//! A build takes about 0.3 s and next to no processor time, so hundreds fit into a minute of two cores.
//!
//! # How to use it
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use swarm_tests::Swarm;
//! use swarm_tests::standing_in::{Behaviour, End};
//!
//! // three drones; lines of the controller's [rules] table
//! let swarm = Swarm::standing_in(3, "heartbeat = \"1s\"")?;
//! swarm.stand_in().change(|set| {
//!     set.usual.ms = 500; // what every package takes unless it says otherwise
//!     set.packages.insert("stand-in/tool".into(), Behaviour { bytes: 1 << 20, ..Behaviour::default() });
//!     set.packages.insert("stand-in/app".into(), Behaviour { needs: vec!["stand-in/tool".into()], ..Behaviour::default() });
//!     set.packages.insert("stand-in/bad".into(), Behaviour { end: End::Fails, ..Behaviour::default() });
//! })?;
//! // any name is a package; words in it choose, too: 100 ms, 64 KiB, and it fails
//! swarm.queue(&["=stand-in/app-1", "=stand-in/x_ms100_kb64-1", "stand-in/y_fails"])?;
//! # Ok(())
//! # }
//! ```
//!
//! - A package is whatever is asked for; without a version it is version 1. It is in repository `stand-in`, slot 0.
//! - [`Settings`] lie in `behaviour.json` beside the program and are read at each start, so they can be changed while the
//!   swarm runs. A package's own entry counts before the words of its name, these before `usual`.
//! - Words, parted by `_`: `ms<n>` (milliseconds), `kb<n>` (KiB of package), `lines<n>` (of log), `fails`, `hangs`, `killed`,
//!   `nospace`, `nofetch`, `nobinary`, `masked`.
//! - [`StandIn::journal`] tells every start and end of every emerge, from outside of everything the swarm believes.
//!
//! The seam is the drone's configuration alone (`root.venv`): `bin/emerge` and `bin/python` of the directory named there
//! are links to the program `stand-in`, so neither controller nor agent has a branch for it.

pub mod gpkg;
pub mod program;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use serde::{Deserialize, Serialize};

use crate::tools;

/// Repository of every stand-in package.
pub const REPOSITORY: &str = "stand-in";
/// Portage profile of the stand-in repository.
pub const PROFILE: &str = "default/stand-in";
/// CHOST of every stand-in package.
pub const CHOST: &str = if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-pc-linux-gnu" };

/// How a build ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With a package.
    #[default]
    Built,
    /// In the compile phase: the package's fault.
    Fails,
    /// Never; it falls silent while compiling.
    Hangs,
    /// A compiler is killed for want of memory: the drone's fault.
    Killed,
    /// No space left on the device: the drone's fault.
    NoSpace,
    /// Sources can't be fetched: nobody's fault.
    NoFetch,
    /// With success, but without a package.
    NoBinary,
    /// Not at all: the planner finds it masked.
    Masked,
}

/// How a package behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Milliseconds emerge takes.
    pub ms: u64,
    /// Bytes of the package's image.
    pub bytes: usize,
    /// Lines of log between the phases' lines.
    pub lines: u32,
    /// How it ends.
    pub end: End,
    /// Only on these drones does it end so; elsewhere it is built. Empty: everywhere.
    pub only_on: Vec<String>,
    /// `category/name` of what must be built before.
    pub needs: Vec<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { ms: 250, bytes: 4096, lines: 20, end: End::Built, only_on: Vec::new(), needs: Vec::new() }
    }
}

/// What `behaviour.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What goes for every package.
    pub usual: Behaviour,
    /// By `category/name`.
    pub packages: BTreeMap<String, Behaviour>,
}

impl Settings {
    /// How a package behaves.
    pub fn of(&self, package: &str) -> Behaviour {
        if let Some(own) = self.packages.get(package) {
            return own.clone();
        }
        let mut behaviour = self.usual.clone();
        let name = package.split('/').next_back().unwrap_or(package);
        for word in name.split('_') {
            read_word(word, &mut behaviour);
        }
        behaviour
    }
}

fn read_word(word: &str, behaviour: &mut Behaviour) {
    let number = |prefix: &str| word.strip_prefix(prefix).and_then(|digits| digits.parse::<u32>().ok());
    if let Some(ms) = number("ms") {
        behaviour.ms = u64::from(ms);
    } else if let Some(kib) = number("kb") {
        behaviour.bytes = kib as usize * 1024;
    } else if let Some(lines) = number("lines") {
        behaviour.lines = lines;
    }
    behaviour.end = match word {
        "fails" => End::Fails,
        "hangs" => End::Hangs,
        "killed" => End::Killed,
        "nospace" => End::NoSpace,
        "nofetch" => End::NoFetch,
        "nobinary" => End::NoBinary,
        "masked" => End::Masked,
        _ => behaviour.end,
    };
}

/// A line of the journal: one emerge began, or ended with a status of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Unix milliseconds.
    pub at: u64,
    /// `None`: it began. Some: the exit status it is about to end with. One that was killed has no end.
    pub status: Option<i32>,
    /// The drone, by the name of its root.
    pub drone: String,
    /// `build.attempt`.
    pub fence: String,
    /// `category/name-version`.
    pub cpv: String,
    /// Its process.
    pub pid: i32,
}

/// A directory that drones take for Portage's virtual environment, with a repository beside it.
#[derive(Debug, Clone)]
pub struct StandIn {
    dir: PathBuf,
}

impl StandIn {
    /// Makes it.
    ///
    /// # Errors
    /// When the program is not built or a file can't be written.
    pub fn make(dir: &Path) -> Result<Self> {
        let program = tools::program("stand-in")?;
        fs::create_dir_all(dir.join("bin"))?;
        for name in ["emerge", "python"] {
            symlink(&program, dir.join("bin").join(name))?;
        }
        fs::create_dir_all(dir.join("share/portage/config/sets"))?;
        fs::write(dir.join("share/portage/config/make.globals"), "")?;
        let made = Self { dir: dir.to_owned() };
        let profiles = made.repository().join("profiles");
        fs::create_dir_all(profiles.join(PROFILE))?;
        fs::write(profiles.join("repo_name"), format!("{REPOSITORY}\n"))?;
        fs::create_dir_all(made.repository().join("metadata"))?;
        fs::write(made.repository().join("metadata/timestamp.chk"), "Mon, 23 Nov 2026 15:45:00 +0000\n")?;
        made.change(|_| {})?;
        Ok(made)
    }

    /// What a drone's `root.venv` names.
    pub fn venv(&self) -> &Path {
        &self.dir
    }

    /// What a drone's `root.repository` names.
    pub fn repository(&self) -> PathBuf {
        self.dir.join("repository")
    }

    /// Changes the settings; builds that begin from now on follow the new ones.
    ///
    /// # Errors
    /// When they can't be read or written.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) -> Result<()> {
        let path = self.dir.join("behaviour.json");
        let mut settings = if path.exists() { read_settings(&self.dir)? } else { Settings::default() };
        change(&mut settings);
        let fresh = self.dir.join("behaviour.json.new");
        fs::write(&fresh, serde_json::to_vec_pretty(&settings)?)?;
        Ok(fs::rename(fresh, path)?)
    }

    /// Every emerge that began or ended so far, in the order it was written down.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub fn journal(&self) -> Result<Vec<Entry>> {
        let path = self.dir.join("journal");
        let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
        text.lines().map(|line| entry(line).with_context(|| format!("a line of the journal: {line:?}"))).collect()
    }
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let at = words.next()?.parse().ok()?;
    let status = match words.next()? {
        "began" => None,
        status => Some(status.parse().ok()?),
    };
    let mut word = || words.next().map(str::to_owned);
    Some(Entry { at, status, drone: word()?, fence: word()?, cpv: word()?, pid: word()?.parse().ok()? })
}

fn read_settings(dir: &Path) -> Result<Settings> {
    let path = dir.join("behaviour.json");
    serde_json::from_slice(&fs::read(&path)?).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packages_own_entry_counts_before_its_name_and_its_name_before_the_usual() {
        let mut settings = Settings { usual: Behaviour { ms: 7, ..Behaviour::default() }, ..Settings::default() };
        assert_eq!(settings.of("stand-in/plain").ms, 7);
        let named = settings.of("stand-in/x_ms100_kb2_fails");
        assert_eq!((named.ms, named.bytes, named.end), (100, 2048, End::Fails));
        settings.packages.insert("stand-in/x_ms100".into(), Behaviour { ms: 9, ..Behaviour::default() });
        assert_eq!(settings.of("stand-in/x_ms100").ms, 9);
    }

    #[test]
    fn a_line_of_the_journal_is_read_as_it_was_written() {
        let began = entry("5 began d1 7.2 stand-in/x-1 99").unwrap();
        assert_eq!((began.status, began.fence.as_str(), began.pid), (None, "7.2", 99));
        assert_eq!(entry("5 1 d1 7.2 stand-in/x-1 99").unwrap().status, Some(1));
        assert_eq!(entry("5 began d1"), None);
    }
}
