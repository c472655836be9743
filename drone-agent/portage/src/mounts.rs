//! What a chroot root needs mounted, in a mount namespace of its own: nothing of it is seen by the rest of the machine, and
//! all of it vanishes with the last process inside.
//!
//! The machine's own programs (`/usr`, and what is not yet merged into it) are the lower, read-only layer of an overlay;
//! what a build installs lands in the root's own folder. The sources of everything else (Portage, the repository, the
//! build's folder) are bound to the same paths inside, so that a path means the same on both sides.
//!
//! Called for every build, whose whole process enters, and by `script`, where a thread does: a namespace belongs to a
//! thread, and what it starts inherits it. For the other kinds of root all of this does nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use fs_err as fs;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use thiserror::Error;

use crate::root::{RootConfig, RootKind};

/// Folders of the machine that hold its programs. Where they are links into `/usr`, the root has the same links.
pub(crate) const PROGRAMS: [&str; 8] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt"];
/// Of these the machine's own are seen inside as they are.
const KERNELS: [&str; 3] = ["proc", "sys", "dev"];

/// What the root is entered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A build: what is installed stays in the root. One at a time per root.
    Build,
    /// A question to Portage: the machine's programs, read-only; beside a build, if need be.
    Question,
    /// To see whether a build could: its overlay is thrown away, so it may go on beside one.
    Trial,
}

/// Why a root could not be entered.
#[derive(Debug, Error)]
pub enum MountError {
    /// No namespace.
    #[error("make a mount namespace for root {root}{}", hint(*source))]
    Namespace {
        /// The root.
        root: PathBuf,
        /// What the kernel said.
        source: Errno,
    },
    /// A mount failed.
    #[error("mount {what} at {at}{}", hint(*source))]
    Mount {
        /// What should be seen there.
        what: String,
        /// The mount point, as seen from outside.
        at: PathBuf,
        /// What the kernel said.
        source: Errno,
    },
    /// A path that would mean something else in the options of a mount.
    #[error("root {0} can't be mounted: its path holds a comma, a colon or a backslash")]
    Path(PathBuf),
    /// A folder could not be made.
    #[error("prepare the mounts")]
    Io(#[from] io::Error),
}

fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            "; it needs the right to mount (CAP_SYS_ADMIN), as root or in a container that has it"
        }
        Errno::EINVAL | Errno::ENODEV => "; the file system of the root, or the kernel, can't hold an overlay",
        _ => "",
    }
}

/// Moves the calling thread, and with it what it starts from here on, into a mount namespace of its own and mounts what the
/// root needs. `visible` are folders that are seen inside under their own paths, writable.
pub fn enter(root: &RootConfig, purpose: Purpose, visible: &[&Path]) -> Result<(), MountError> {
    if root.kind != RootKind::Chroot {
        return Ok(());
    }
    if root.path.to_string_lossy().contains([',', ':', '\\']) {
        return Err(MountError::Path(root.path.clone()));
    }
    let tree = root.tree();
    unshare(CloneFlags::CLONE_NEWNS).map_err(|source| MountError::Namespace { root: root.path.clone(), source })?;
    // What the machine unmounts goes here, too; what is mounted here stays here.
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_SLAVE, nothing)
        .map_err(|source| MountError::Namespace { root: root.path.clone(), source })?;
    for name in programs() {
        match purpose {
            Purpose::Build => overlay(root, &name, "layers")?,
            Purpose::Trial => overlay(root, &name, "trial")?,
            Purpose::Question => bind(&Path::new("/").join(&name), &tree.join(&name), true)?,
        }
    }
    for name in KERNELS {
        let from = Path::new("/").join(name);
        fs::create_dir_all(tree.join(name))?;
        mounted(&from, &tree.join(name), MsFlags::MS_BIND | MsFlags::MS_REC)?;
    }
    // names are resolved as on the machine, whatever its network was when the root was made
    if let Ok(text) = fs::read("/etc/resolv.conf") {
        let _ = fs::write(tree.join("etc/resolv.conf"), text);
    }
    let given = [&root.venv, &root.repository].into_iter().chain(&root.distfiles);
    for from in given.filter(|from| !is_program(from) && from.exists()) {
        bind(from, &tree.join(relative(from)), true)?;
    }
    for from in visible {
        bind(from, &tree.join(relative(from)), false)?;
    }
    Ok(())
}

/// A command that runs inside the root: the pid of what is spawned is the program's own, nothing stands between.
pub fn command(root: &RootConfig, program: &Path) -> Command {
    if root.kind != RootKind::Chroot {
        return Command::new(program);
    }
    let known = ["/usr/sbin/chroot", "/usr/bin/chroot", "/bin/chroot", "/sbin/chroot"];
    let chroot = known.into_iter().find(|path| Path::new(path).exists()).unwrap_or("chroot");
    let mut command = Command::new(chroot);
    command.arg(root.tree()).arg(program);
    command
}

/// Enters the root in a thread of its own and spawns there; the caller stays where it is.
pub fn spawn_inside(
    root: &RootConfig,
    visible: &[&Path],
    spawn: impl FnOnce() -> io::Result<Child> + Send,
) -> io::Result<Child> {
    if root.kind != RootKind::Chroot {
        return spawn();
    }
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            enter(root, Purpose::Question, visible).map_err(io::Error::other)?;
            spawn()
        });
        inside.join().unwrap_or_else(|_| Err(io::Error::other("the thread that enters the root died")))
    })
}

/// Removes the empty mount points `visible` folders had; those that are not empty, or still in use, stay.
pub fn forget(root: &RootConfig, visible: &[&Path]) {
    if root.kind != RootKind::Chroot {
        return;
    }
    let tree = root.tree();
    for from in visible {
        let at = tree.join(relative(from));
        for folder in at.ancestors().take_while(|folder| **folder != tree) {
            // not by fs_err: that it is not empty is the usual case
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

/// Folders of programs that are folders on this machine.
fn programs() -> Vec<String> {
    let is_folder = |name: &&&str| fs::symlink_metadata(Path::new("/").join(name)).is_ok_and(|found| found.is_dir());
    PROGRAMS.iter().filter(is_folder).map(|name| (*name).to_owned()).collect()
}

/// Whether a path is seen inside anyway.
fn is_program(path: &Path) -> bool {
    programs().iter().any(|name| path.starts_with(Path::new("/").join(name)))
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn overlay(root: &RootConfig, name: &str, layers: &str) -> Result<(), MountError> {
    let layer = root.path.join(layers).join(name);
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    let at = root.tree().join(name);
    for folder in [&upper, &work, &at] {
        fs::create_dir_all(folder)?;
    }
    let options = format!("lowerdir=/{name},upperdir={},workdir={}", upper.display(), work.display());
    mount(Some("overlay"), &at, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .map_err(|source| MountError::Mount { what: format!("an overlay over /{name}"), at, source })
}

fn bind(from: &Path, at: &Path, read_only: bool) -> Result<(), MountError> {
    // a link would lead out of the tree once more
    let from = fs::canonicalize(from)?;
    if from.is_file() {
        if let Some(folder) = at.parent() {
            fs::create_dir_all(folder)?;
        }
        if !at.exists() {
            fs::write(at, b"")?;
        }
    } else {
        fs::create_dir_all(at)?;
    }
    mounted(&from, at, MsFlags::MS_BIND)?;
    if read_only {
        mounted(&from, at, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY)?;
    }
    Ok(())
}

fn mounted(from: &Path, at: &Path, flags: MsFlags) -> Result<(), MountError> {
    mount(Some(from), at, None::<&str>, flags, None::<&str>).map_err(|source| MountError::Mount {
        what: from.display().to_string(),
        at: at.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_not_entered_and_runs_its_program_itself() {
        let root = RootConfig { path: "/nonexistent".into(), ..Default::default() };
        assert!(enter(&root, Purpose::Build, &[Path::new("/nonexistent")]).is_ok());
        assert_eq!(command(&root, Path::new("/bin/true")).get_program(), "/bin/true");
    }

    #[test]
    fn a_chroot_runs_its_program_through_chroot_and_nothing_else() {
        let root = RootConfig { kind: RootKind::Chroot, path: "/r".into(), ..Default::default() };
        let command = command(&root, Path::new("/v/bin/emerge"));
        assert!(command.get_program().to_string_lossy().ends_with("chroot"));
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["/r/root", "/v/bin/emerge"]);
    }

    #[test]
    fn a_path_that_would_be_read_as_an_option_is_refused() {
        for path in ["/a,b", "/a:b", "/a\\b"] {
            let root = RootConfig { kind: RootKind::Chroot, path: path.into(), ..Default::default() };
            assert!(matches!(enter(&root, Purpose::Build, &[]), Err(MountError::Path(_))), "{path}");
        }
    }

    #[test]
    fn who_may_not_mount_is_told_what_it_takes() {
        let error = MountError::Namespace { root: "/r".into(), source: Errno::EPERM };
        assert!(error.to_string().contains("CAP_SYS_ADMIN"), "{error}");
    }
}
