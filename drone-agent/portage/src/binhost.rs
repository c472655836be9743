//! A root's access to the swarm's binhost: `binrepos.conf` and a key ring that trusts the signing key, and nobody else.
//!
//! Signatures are always verified, also by a Portage that can't do so per binhost (`own_key`). Portage wants more than a good signature: the key needs ownertrust, and when emerge
//! runs as root the key ring must belong to `nobody`, as whom gpg is run. Called when a root is made, at each welcome, and before each build.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use swarm_common::files::{remove_if_there, remove_tree, write_if_changed};
use swarm_protocol::report::BinhostAccess;
use thiserror::Error;

use crate::gpg::{GpgError, gpg, primary_fingerprints, quiet};
use crate::own_key;
use crate::root::{RootConfig, RootKind};

/// Why the binhost could not be configured.
#[derive(Debug, Error)]
pub enum BinhostError {
    /// The address is no address.
    #[error("{0:?} is not an address of a binhost; it begins with http:// or file:///")]
    BadUrl(String),
    /// A path Portage's configuration can't hold.
    #[error("the path {0:?} can't be written to binrepos.conf")]
    BadPath(String),
    /// No key came with the address.
    #[error("binhost {0} came without its public key, and unsigned packages are not taken")]
    NoKey(String),
    /// The key is another one.
    #[error("the key sent for {url} is not the key {wanted}; it holds {found:?}")]
    OtherKey {
        /// The binhost.
        url: String,
        /// The fingerprint announced.
        wanted: String,
        /// The fingerprints in the key.
        found: Vec<String>,
    },
    /// gpg said no.
    #[error("gpg {action} failed: {text}")]
    Gpg {
        /// What it should do.
        action: &'static str,
        /// What it said.
        text: String,
    },
    /// A file could not be written.
    #[error("write the binhost's configuration")]
    Io(#[from] io::Error),
}

impl From<GpgError> for BinhostError {
    fn from(error: GpgError) -> Self {
        match error {
            GpgError::Failed { action, text } => Self::Gpg { action, text },
            GpgError::Io(source) => Self::Io(source),
        }
    }
}

/// File with user and secret of the restricted part, beside a `binrepos.conf` or below a build's directory.
const WGETRC: &str = "binhost.wgetrc";

/// Text of a `binrepos.conf` for `access`; fetched packages lie in `location`. With a secret, packages and index are fetched
/// by a command that reads it from the file `wgetrc`: in the address it would show in process lists and logs.
pub fn binrepos(access: &BinhostAccess, location: &Path, wgetrc: &Path) -> Result<String, BinhostError> {
    let url = access.index_url();
    let known = ["http://", "https://", "file:///"].iter().any(|scheme| url.starts_with(scheme));
    // `%` would be taken for an interpolation, white space would end the value.
    let odd = |text: &str| text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '%');
    if !known || odd(url) {
        return Err(BinhostError::BadUrl(url.to_owned()));
    }
    let mut text = format!(
        "[swarm]\npriority = 10\nsync-uri = {url}\nlocation = {}\nverify-signature = true\n",
        location.display()
    );
    if !access.secret.is_empty() {
        let wgetrc = wgetrc.display().to_string();
        if odd(&wgetrc) || wgetrc.contains(['"', '\'', '$', '`', '\\']) {
            return Err(BinhostError::BadPath(wgetrc));
        }
        let wget = format!("wget --config={wgetrc} -nv -t 3 -T 60");
        let target = "-O \"${DISTDIR}/${FILE}\" \"${URI}\"";
        text.push_str(&format!("fetchcommand = {wget} {target}\nresumecommand = {wget} -c {target}\n"));
    }
    Ok(text)
}

/// Writes user and secret where [`binrepos`] looks for them, below `folder`; answers the file. For nobody's eyes but ours.
pub fn write_wgetrc(access: &BinhostAccess, folder: &Path) -> io::Result<PathBuf> {
    use fs_err::os::unix::fs::OpenOptionsExt;
    let path = folder.join(WGETRC);
    if access.secret.is_empty() {
        return Ok(path);
    }
    let (user, secret) = (BinhostAccess::USER, access.secret.0.lines().next().unwrap_or_default());
    let text = format!("auth_no_challenge = on\nhttp_user = {user}\nhttp_password = {secret}\n");
    let fresh = path.with_extension("new");
    remove_if_there(&fresh)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(&fresh, &path)?;
    Ok(path)
}

/// Lets the root install from the binhost; does nothing if it may already. An empty address takes the access away. Of a
/// `system` only a key ring of our own is made: its builds bring the rest with them.
pub fn configure_binhost(root: &RootConfig, access: &BinhostAccess) -> Result<(), BinhostError> {
    let file = root.at("etc/portage/binrepos.conf/swarm.conf");
    let own = root.kind != RootKind::System;
    if access.url.is_empty() {
        if own {
            remove_if_there(&root.at("etc/portage").join(WGETRC))?;
            remove_if_there(&file)?;
        }
        return Ok(());
    }
    let wgetrc = root.inside("etc/portage").join(WGETRC);
    let text = binrepos(access, &root.inside("var/cache/binhost/swarm"), &wgetrc)?;
    if access.public_key.trim().is_empty() {
        return Err(BinhostError::NoKey(access.url.clone()));
    }
    renew_key_ring(root, access)?;
    if own {
        write_wgetrc(access, &root.at("etc/portage"))?;
        fs::create_dir_all(root.at("etc/portage/binrepos.conf"))?;
        write_if_changed(&file, &text)?;
    }
    Ok(())
}

/// Makes the key ring for this key, and for the root's own where its Portage needs one, unless it is there already.
fn renew_key_ring(root: &RootConfig, access: &BinhostAccess) -> Result<(), BinhostError> {
    let home = root.at(root.gnupg_home());
    let own = if own_key::verifies_by_binhost(root, &home.join("swarm-portage"))? {
        own_key::forget(root)?;
        None
    } else {
        Some(own_key::make(root)?)
    };
    let mark = [Some(access.fingerprint.as_str()), Some(&access.public_key), own.as_deref()];
    let mark = mark.into_iter().flatten().collect::<Vec<_>>().join("\n");
    if fs::read_to_string(home.join("swarm-key")).is_ok_and(|now| now == mark) {
        return Ok(());
    }
    let fresh = home.with_extension("new");
    let made = key_ring(&fresh, access, own.as_deref()).and_then(|()| Ok(fs::write(fresh.join("swarm-key"), &mark)?));
    made.and_then(|()| hand_over(root, &fresh)).inspect_err(|_| drop(fs::remove_dir_all(&fresh)))?;
    let old = home.with_extension("old");
    remove_tree(&old)?;
    if home.exists() {
        fs::rename(&home, &old)?;
    }
    fs::rename(&fresh, &home)?;
    remove_tree(&old)?;
    Ok(())
}

/// Fingerprint of the one key in an ASCII-armoured text, for a person who has the key and nothing else.
///
/// # Errors
/// When it holds no key, or several.
pub fn fingerprint_of(key: &str) -> Result<String, BinhostError> {
    let home = tempfile::tempdir()?;
    let listing = gpg(home.path(), "read the key", &["--show-keys", "--with-colons"], key.as_bytes())?;
    let mut prints = primary_fingerprints(&listing);
    match (prints.pop(), prints.len()) {
        (Some(only), 0) => Ok(only),
        (_, others) => Err(BinhostError::Gpg {
            action: "read the key",
            text: format!("it holds {} keys, not one; name the right one's fingerprint", others + 1),
        }),
    }
}

/// Makes a GnuPG home that trusts the keys in `access`, and another one if there is one.
fn key_ring(home: &Path, access: &BinhostAccess, own: Option<&str>) -> Result<(), BinhostError> {
    remove_tree(home)?;
    fs::create_dir_all(home)?;
    fs::set_permissions(home, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let result = fill_key_ring(home, access, own);
    quiet(home);
    result
}

fn fill_key_ring(home: &Path, access: &BinhostAccess, own: Option<&str>) -> Result<(), BinhostError> {
    gpg(home, "import", &["--import"], access.public_key.as_bytes())?;
    let listing = gpg(home, "list", &["--list-keys", "--with-colons"], b"")?;
    let prints = primary_fingerprints(&listing);
    if !prints.iter().any(|print| print.eq_ignore_ascii_case(&access.fingerprint)) {
        return Err(BinhostError::OtherKey {
            url: access.url.clone(),
            wanted: access.fingerprint.clone(),
            found: prints,
        });
    }
    let prints = match own {
        Some(own) => {
            gpg(home, "import", &["--import"], own.as_bytes())?;
            primary_fingerprints(&gpg(home, "list", &["--list-keys", "--with-colons"], b"")?)
        }
        None => prints,
    };
    let trust = prints.iter().map(|print| format!("{print}:6:\n")).collect::<String>();
    gpg(home, "ownertrust", &["--import-ownertrust"], trust.as_bytes())?;
    gpg(home, "check-trustdb", &["--check-trustdb"], b"")?;
    Ok(())
}

/// Portage run by root verifies as `nobody`, to whom the ring must belong.
fn hand_over(root: &RootConfig, home: &Path) -> Result<(), BinhostError> {
    if !nix::unistd::getuid().is_root() || !root.nobody_may_enter() {
        return Ok(());
    }
    let Some(nobody) = nix::unistd::User::from_name("nobody").map_err(io::Error::from)? else {
        return Ok(());
    };
    let mut pending = vec![home.to_owned()];
    while let Some(path) = pending.pop() {
        nix::unistd::chown(&path, Some(nobody.uid), Some(nobody.gid)).map_err(io::Error::from)?;
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                pending.push(entry?.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use swarm_protocol::Secret;

    use super::*;

    #[test]
    fn an_address_with_a_line_break_never_reaches_the_file() {
        for url in ["http://x/\nverify-signature = false", "ftp://x", "http://x/%(home)s", ""] {
            let access = BinhostAccess { url: url.to_owned(), ..Default::default() };
            assert!(binrepos(&access, Path::new("/l"), Path::new("/w")).is_err(), "{url:?}");
        }
    }

    #[test]
    fn the_secret_stands_in_a_file_of_its_own_and_the_address_is_the_complete_one() {
        let dir = tempfile::tempdir().unwrap();
        let access = BinhostAccess {
            url: "http://h/binhost/x".to_owned(),
            private_url: "http://h/binhost-private/x".to_owned(),
            secret: Secret("hunter2".to_owned()),
            ..Default::default()
        };
        let wgetrc = write_wgetrc(&access, dir.path()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&wgetrc).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert!(fs::read_to_string(&wgetrc).unwrap().contains("http_password = hunter2\n"));
        let text = binrepos(&access, Path::new("/l"), &wgetrc).unwrap();
        assert!(!text.contains("hunter2") && text.contains("sync-uri = http://h/binhost-private/x\n"), "{text}");
        assert!(text.contains("resumecommand = wget --config=") && text.contains(" -c -O "), "{text}");
        for path in ["/a b/w", "/a\"/w", "/a%(x)s/w", "/$(x)/w"] {
            assert!(
                matches!(binrepos(&access, Path::new("/l"), Path::new(path)), Err(BinhostError::BadPath(_))),
                "{path}"
            );
        }
        let public = BinhostAccess { private_url: String::new(), secret: Secret::default(), ..access };
        let text = binrepos(&public, Path::new("/l"), &wgetrc).unwrap();
        assert!(text.contains("sync-uri = http://h/binhost/x\n") && !text.contains("fetchcommand"), "{text}");
    }

    #[test]
    fn a_binhost_without_a_key_is_refused() {
        let access = BinhostAccess { url: "http://127.0.0.1/x".to_owned(), ..Default::default() };
        let error = configure_binhost(&RootConfig::default(), &access).unwrap_err();
        assert!(matches!(error, BinhostError::NoKey(_)), "{error}");
    }
}
