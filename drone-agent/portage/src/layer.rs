//! A configuration layer: a private copy of a root's `etc/portage` for one build or plan, made of links, with the
//! job's own `package.use` lines and binhost added. The root's configuration is never touched.
//!
//! `PORTAGE_CONFIGROOT` points Portage at it. With ROOT `/` and the prefix in `PORTAGE_OVERRIDE_EPREFIX` that moves the
//! user configuration and nothing else: Portage loads no second configuration as long as ROOT and prefix are the
//! running ones (`portage.create_trees`). Called by `emerge` and `plan`.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::symlink;

use crate::root::RootConfig;

/// Makes the layer below `dir` (which must not hold one yet) and returns the value of `PORTAGE_CONFIGROOT`.
/// `binrepos` is the text of its only `binrepos.conf`; without it there is no binhost at all.
pub fn make(root: &RootConfig, dir: &Path, package_use: &[String], binrepos: Option<&str>) -> io::Result<PathBuf> {
    let from = root.at("etc/portage");
    let seen = root.inside("etc/portage");
    let to = dir.join("etc/portage");
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(&from)? {
        let entry = entry?;
        let name = entry.file_name();
        // These three are made below; key rings are found by their own path.
        if name == "package.use" || name == "binrepos.conf" || name.to_string_lossy().starts_with("gnupg") {
            continue;
        }
        symlink(seen.join(&name), to.join(name))?;
    }
    let lines = to.join("package.use");
    fs::create_dir_all(&lines)?;
    if from.join("package.use").exists() {
        symlink(seen.join("package.use"), lines.join("00-root"))?;
    }
    // Portage reads the files of the directory in the order of their names; later lines win.
    let mut text = String::new();
    for line in package_use {
        text.push_str(line);
        text.push('\n');
    }
    fs::write(lines.join("zz-job"), text)?;
    if let Some(binrepos) = binrepos {
        fs::create_dir_all(to.join("binrepos.conf"))?;
        fs::write(to.join("binrepos.conf/swarm.conf"), binrepos)?;
    }
    Ok(dir.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_linked_and_the_jobs_lines_come_last() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootConfig { path: dir.path().join("root"), ..Default::default() };
        fs::create_dir_all(root.path.join("etc/portage/package.use")).unwrap();
        fs::create_dir_all(root.path.join("etc/portage/binrepos.conf")).unwrap();
        fs::write(root.path.join("etc/portage/make.conf"), "A=\"1\"\n").unwrap();
        let layer = make(&root, &dir.path().join("layer"), &["a/b c".to_owned()], None).unwrap();
        let at = layer.join("etc/portage");
        assert_eq!(fs::read_to_string(at.join("make.conf")).unwrap(), "A=\"1\"\n");
        assert_eq!(fs::read_to_string(at.join("package.use/zz-job")).unwrap(), "a/b c\n");
        assert!(at.join("package.use/00-root").is_dir());
        assert!(!at.join("binrepos.conf").exists());
        assert_eq!(fs::read_dir(root.path.join("etc/portage/package.use")).unwrap().count(), 0);
    }
}
