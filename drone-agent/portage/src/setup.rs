//! Makes roots, and says which of them this machine can use: directories, Portage's configuration, access to the binhost, and
//! the list of what was installed at the start.
//!
//! What is installed in a root is never touched here; of a `system` not even the configuration. Called when a root is made by a
//! person or by `join`, and when an agent starts.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use swarm_common::files::{remove_if_there, remove_tree, write_if_changed};
use swarm_protocol::report::BinhostAccess;
use thiserror::Error;

use crate::binhost::{self, BinhostError};
use crate::mounts::{self, MountError, Purpose};
use crate::root::{RootConfig, RootKind};
use crate::{chroot, state};

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
    /// The machine is no Gentoo machine, or not ours to build on.
    #[error("root kind \"system\" builds on the machine itself, and {0}")]
    NotThisMachine(String),
    /// The root can't be entered.
    #[error("root {0} can't be entered")]
    Mount(PathBuf, #[source] MountError),
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

/// Refuses a root that can't be used on this machine.
pub fn check(root: &RootConfig) -> Result<(), RootError> {
    match root.kind {
        RootKind::Prefix => Ok(()),
        RootKind::Chroot => try_to_enter(root),
        RootKind::System => is_gentoo(root, Path::new("/"), nix::unistd::geteuid().is_root()),
    }
}

/// Enters it once, in a thread of its own, and leaves again.
fn try_to_enter(root: &RootConfig) -> Result<(), RootError> {
    let entered = std::thread::scope(|scope| {
        let inside = scope.spawn(|| mounts::enter(root, Purpose::Trial, &[]));
        inside.join().unwrap_or_else(|_| Err(io::Error::other("the thread that enters the root died").into()))
    });
    let _ = remove_tree(&root.path.join("trial"));
    entered.map_err(|error| RootError::Mount(root.path.clone(), error))
}

/// Whether the machine below `machine` may be built on.
fn is_gentoo(root: &RootConfig, machine: &Path, is_root: bool) -> Result<(), RootError> {
    let no = |why: &str| Err(RootError::NotThisMachine(why.to_owned()));
    if root.path != Path::new("/") {
        return no("its path is \"/\" and nothing else");
    }
    for (file, what) in [
        ("etc/gentoo-release", "this is no Gentoo machine: /etc/gentoo-release is missing"),
        ("var/db/pkg", "this is no Gentoo machine: /var/db/pkg is missing"),
        ("etc/portage/make.profile", "it has no Portage profile: choose one with `eselect profile`"),
    ] {
        if !machine.join(file).exists() {
            return no(what);
        }
    }
    if !is_root {
        return no("only root may install there");
    }
    Ok(())
}

/// Directories every prefix and chroot has, below its tree.
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
    if root.kind == RootKind::System {
        check(root)?;
    }
    require(root, "Portage", &root.venv.join("bin/emerge"), "install it there with `pip install portage`")?;
    if root.kind == RootKind::System {
        fs::create_dir_all(root.at("var/lib/build-swarm"))?;
    } else {
        populate(spec)?;
    }
    if root.kind == RootKind::Chroot {
        chroot::populate(root)?;
        check(root)?;
    }
    if let Some(access) = &spec.binhost {
        binhost::configure_binhost(root, access).map_err(|e| RootError::Binhost(root.path.clone(), e))?;
    }
    state::write_base_list(root).map_err(|e| RootError::Base(root.path.clone(), e))
}

/// Directories and configuration of a prefix or chroot.
fn populate(spec: &RootSpec) -> Result<(), RootError> {
    let root = &spec.config;
    require(root, "Portage profile", &root.repository.join("profiles").join(&root.profile), "check `profile`")?;
    for directory in DIRECTORIES {
        fs::create_dir_all(root.at(directory))?;
    }
    global_config(root)?;
    tools(root)?;
    link(&root.repository.join("profiles").join(&root.profile), &root.at("etc/portage/make.profile"))?;
    let name = repository_name(root);
    let repos = format!(
        "[DEFAULT]\nmain-repo = {name}\n\n[{name}]\nlocation = {}\nauto-sync = no\n",
        root.repository.display()
    );
    write_if_changed(&root.at("etc/portage/repos.conf/swarm.conf"), &repos)?;
    write_if_changed(&root.at("etc/portage/make.conf"), &make_conf(spec)?)?;
    Ok(())
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
    let own = root.at("share/portage/config");
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
        Some(tar) => Ok(link(&tar, &root.at("tools/gtar"))?),
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

/// Features off: what needs root, sandbox or namespaces, and what waits for people. `observability` on; an older Portage
/// does not know it and would say so in every phase.
const FEATURES: &str = "-sandbox -usersandbox -userpriv -userfetch -usersync -merge-sync -news -merge-wait \
                        -qa-unresolved-soname-deps -unknown-features-warn observability";

fn make_conf(spec: &RootSpec) -> Result<String, RootError> {
    let root = &spec.config;
    let at = |below: &str| root.inside(below).display().to_string();
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
        ("BINPKG_GPG_VERIFY_GPG_HOME", at(root.gnupg_home())),
        ("PORTAGE_TRUST_HELPER", String::new()),
    ];
    if !root.nobody_may_enter() {
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

/// Points `link` at `target`; an existing link elsewhere is replaced in one step.
fn link(target: &Path, link: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|now| now == target) {
        return Ok(());
    }
    let fresh = link.with_extension("new");
    remove_if_there(&fresh)?;
    fs_err::os::unix::fs::symlink(target, &fresh)?;
    fs::rename(&fresh, link)
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
    fn the_machine_itself_is_refused_unless_it_is_gentoo_and_asked_for_as_root() {
        let machine = tempfile::tempdir().unwrap();
        let root = RootConfig { kind: RootKind::System, ..config(Path::new("/")) };
        let refusal = |root: &RootConfig, is_root| is_gentoo(root, machine.path(), is_root).unwrap_err().to_string();
        assert!(refusal(&root, true).contains("/etc/gentoo-release is missing"));
        fs::create_dir_all(machine.path().join("etc/portage")).unwrap();
        fs::write(machine.path().join("etc/gentoo-release"), "Gentoo Base System release 2.17\n").unwrap();
        assert!(refusal(&root, true).contains("/var/db/pkg is missing"));
        fs::create_dir_all(machine.path().join("var/db/pkg")).unwrap();
        assert!(refusal(&root, true).contains("eselect profile"));
        fs::create_dir(machine.path().join("etc/portage/make.profile")).unwrap();
        assert!(refusal(&root, false).contains("only root"));
        assert!(is_gentoo(&root, machine.path(), true).is_ok());
        let elsewhere = RootConfig { path: "/mnt".into(), ..root };
        assert!(refusal(&elsewhere, true).contains("its path is"));
    }

    #[test]
    fn nothing_of_a_machine_that_is_not_gentoo_is_touched() {
        if Path::new("/etc/gentoo-release").exists() {
            return;
        }
        let root = RootConfig { kind: RootKind::System, ..config(Path::new("/")) };
        assert!(matches!(check(&root), Err(RootError::NotThisMachine(_))));
        let made = create(&RootSpec { config: root, ..Default::default() });
        assert!(matches!(made, Err(RootError::NotThisMachine(_))));
        assert!(!Path::new("/var/lib/build-swarm/base.json").exists());
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
    fn a_link_is_moved_without_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("l");
        link(Path::new("/a"), &at).unwrap();
        link(Path::new("/b"), &at).unwrap();
        assert_eq!(fs::read_link(&at).unwrap(), Path::new("/b"));
    }
}
