//! A root: the tree Portage builds in and installs to, and the environment its commands run with.
//!
//! Only Gentoo Prefix roots are made here: one variable (`PORTAGE_OVERRIDE_EPREFIX`) moves configuration, installed
//! packages, caches and locks below the root, so it needs no privileges and writes nothing elsewhere. Called by
//! `swarm up`, the drone's set-up and the tests; [`environment`] also by every attempt and plan.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use swarm_protocol::report::BinhostAccess;
use thiserror::Error;

use super::binhost::{self, BinhostError};
use super::state;

/// What kind of root it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootKind {
    /// A Gentoo Prefix in a directory: no privileges, no mounts.
    #[default]
    Prefix,
    /// A directory entered with chroot.
    Chroot,
    /// The machine itself.
    System,
}

impl RootKind {
    fn name(self) -> &'static str {
        match self {
            Self::Prefix => "prefix",
            Self::Chroot => "chroot",
            Self::System => "system",
        }
    }
}

/// A root as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootConfig {
    /// Its kind; only `prefix` is available.
    #[serde(default)]
    pub kind: RootKind,
    /// Its directory. Binaries with compiled-in paths only move between roots whose paths have equal length.
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

/// What [`create`] makes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RootSpec {
    /// The root.
    pub config: RootConfig,
    /// The binhost to install from, if it is known already.
    pub binhost: Option<BinhostAccess>,
    /// A client's root: refuse every binary package without a good signature, wherever it comes from.
    pub request_signature: bool,
}

/// Why a root could not be made or used.
#[derive(Debug, Error)]
pub enum RootError {
    /// Kind not built yet.
    #[error("root {path}: kind {kind:?} is not available yet; use \"prefix\"", kind = .kind.name())]
    NotAvailable {
        /// The root.
        path: PathBuf,
        /// The kind asked for.
        kind: RootKind,
    },
    /// Something the configuration names is not there.
    #[error("root {root}: {what} {path} is missing; {hint}")]
    Missing {
        /// The root.
        root: PathBuf,
        /// What is missing.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// A path or value Portage's configuration files can't hold.
    #[error("root {root}: {what} {value:?} can't be written to make.conf")]
    Unquotable {
        /// The root.
        root: PathBuf,
        /// Which value.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// The running user has no name.
    #[error("user or group {0} has no name on this machine")]
    NoUser(u32),
    /// A file could not be written.
    #[error("write the root")]
    Io(#[from] io::Error),
    /// The binhost could not be configured.
    #[error("configure the binhost of root {0}")]
    Binhost(PathBuf, #[source] BinhostError),
    /// The list of installed packages could not be had.
    #[error("list what root {0} has installed")]
    Base(PathBuf, #[source] state::StateError),
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

    /// The list of what the root had installed when it was made.
    pub fn base_list(&self) -> PathBuf {
        self.path.join("var/lib/build-swarm/base.json")
    }

    /// GnuPG home that trusts the binhost's key.
    pub fn gnupg_home(&self) -> PathBuf {
        self.path.join("etc/portage/gnupg")
    }

    /// Refuses kinds that can't be used yet.
    pub fn check_kind(&self) -> Result<(), RootError> {
        match self.kind {
            RootKind::Prefix => Ok(()),
            kind @ (RootKind::Chroot | RootKind::System) => {
                Err(RootError::NotAvailable { path: self.path.clone(), kind })
            }
        }
    }
}

/// Directories every root has, below its path.
const DIRECTORIES: [&str; 19] = [
    "etc/portage/repos.conf",
    "etc/portage/package.use",
    "var/db/pkg",
    "var/db/repos",
    "var/cache/distfiles",
    "var/cache/binpkgs",
    "var/cache/edb/dep",
    "var/lib/portage",
    "var/lib/build-swarm",
    "var/log/portage",
    "var/tmp",
    "tmp",
    "run",
    "tools",
    "share/portage/config",
    "usr/bin",
    "usr/lib",
    "usr/lib64",
    "usr/include",
];

/// Makes the root, or brings its configuration up to date; what is installed in it is left alone.
pub fn create(spec: &RootSpec) -> Result<(), RootError> {
    let root = &spec.config;
    root.check_kind()?;
    require(root, "Portage", &root.venv.join("bin/emerge"), "install it there with `pip install portage`")?;
    require(root, "Portage profile", &root.repository.join("profiles").join(&root.profile), "check `profile`")?;
    for directory in DIRECTORIES {
        fs::create_dir_all(root.path.join(directory))?;
    }
    global_config(root)?;
    tools(root)?;
    link(&root.repository.join("profiles").join(&root.profile), &root.path.join("etc/portage/make.profile"))?;
    let name = repository_name(root);
    let repos = format!(
        "[DEFAULT]\nmain-repo = {name}\n\n[{name}]\nlocation = {}\nauto-sync = no\n",
        root.repository.display()
    );
    write_if_changed(&root.path.join("etc/portage/repos.conf/swarm.conf"), &repos)?;
    write_if_changed(&root.path.join("etc/portage/make.conf"), &make_conf(spec)?)?;
    if let Some(access) = &spec.binhost {
        binhost::configure_binhost(root, access).map_err(|e| RootError::Binhost(root.path.clone(), e))?;
    }
    state::write_base_list(root).map_err(|e| RootError::Base(root.path.clone(), e))
}

fn require(root: &RootConfig, what: &'static str, path: &Path, hint: &'static str) -> Result<(), RootError> {
    if path.exists() {
        return Ok(());
    }
    Err(RootError::Missing { root: root.path.clone(), what, path: path.to_owned(), hint })
}

/// The stock global configuration, but without its repos.conf: that one names a Gentoo tree which is not there, and every
/// command would warn of it.
fn global_config(root: &RootConfig) -> Result<(), RootError> {
    let stock = root.venv.join("share/portage/config");
    require(root, "Portage's global configuration", &stock.join("make.globals"), "is `venv` a virtual environment?")?;
    let own = root.path.join("share/portage/config");
    for name in ["make.globals", "sets"] {
        link(&stock.join(name), &own.join(name))?;
    }
    write_if_changed(&own.join("repos.conf"), "")?;
    write_if_changed(&own.join("binrepos.conf"), "[DEFAULT]\nverify-signature = true\n")?;
    Ok(())
}

/// Portage calls GNU tar `gtar`; many distributions have no such name.
fn tools(root: &RootConfig) -> Result<(), RootError> {
    let known = ["/usr/bin", "/bin", "/usr/local/bin"];
    if known.iter().any(|dir| Path::new(dir).join("gtar").exists()) {
        return Ok(());
    }
    match known.iter().map(|dir| Path::new(dir).join("tar")).find(|tar| tar.exists()) {
        Some(tar) => Ok(link(&tar, &root.path.join("tools/gtar"))?),
        None => require(root, "GNU tar", Path::new("/usr/bin/tar"), "install it"),
    }
}

fn repository_name(root: &RootConfig) -> String {
    fs::read_to_string(root.repository.join("profiles/repo_name"))
        .map(|text| text.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "gentoo".to_owned())
}

/// Features off: what needs root, sandbox or namespaces, and what waits for people. `observability` on.
const FEATURES: &str = "-sandbox -usersandbox -userpriv -userfetch -usersync -merge-sync -news -merge-wait \
                        -qa-unresolved-soname-deps observability";

fn make_conf(spec: &RootSpec) -> Result<String, RootError> {
    let root = &spec.config;
    let at = |below: &str| root.path.join(below).display().to_string();
    let uid = nix::unistd::getuid();
    let gid = nix::unistd::getgid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten().ok_or(RootError::NoUser(uid.as_raw()))?.name;
    let group = nix::unistd::Group::from_gid(gid).ok().flatten().ok_or(RootError::NoUser(gid.as_raw()))?.name;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let distfiles = root.distfiles.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(" ");
    let makeopts = if root.makeopts.is_empty() { format!("-j{cores}") } else { root.makeopts.clone() };
    let mut features = FEATURES.to_owned();
    if spec.request_signature {
        features.push_str(" binpkg-request-signature");
    }
    let mut values = vec![
        ("PORTAGE_USERNAME", user),
        ("PORTAGE_GRPNAME", group),
        ("DISTDIR", at("var/cache/distfiles")),
        ("PORTAGE_RO_DISTDIRS", distfiles),
        ("PKGDIR", at("var/cache/binpkgs")),
        ("PORTAGE_TMPDIR", at("var/tmp")),
        ("PORTAGE_LOGDIR", at("var/log/portage")),
        ("EMERGE_LOG_DIR", at("var/log")),
        ("FEATURES", features),
        ("BINPKG_FORMAT", "gpkg".to_owned()),
        ("BINPKG_COMPRESS", "zstd".to_owned()),
        ("MAKEOPTS", makeopts),
        ("BINPKG_GPG_VERIFY_GPG_HOME", root.gnupg_home().display().to_string()),
        ("PORTAGE_TRUST_HELPER", String::new()),
    ];
    if !others_may_enter(&root.path) {
        // Portage verifies as `nobody`, who could not reach the key ring here.
        values.push(("GPG_VERIFY_USER_DROP", String::new()));
        values.push(("GPG_VERIFY_GROUP_DROP", String::new()));
    }
    let mut text = String::from("# Written by drone-agent; add lines through `make_conf` in drone.toml.\n");
    for (key, value) in values {
        if value.contains(['"', '\\', '$', '`', '\n']) {
            return Err(RootError::Unquotable { root: root.path.clone(), what: key, value });
        }
        text.push_str(&format!("{key}=\"{value}\"\n"));
    }
    for line in &root.make_conf {
        text.push_str(line);
        text.push('\n');
    }
    Ok(text)
}

/// Whether a user without rights of its own reaches `path`.
pub(crate) fn others_may_enter(path: &Path) -> bool {
    path.ancestors().all(|dir| fs::metadata(dir).map(|meta| meta.mode() & 0o001 != 0).unwrap_or(false))
}

/// The clean environment of a Portage command in this root; nothing of the caller's environment is passed on.
pub fn environment(root: &RootConfig) -> Vec<(String, String)> {
    let path = format!(
        "{}:{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        root.venv.join("bin").display(),
        root.path.join("tools").display()
    );
    [
        ("HOME", root.path.join("tmp").display().to_string()),
        ("PATH", path),
        ("TERM", "dumb".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        // Portage's Python half reads the first, its bash half the second.
        ("NO_COLOR", "1".to_owned()),
        ("NOCOLOR", "true".to_owned()),
        ("PORTAGE_OVERRIDE_EPREFIX", root.path.display().to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec()
}

/// Points `link` at `target`; an existing link elsewhere is replaced in one step.
fn link(target: &Path, link: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|now| now == target) {
        return Ok(());
    }
    let fresh = link.with_extension("new");
    let _ = fs::remove_file(&fresh);
    fs_err::os::unix::fs::symlink(target, &fresh)?;
    fs::rename(&fresh, link)
}

/// Writes `text` to `path` by a temporary file, unless it is there already. Says whether it wrote.
pub(crate) fn write_if_changed(path: &Path, text: &str) -> io::Result<bool> {
    if fs::read_to_string(path).is_ok_and(|now| now == text) {
        return Ok(false);
    }
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)?;
    Ok(true)
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
    fn other_kinds_of_root_are_refused_by_name() {
        let root = RootConfig { kind: RootKind::Chroot, ..config(Path::new("/r")) };
        let error = create(&RootSpec { config: root, ..Default::default() }).unwrap_err().to_string();
        assert!(error.contains("\"chroot\" is not available yet"), "{error}");
    }

    #[test]
    fn a_root_without_portage_says_where_it_looked() {
        let dir = tempfile::tempdir().unwrap();
        let error = create(&RootSpec { config: config(dir.path()), ..Default::default() }).unwrap_err().to_string();
        assert!(error.contains("venv/bin/emerge is missing"), "{error}");
    }

    #[test]
    fn a_value_that_would_break_out_of_its_quotes_is_refused() {
        let mut root = config(Path::new("/r"));
        root.makeopts = "-j2\"; rm -rf /".to_owned();
        let error = make_conf(&RootSpec { config: root, ..Default::default() }).unwrap_err().to_string();
        assert!(error.contains("MAKEOPTS"), "{error}");
    }

    #[test]
    fn the_environment_names_the_root_and_inherits_nothing() {
        let vars = environment(&config(Path::new("/r")));
        assert!(vars.contains(&("PORTAGE_OVERRIDE_EPREFIX".to_owned(), "/r".to_owned())));
        assert_eq!(vars.len(), 7);
    }

    #[test]
    fn a_link_is_moved_without_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("l");
        link(Path::new("/a"), &at).unwrap();
        link(Path::new("/b"), &at).unwrap();
        assert_eq!(fs::read_link(&at).unwrap(), Path::new("/b"));
    }

    #[test]
    fn a_file_that_is_right_already_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("f.conf");
        assert!(write_if_changed(&at, "x").unwrap());
        assert!(!write_if_changed(&at, "x").unwrap());
    }
}
