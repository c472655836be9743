//! Verified binaries with a Portage that can't verify per binhost. `verify-signature` in binrepos.conf came after 3.0.70; an
//! older one reads over it and installs anything. It can only be told to verify every binary package, and then wants a
//! signature on those it makes itself: for them the root gets a key of its own, which this root alone trusts. What it signs
//! means nothing to anybody else: the controller replaces it.
//!
//! Called by `binhost`, which makes the key ring, and by `emerge`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use fs_err as fs;
use swarm_common::files::remove_tree;

use crate::gpg::{GpgError, gpg, primary_fingerprints, quiet};
use crate::root::RootConfig;

/// Below the tree; the user's configuration layer leaves it out by its name.
const HOME: &str = "etc/portage/gnupg-own";
/// In it, its fingerprint.
const MARK: &str = "own-key";
/// Asks the root's Portage itself: distributions patch, versions lie. It says in which file it looked.
const QUESTION: &str = "import sys, portage.binrepo.config as m; print(m.__file__); sys.exit('verify_signature' not in m.BinRepoConfig.__slots__)";

/// Whether the root's Portage verifies what comes from one binhost, and only that. The answer is kept in `memo` for as long as
/// that Portage is the same: to ask costs a quarter of a second, before each build.
pub(crate) fn verifies_by_binhost(root: &RootConfig, memo: &Path) -> io::Result<bool> {
    if let Some(answer) = fs::read_to_string(memo).ok().and_then(|text| remembered(root, &text)) {
        return Ok(answer);
    }
    let asked = Command::new(root.python())
        .args(["-c", QUESTION])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()?;
    let answer = match asked.status.code() {
        Some(0) => true,
        Some(1) if asked.stderr.is_empty() => false,
        _ => {
            return Err(io::Error::other(format!(
                "{} has no Portage: {}",
                root.python().display(),
                String::from_utf8_lossy(&asked.stderr).lines().last().unwrap_or_default()
            )));
        }
    };
    if let Some(about) = String::from_utf8(asked.stdout).ok().and_then(|text| condition(root, text.trim())) {
        // where it can't be kept it is asked again; so it is for as long as there is no key ring
        let _ = fs::write(memo, format!("{answer}\n{about}"));
    }
    Ok(answer)
}

/// What was answered, if the answer is about the Portage that is there now.
fn remembered(root: &RootConfig, memo: &str) -> Option<bool> {
    let (answer, about) = memo.split_once('\n')?;
    let file = about.lines().next()?;
    (condition(root, file)? == about).then(|| answer.parse().ok())?
}

/// What changes with another Portage, or another interpreter that looks for it elsewhere.
fn condition(root: &RootConfig, file: &str) -> Option<String> {
    let python = root.python().canonicalize().ok()?;
    let found = fs::metadata(file).ok()?;
    let changed = found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{file}\n{}\n{} bytes, {} ns", python.display(), found.len(), changed.as_nanos()))
}

fn home(root: &RootConfig) -> PathBuf {
    root.at(HOME)
}

/// The key's public half, ASCII-armoured; the key is made if there is none.
pub(crate) fn make(root: &RootConfig) -> Result<String, GpgError> {
    let home = home(root);
    if !home.join(MARK).exists() {
        remove_tree(&home)?;
        fs::create_dir_all(&home)?;
        fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let user = "Build Swarm drone <drone@localhost.invalid>";
        let made =
            ["--pinentry-mode", "loopback", "--passphrase", "", "--quick-gen-key", user, "ed25519", "sign", "never"];
        gpg(&home, "make the drone's own key", &made, b"")?;
        let listing = gpg(&home, "list", &["--list-keys", "--with-colons"], b"")?;
        let print = primary_fingerprints(&listing).pop().unwrap_or_default();
        fs::write(home.join(MARK), print)?;
    }
    let public = gpg(&home, "export", &["--armor", "--export"], b"");
    quiet(&home);
    public
}

/// Portage verifies by binhost (again): the key has no use.
pub(crate) fn forget(root: &RootConfig) -> io::Result<()> {
    remove_tree(&home(root))
}

/// Variables of an emerge that must verify everything; none where Portage does so by binhost.
pub(crate) fn environment(root: &RootConfig) -> io::Result<Vec<(String, String)>> {
    let print = match fs::read_to_string(home(root).join(MARK)) {
        Ok(print) => print,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let variables = [
        ("FEATURES", "binpkg-request-signature binpkg-signing".to_owned()),
        ("BINPKG_GPG_SIGNING_GPG_HOME", root.inside(HOME).display().to_string()),
        ("BINPKG_GPG_SIGNING_KEY", format!("0x{print}")),
        // the stock one waits for a lock in /run, which is not ours to write; a root has one emerge at a time
        ("BINPKG_GPG_SIGNING_BASE_COMMAND", "/usr/bin/gpg --sign --armor [PORTAGE_CONFIG]".to_owned()),
    ];
    Ok(variables.map(|(key, value)| (key.to_owned(), value)).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_key_of_its_own_nothing_is_asked_of_portage() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootConfig { path: dir.path().to_owned(), ..Default::default() };
        assert_eq!(environment(&root).unwrap(), []);
    }

    #[test]
    fn an_interpreter_without_portage_is_no_old_portage() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootConfig { venv: dir.path().to_owned(), ..Default::default() };
        let memo = dir.path().join("memo");
        assert!(verifies_by_binhost(&root, &memo).is_err(), "there is none");
        fs::create_dir(dir.path().join("bin")).unwrap();
        fs_err::os::unix::fs::symlink("/usr/bin/python3", root.python()).unwrap();
        assert!(verifies_by_binhost(&root, &memo).unwrap_err().to_string().contains("has no Portage"));
        assert!(!memo.exists());
    }

    #[test]
    fn portage_is_asked_once_and_again_when_it_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootConfig { venv: dir.path().to_owned(), ..Default::default() };
        let (module, asked, memo) = (dir.path().join("config.py"), dir.path().join("asked"), dir.path().join("memo"));
        fs::write(&module, "old").unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        // answers that a Portage verifies by binhost if its module is the new one
        let script = format!(
            "#!/bin/sh\necho asked >> {asked:?}\necho {module:?}\nread line < {module:?}\n[ \"$line\" != old ]\n"
        );
        fs::write(root.python(), script).unwrap();
        fs::set_permissions(root.python(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let times = || fs::read_to_string(&asked).unwrap_or_default().lines().count();
        for _ in 0..3 {
            assert!(!verifies_by_binhost(&root, &memo).unwrap());
        }
        assert_eq!(times(), 1);
        fs::write(&module, "a newer one\n").unwrap();
        for _ in 0..3 {
            assert!(verifies_by_binhost(&root, &memo).unwrap());
        }
        assert_eq!(times(), 2);
        fs::write(&memo, "true\nnonsense").unwrap();
        assert!(verifies_by_binhost(&root, &memo).unwrap());
        assert_eq!(times(), 3, "what can't be read is asked");
        // a folder that is not there yet
        let nowhere = dir.path().join("no/memo");
        assert!(verifies_by_binhost(&root, &nowhere).unwrap() && verifies_by_binhost(&root, &nowhere).unwrap());
        assert_eq!(times(), 5);
    }

    #[test]
    fn a_key_is_made_once_named_to_portage_and_forgotten() {
        let dir = tempfile::Builder::new().prefix("own").tempdir().unwrap();
        let root = RootConfig { path: dir.path().to_owned(), ..Default::default() };
        let public = make(&root).unwrap();
        assert!(public.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"));
        assert_eq!(make(&root).unwrap(), public);
        let variables = environment(&root).unwrap();
        let print = fs::read_to_string(root.at(HOME).join(MARK)).unwrap();
        assert!(print.len() == 40 && variables.contains(&("BINPKG_GPG_SIGNING_KEY".to_owned(), format!("0x{print}"))));
        forget(&root).unwrap();
        assert_eq!(environment(&root).unwrap(), []);
    }
}
