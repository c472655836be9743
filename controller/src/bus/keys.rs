//! Bus identities: makes, keeps and reads the nkeys by which the bus knows its users. An identity is the public key
//! (`U…`); the seed stands in a file of mode 0600 and nowhere else.
//!
//! Never decides what an identity may do (`permissions`) and never talks to the bus. Called by `swarm serve` for the
//! controller's own key, and by enrolment for drones and tappers.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nkeys::{KeyPair, KeyPairType};
use swarm_common::files::write_new;
use swarm_core::{NAME_RULE, is_drone_name};
use thiserror::Error;

/// What can go wrong with the keys of the bus.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file system said no; the source names the path.
    #[error("can't keep a bus key in {}", path.display())]
    File {
        /// The seed file or its folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{} is not the seed of a bus user", path.display())]
    NotASeed {
        /// The seed file.
        path: PathBuf,
    },
    /// Others can read the seed.
    #[error("{} can be read by others (mode {mode:03o}); make it private: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The seed file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A name that would not stay a file of its own in the folder of the keys.
    #[error("{name:?} can't name a bus user: {NAME_RULE}")]
    BadName {
        /// The name asked for.
        name: String,
    },
    /// The random source failed.
    #[error("can't make a bus key")]
    Generate {
        /// What the library said.
        source: nkeys::error::Error,
    },
}

/// A user of the bus whose seed lies on this machine: a drone enrolled by file, a tapper, the controller itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCredentials {
    /// The identity: nkey public key, `U` and 55 characters.
    pub id: String,
    /// Where the seed is, mode 0600.
    pub seed_file: PathBuf,
}

/// A drone enrolled by file.
pub type DroneCredentials = UserCredentials;

/// A seed in memory. Printing it prints nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(String);

impl Seed {
    /// The text a NATS client takes. Goes to the client and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// The controller's own key: `<dir>/controller.nk`, made on first use.
///
/// # Errors
/// See [`KeyError`]; a key that others can read is refused.
pub fn controller(dir: &Path) -> Result<UserCredentials, KeyError> {
    load_or_make(&dir.join("controller.nk"))
}

/// The key of a drone on this machine: `<dir>/<name>.nk`, made on first use; the same name gives the same identity.
///
/// # Errors
/// See [`KeyError`]; a key that others can read is refused.
pub fn enrol_local(dir: &Path, name: &str) -> Result<DroneCredentials, KeyError> {
    load_or_make(&dir.join(file_name(name)?))
}

/// The key of a tapper: `<dir>/tapper-<name>.nk`, made on first use. What it may do is read events.
///
/// # Errors
/// See [`KeyError`]; a key that others can read is refused.
pub fn enrol_tapper(dir: &Path, name: &str) -> Result<UserCredentials, KeyError> {
    load_or_make(&dir.join(format!("tapper-{}", file_name(name)?)))
}

/// Reads the seed in `path` and says whose it is.
///
/// # Errors
/// See [`KeyError`]; a key that others can read is refused.
pub fn read_seed(path: &Path) -> Result<(String, Seed), KeyError> {
    let file_error = |source| KeyError::File { path: path.to_owned(), source };
    let mode = fs_err::metadata(path).map_err(file_error)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    let text = fs_err::read_to_string(path).map_err(file_error)?;
    let seed = text.trim();
    let pair = KeyPair::from_seed(seed).map_err(|_| KeyError::NotASeed { path: path.to_owned() })?;
    if pair.key_pair_type() != KeyPairType::User {
        return Err(KeyError::NotASeed { path: path.to_owned() });
    }
    Ok((pair.public_key(), Seed(seed.to_owned())))
}

/// A key pair for an invitation: its seed, and the public half.
///
/// # Errors
/// When the random source fails.
pub fn fresh() -> Result<(Seed, String), KeyError> {
    let pair = KeyPair::new(KeyPairType::User);
    let seed = pair.seed().map_err(|source| KeyError::Generate { source })?;
    Ok((Seed(seed), pair.public_key()))
}

/// Whether `signature` was made over `statement` with the private half of `key`.
pub fn signed_by(key: &str, statement: &[u8], signature: &[u8]) -> bool {
    is_user_id(key) && KeyPair::from_public_key(key).is_ok_and(|pair| pair.verify(statement, signature).is_ok())
}

/// Whether `id` is the public key of a bus user. What passes is safe inside subjects and configuration files.
pub fn is_user_id(id: &str) -> bool {
    id.len() == 56 && KeyPair::from_public_key(id).is_ok_and(|pair| pair.key_pair_type() == KeyPairType::User)
}

fn load_or_make(path: &Path) -> Result<UserCredentials, KeyError> {
    if fs_err::symlink_metadata(path).is_err() {
        make(path)?;
    }
    let (id, _) = read_seed(path)?;
    Ok(UserCredentials { id, seed_file: path.to_owned() })
}

/// Puts a new seed at `path`; of two who make it at once the first wins.
fn make(path: &Path) -> Result<(), KeyError> {
    let file_error = |source| KeyError::File { path: path.to_owned(), source };
    let dir = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(dir).map_err(file_error)?;
    let pair = KeyPair::new(KeyPairType::User);
    let seed = pair.seed().map_err(|source| KeyError::Generate { source })?;
    match write_new(path, format!("{seed}\n").as_bytes(), 0o600) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        done => done.map_err(file_error),
    }
}

fn file_name(name: &str) -> Result<String, KeyError> {
    if !is_drone_name(name) {
        return Err(KeyError::BadName { name: name.chars().take(80).collect() });
    }
    Ok(format!("{name}.nk"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_gives_the_same_identity_and_another_name_another() {
        let dir = tempfile::tempdir().unwrap();
        let first = enrol_local(dir.path(), "alpha").unwrap();
        assert_eq!(enrol_local(dir.path(), "alpha").unwrap(), first);
        assert_ne!(enrol_local(dir.path(), "beta").unwrap().id, first.id);
        assert_ne!(enrol_tapper(dir.path(), "alpha").unwrap().id, first.id);
        assert!(is_user_id(&first.id));
    }

    #[test]
    fn a_seed_is_private_and_never_printed() {
        let dir = tempfile::tempdir().unwrap();
        let made = controller(&dir.path().join("not/yet/there")).unwrap();
        assert_eq!(fs_err::metadata(&made.seed_file).unwrap().permissions().mode() & 0o777, 0o600);
        let (id, seed) = read_seed(&made.seed_file).unwrap();
        assert_eq!(id, made.id);
        assert!(seed.expose().starts_with("SU"));
        assert!(!format!("{seed:?} {made:?}").contains(seed.expose()));
    }

    #[test]
    fn a_seed_others_can_read_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let made = enrol_local(dir.path(), "alpha").unwrap();
        fs_err::set_permissions(&made.seed_file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = enrol_local(dir.path(), "alpha").unwrap_err().to_string();
        assert!(refused.contains("mode 640") && refused.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn a_file_that_is_no_user_seed_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let account = KeyPair::new(KeyPairType::Account).seed().unwrap();
        for content in ["", "hello\n", account.as_str()] {
            let path = dir.path().join("alpha.nk");
            fs_err::write(&path, content).unwrap();
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(enrol_local(dir.path(), "alpha"), Err(KeyError::NotASeed { .. })), "{content:?}");
            assert_eq!(fs_err::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", ".", "..", "../x", "a/b", ".hidden", "-x", "a b", "a\nb", &"x".repeat(64)] {
            assert!(matches!(enrol_local(dir.path(), name), Err(KeyError::BadName { .. })), "{name:?}");
        }
    }

    #[test]
    fn a_signature_is_good_for_its_key_and_its_statement_only() {
        let (seed, key) = fresh().unwrap();
        let (_, other) = fresh().unwrap();
        let signature = KeyPair::from_seed(seed.expose()).unwrap().sign(b"this").unwrap();
        assert!(signed_by(&key, b"this", &signature));
        assert!(!signed_by(&key, b"that", &signature));
        assert!(!signed_by(&other, b"this", &signature));
        assert!(!signed_by(&key, b"this", &signature[..63]));
        assert!(!signed_by(&key, b"this", &[]));
        assert!(!signed_by("U", b"this", &signature));
    }

    #[test]
    fn only_public_keys_of_users_are_identities() {
        let account = KeyPair::new(KeyPairType::Account).public_key();
        for id in ["", "U", "*", ">", &account, &"U".repeat(56), "alpha"] {
            assert!(!is_user_id(id), "{id:?}");
        }
    }
}
