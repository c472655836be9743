//! What a chroot root has besides a prefix's directories: the machine's names and libraries, as far as programs need them,
//! and the places its mounts go to. Called when a root is made.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use swarm_common::files::remove_if_there;

use crate::mounts::PROGRAMS;
use crate::root::RootConfig;

/// Mount points and folders with a mode of their own.
const FOLDERS: [(&str, u32); 9] = [
    ("proc", 0o555),
    ("sys", 0o555),
    ("dev", 0o755),
    ("run/lock", 0o755),
    ("root", 0o700),
    ("mnt", 0o755),
    ("tmp", 0o1777),
    ("var/tmp", 0o1777),
    ("var/empty", 0o755),
];
/// Of the machine's /etc: who there is, how names are looked up, where libraries are, whose certificates are trusted.
const NAMES: [&str; 9] =
    ["passwd", "group", "nsswitch.conf", "hosts", "services", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl"];

/// Makes them, or brings them up to date.
pub(crate) fn populate(root: &RootConfig) -> io::Result<()> {
    let tree = root.tree();
    // Portage verifies as nobody, who must be able to pass
    fs::set_permissions(&tree, std::fs::Permissions::from_mode(0o755))?;
    for (folder, mode) in FOLDERS {
        fs::create_dir_all(tree.join(folder))?;
        fs::set_permissions(tree.join(folder), std::fs::Permissions::from_mode(mode))?;
    }
    for name in PROGRAMS {
        let machine = Path::new("/").join(name);
        let Ok(target) = fs::read_link(&machine) else { continue };
        if fs::read_link(tree.join(name)).is_ok_and(|now| now == target) {
            continue;
        }
        // an empty folder of a machine that was merged since
        let _ = fs::remove_dir(tree.join(name));
        symlink(target, tree.join(name))?;
    }
    for name in NAMES {
        copy(&Path::new("/etc").join(name), &tree.join("etc").join(name))?;
    }
    Ok(())
}

/// Copies files, links and folders; what is not there, or not ours to read, is left out.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(from) else { return Ok(()) };
    if found.is_dir() {
        fs::create_dir_all(to)?;
        let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    remove_if_there(to)?;
    if found.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    match fs::copy(from, to) {
        // private keys
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        done => done.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::RootKind;

    #[test]
    fn a_chroot_has_the_machines_names_and_links_and_making_it_again_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootConfig { kind: RootKind::Chroot, path: dir.path().to_owned(), ..Default::default() };
        fs::create_dir_all(root.at("etc")).unwrap();
        for _ in 0..2 {
            populate(&root).unwrap();
            assert_eq!(fs::read(root.at("etc/passwd")).unwrap(), fs::read("/etc/passwd").unwrap());
            assert_eq!(fs::metadata(root.at("tmp")).unwrap().permissions().mode() & 0o7777, 0o1777);
            for name in ["bin", "lib64"] {
                let machine = fs::read_link(Path::new("/").join(name)).ok();
                assert_eq!(fs::read_link(root.at(name)).ok(), machine, "{name}");
            }
        }
    }
}
