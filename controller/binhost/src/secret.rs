//! The secret that opens the restricted part of the binhost: made once, kept beside the signing key. Whoever has it may
//! install what the public may not; it signs nothing and changes nothing.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use swarm_common::files::write_whole;
use swarm_protocol::Secret;

/// The secret kept in the file `path`, mode 0600; made when there is none.
///
/// # Errors
/// When it can't be read or written, is empty, or others may read it.
pub fn load_or_create(path: &Path) -> io::Result<Secret> {
    match fs_err::metadata(path) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            let text = format!("{} is open to others; chmod 600 it, or remove it for a new one", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(_) => {
            let text = fs_err::read_to_string(path)?.trim().to_owned();
            if text.is_empty() {
                return Err(io::Error::other(format!("{} is empty; remove it for a new one", path.display())));
            }
            return Ok(Secret(text));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let secret = hex::encode(rand::random::<[u8; 24]>());
    write_whole(path, format!("{secret}\n").as_bytes(), 0o600)?;
    Ok(Secret(secret))
}

/// Compares what a request offers with the secret. Keeps its digest only.
#[derive(Clone)]
pub struct Lock([u8; 32]);

impl Lock {
    /// Opened by this secret.
    pub fn new(secret: &Secret) -> Self {
        Self(Sha256::digest(&secret.0).into())
    }

    /// Whether the value of an `Authorization` header opens it: `Basic` with any user and the secret as password, or
    /// `Bearer` with the secret. The time it takes tells nothing of the secret.
    pub fn opens(&self, authorization: &str) -> bool {
        let Some((scheme, value)) = authorization.trim().split_once(' ') else { return false };
        let offered = match scheme.to_ascii_lowercase().as_str() {
            "bearer" => value.trim().as_bytes().to_vec(),
            "basic" => match BASE64_STANDARD.decode(value.trim()) {
                Ok(pair) => match pair.iter().position(|byte| *byte == b':') {
                    Some(at) => pair[at + 1..].to_vec(),
                    None => return false,
                },
                Err(_) => return false,
            },
            _ => return false,
        };
        let offered: [u8; 32] = Sha256::digest(offered).into();
        offered.ct_eq(&self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_made_once_and_refused_when_others_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let first = load_or_create(&path).unwrap();
        assert_eq!(first.0.len(), 48);
        assert_eq!(load_or_create(&path).unwrap(), first);
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load_or_create(&path).unwrap_err().to_string().contains("open to others"));
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        fs_err::write(&path, "\n").unwrap();
        assert!(load_or_create(&path).unwrap_err().to_string().contains("is empty"));
    }

    #[test]
    fn only_the_secret_opens() {
        let lock = Lock::new(&Secret("a:b".to_owned()));
        let basic = |pair: &str| format!("Basic {}", BASE64_STANDARD.encode(pair));
        for good in [basic("swarm:a:b"), basic(":a:b"), "Bearer a:b".to_owned(), "bearer  a:b ".to_owned()] {
            assert!(lock.opens(&good), "{good}");
        }
        let bad =
            ["", "Basic", "Basic ", "Basic ???", "Bearer", "Bearer ", "Bearer a:", "a:b", "Digest a:b", "Basic a:b"];
        for bad in bad.map(str::to_owned).into_iter().chain([basic("a"), basic("swarm:"), basic("swarm:a:b ")]) {
            assert!(!lock.opens(&bad), "{bad}");
        }
    }
}
