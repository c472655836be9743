//! A root: the tree Portage builds in and installs to, and the environment its commands run with. Three kinds:
//!
//! - `prefix`, a Gentoo Prefix in a directory: one variable (`PORTAGE_OVERRIDE_EPREFIX`) moves configuration, installed
//!   packages, caches and locks below it, so it needs no privileges and writes nothing elsewhere. Its packages carry its
//!   path.
//! - `chroot`, a tree of its own over the machine's programs (`mounts`): plain paths, as on a Gentoo machine; needs the
//!   right to mount.
//! - `system`, the Gentoo machine itself, for one that does nothing else. Never chosen by a program of ours: somebody must
//!   have written it into the configuration. Nothing of its own configuration is touched.
//!
//! Here are its names and paths, and nothing is changed: `setup` makes roots. Every other module here is told which root it
//! works with by this type.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

/// What kind of root it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootKind {
    /// A Gentoo Prefix in a directory: no privileges, no mounts.
    #[default]
    Prefix,
    /// A tree in a directory, entered with chroot: plain paths, the machine's programs below it; needs the right to mount.
    Chroot,
    /// The Gentoo machine itself.
    System,
}

/// A root as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootConfig {
    /// Its kind. All roots of one build profile must be prefixes, or none of them.
    #[serde(default)]
    pub kind: RootKind,
    /// Its directory; `/` for a `system`. Binaries with compiled-in paths only move between prefixes whose paths have
    /// equal length.
    pub path: PathBuf,
    /// Directory with Portage's `bin/emerge`: a Python virtual environment.
    pub venv: PathBuf,
    /// The main ebuild repository.
    pub repository: PathBuf,
    /// Portage profile below the repository's `profiles/`, e.g. `default/linux/amd64/23.0`.
    #[serde(default = "default_profile")]
    pub profile: String,
    /// Directories with sources already at hand; looked at before the network.
    #[serde(default)]
    pub distfiles: Vec<PathBuf>,
    /// The build profile this root serves (a configuration of the swarm).
    #[serde(default)]
    pub build_profile: String,
    /// `MAKEOPTS`; one job per processor if empty.
    #[serde(default)]
    pub makeopts: String,
    /// Further lines of make.conf, after the generated ones.
    #[serde(default)]
    pub make_conf: Vec<String>,
    /// The program to run in place of `<venv>/bin/emerge`.
    #[serde(default)]
    pub emerge: Option<PathBuf>,
}

fn default_profile() -> String {
    "default".to_owned()
}

impl RootConfig {
    /// The emerge to run.
    pub fn emerge_program(&self) -> PathBuf {
        self.emerge.clone().unwrap_or_else(|| self.venv.join("bin/emerge"))
    }

    /// The interpreter that has Portage.
    pub fn python(&self) -> PathBuf {
        self.venv.join("bin/python")
    }

    /// The tree Portage works in, as seen from outside.
    pub fn tree(&self) -> PathBuf {
        match self.kind {
            RootKind::Prefix => self.path.clone(),
            RootKind::Chroot => self.path.join("root"),
            RootKind::System => PathBuf::from("/"),
        }
    }

    /// A path in the tree, as seen from outside.
    pub fn at(&self, below: &str) -> PathBuf {
        self.tree().join(below)
    }

    /// The same path as Portage sees it.
    pub fn inside(&self, below: &str) -> PathBuf {
        match self.kind {
            RootKind::Prefix => self.path.join(below),
            RootKind::Chroot | RootKind::System => Path::new("/").join(below),
        }
    }

    /// The list of what the root had installed when it was made.
    pub fn base_list(&self) -> PathBuf {
        self.at("var/lib/build-swarm/base.json")
    }

    /// GnuPG home that trusts the binhost's key, below the tree. A machine's own is left alone.
    pub fn gnupg_home(&self) -> &'static str {
        match self.kind {
            RootKind::Prefix | RootKind::Chroot => "etc/portage/gnupg",
            RootKind::System => "var/lib/build-swarm/gnupg",
        }
    }

    /// Whether the user `nobody`, as whom Portage verifies, reaches what is in the tree.
    pub(crate) fn nobody_may_enter(&self) -> bool {
        match self.kind {
            RootKind::Prefix => others_may_enter(&self.path),
            RootKind::Chroot | RootKind::System => true,
        }
    }
}

/// Whether a user without rights of its own reaches `path`.
fn others_may_enter(path: &Path) -> bool {
    path.ancestors().all(|dir| fs::metadata(dir).map(|meta| meta.mode() & 0o001 != 0).unwrap_or(false))
}

/// The clean environment of a Portage command in this root; nothing of the caller's environment is passed on.
pub fn environment(root: &RootConfig) -> Vec<(String, String)> {
    let inside = |below: &str| root.inside(below).display().to_string();
    let path = format!(
        "{}:{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        root.venv.join("bin").display(),
        inside("tools")
    );
    let mut variables = vec![
        ("HOME", inside("tmp")),
        ("PATH", path),
        ("TERM", "dumb".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        // Portage's Python half reads the first, its bash half the second.
        ("NO_COLOR", "1".to_owned()),
        ("NOCOLOR", "true".to_owned()),
    ];
    match root.kind {
        RootKind::Prefix => variables.push(("PORTAGE_OVERRIDE_EPREFIX", root.path.display().to_string())),
        // the virtual environment's Portage would take itself for a prefix
        RootKind::Chroot => variables.push(("PORTAGE_OVERRIDE_EPREFIX", String::new())),
        // what make.conf says in the other kinds; the machine's own stays as it is
        RootKind::System => variables.extend([
            ("BINPKG_GPG_VERIFY_GPG_HOME", inside(root.gnupg_home())),
            ("PORTAGE_TRUST_HELPER", String::new()),
        ]),
    }
    variables.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(path: &Path) -> RootConfig {
        RootConfig {
            path: path.to_owned(),
            venv: path.join("venv"),
            repository: path.join("repo"),
            ..Default::default()
        }
    }

    #[test]
    fn paths_are_told_apart_by_who_sees_them() {
        let root = |kind| RootConfig { kind, ..config(Path::new("/r")) };
        let seen = |kind| (root(kind).at("etc/x"), root(kind).inside("etc/x"));
        assert_eq!(seen(RootKind::Prefix), ("/r/etc/x".into(), "/r/etc/x".into()));
        assert_eq!(seen(RootKind::Chroot), ("/r/root/etc/x".into(), "/etc/x".into()));
        assert_eq!(seen(RootKind::System), ("/etc/x".into(), "/etc/x".into()));
        let prefix = |kind| {
            let found = environment(&root(kind)).into_iter().find(|(key, _)| key == "PORTAGE_OVERRIDE_EPREFIX");
            found.map(|(_, value)| value)
        };
        assert_eq!(prefix(RootKind::Prefix).as_deref(), Some("/r"));
        assert_eq!(prefix(RootKind::Chroot).as_deref(), Some(""));
        assert_eq!(prefix(RootKind::System), None, "the machine's own Portage knows where it is");
        let machine = environment(&root(RootKind::System));
        assert!(machine.contains(&("BINPKG_GPG_VERIFY_GPG_HOME".to_owned(), "/var/lib/build-swarm/gnupg".to_owned())));
    }

    #[test]
    fn the_environment_names_the_root_and_inherits_nothing() {
        let vars = environment(&config(Path::new("/r")));
        assert!(vars.contains(&("PORTAGE_OVERRIDE_EPREFIX".to_owned(), "/r".to_owned())));
        assert_eq!(vars.len(), 7);
    }
}
