//! The binhost's signing key: made once, kept beside the store, never on a drone. A v4 EdDSA key, because the gnupg 2.2 that
//! clients verify with reads no v6. Signs what Portage signs: members (detached) and the Manifest (clear-signed, SHA512).

use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, Deserializable, DetachedSignature, EncryptionCaps, KeyType,
    SecretKeyParamsBuilder, SignedSecretKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{KeyDetails, KeyVersion, Password, Timestamp};
use rand_core::OsRng;
use swarm_common::files::{create_folders, write_new};
use thiserror::Error;

/// File of the secret key in its folder.
const SECRET: &str = "binhost.secret.asc";
/// No real key of ours is near this.
const MAX_KEY: u64 = 64 << 10;

/// Why there is no signing key, or no signature.
#[derive(Debug, Error)]
pub enum SignError {
    /// Reading or writing the key.
    #[error("keep the signing key in {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// Others may read the secret key.
    #[error("the signing key {} is open to others (mode {mode:04o}); chmod 600 it, or make a new one", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file is no usable key.
    #[error("read the signing key {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the library said.
        #[source]
        source: Box<pgp::errors::Error>,
    },
    /// The library refused.
    #[error("{what}")]
    OpenPgp {
        /// What was attempted.
        what: &'static str,
        /// What the library said.
        #[source]
        source: Box<pgp::errors::Error>,
    },
}

fn refused(what: &'static str) -> impl Fn(pgp::errors::Error) -> SignError {
    move |source| SignError::OpenPgp { what, source: Box::new(source) }
}

/// The key of the binhost. Its secret half is never printed.
pub struct SigningKey {
    secret: SignedSecretKey,
    fingerprint: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The key kept in `dir`; made when there is none, with `user_id` such as
    /// `Build Swarm binhost <binhost@HOST.invalid>`. The file has mode 0600 and no passphrase.
    pub fn load_or_create(dir: &Path, user_id: &str) -> Result<Self, SignError> {
        let path = dir.join(SECRET);
        let file = |source| SignError::File { path: path.clone(), source };
        match fs_err::symlink_metadata(&path) {
            Ok(_) => Self::load(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_folders(dir).map_err(file)?;
                let key = Self::generate(user_id)?;
                let armored =
                    key.secret.to_armored_bytes(ArmorOptions::default()).map_err(refused("write the signing key"))?;
                write_new(&path, &armored, 0o600).map_err(file)?;
                Ok(key)
            }
            Err(error) => Err(file(error)),
        }
    }

    fn load(path: &Path) -> Result<Self, SignError> {
        let file = |source| SignError::File { path: path.to_owned(), source };
        let opened = fs_err::File::open(path).map_err(file)?;
        let mode = opened.metadata().map_err(file)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SignError::Exposed { path: path.to_owned(), mode });
        }
        let mut armored = Vec::new();
        opened.take(MAX_KEY).read_to_end(&mut armored).map_err(file)?;
        let unreadable = |source| SignError::Unreadable { path: path.to_owned(), source: Box::new(source) };
        let (secret, _) = SignedSecretKey::from_armor_single(armored.as_slice()).map_err(unreadable)?;
        secret.verify_bindings().map_err(unreadable)?;
        Ok(Self::of(secret))
    }

    fn generate(user_id: &str) -> Result<Self, SignError> {
        let params = SecretKeyParamsBuilder::default()
            .version(KeyVersion::V4)
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .can_encrypt(EncryptionCaps::None)
            .primary_user_id(user_id.to_owned())
            .build()
            .map_err(|error| refused("make a signing key")(pgp::errors::Error::from(io::Error::other(error))))?;
        Ok(Self::of(params.generate(OsRng).map_err(refused("make a signing key"))?))
    }

    fn of(secret: SignedSecretKey) -> Self {
        let fingerprint = hex::encode_upper(secret.primary_key.fingerprint().as_bytes());
        Self { secret, fingerprint }
    }

    /// 40 upper-case hex digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The public key as clients import it.
    pub fn public_armored(&self) -> Result<String, SignError> {
        let public = self.secret.to_public_key();
        public.to_armored_string(ArmorOptions::default()).map_err(refused("write the public key"))
    }

    /// Armoured detached signature of all that `data` gives.
    pub fn detached(&self, data: impl Read) -> Result<String, SignError> {
        let what = refused("sign a member");
        let config = self.config(SignatureType::Binary).map_err(&what)?;
        let signature = config.sign(&self.secret.primary_key, &Password::empty(), data).map_err(&what)?;
        DetachedSignature::new(signature).to_armored_string(ArmorOptions::default()).map_err(&what)
    }

    /// `text` clear-signed. Its last line break is not part of what is signed, as with gpg.
    pub fn clear_signed(&self, text: &str) -> Result<String, SignError> {
        let what = refused("sign the Manifest");
        let config = self.config(SignatureType::Text).map_err(&what)?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        CleartextSignedMessage::new(text, config, &self.secret.primary_key, &Password::empty())
            .and_then(|message| message.to_armored_string(ArmorOptions::default()))
            .map_err(&what)
    }

    fn config(&self, kind: SignatureType) -> Result<SignatureConfig, pgp::errors::Error> {
        let key = &self.secret.primary_key;
        let mut config = SignatureConfig::v4(kind, key.algorithm(), HashAlgorithm::Sha512);
        config.hashed_subpackets = vec![
            Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
            Subpacket::critical(SubpacketData::SignatureCreationTime(Timestamp::now()))?,
        ];
        config.unhashed_subpackets = vec![Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id()))?];
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    const USER: &str = "Build Swarm binhost <binhost@test.invalid>";

    /// A keyring of real gpg; its agent, if it started one, ends with it.
    struct Gpg(tempfile::TempDir);

    impl Gpg {
        fn with(key: &SigningKey) -> Self {
            let gpg = Self(tempfile::Builder::new().prefix("gpg").tempdir().unwrap());
            fs_err::set_permissions(gpg.0.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
            let (ok, _, said) = gpg.run(&["--import"], key.public_armored().unwrap().as_bytes());
            assert!(ok, "{said}");
            let (ok, _, said) = gpg.run(&["--import-ownertrust"], format!("{}:6:\n", key.fingerprint()).as_bytes());
            assert!(ok, "{said}");
            gpg
        }

        fn run(&self, arguments: &[&str], input: &[u8]) -> (bool, String, String) {
            let mut child = Command::new("gpg")
                .args(["--batch", "--no-tty", "--no-autostart", "--status-fd", "2", "--homedir"])
                .arg(self.0.path())
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("gpg is needed for this test: install gnupg");
            child.stdin.take().unwrap().write_all(input).unwrap();
            let output = child.wait_with_output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.success(), text(&output.stdout), text(&output.stderr))
        }

        fn verify(&self, signature: &str, data: &[u8]) -> (bool, String) {
            let file = self.0.path().join("sig");
            fs_err::write(&file, signature).unwrap();
            let (ok, _, said) = self.run(&["--verify", file.to_str().unwrap(), "-"], data);
            (ok, said)
        }
    }

    #[test]
    fn gpg_verifies_a_detached_signature_and_refuses_a_flipped_bit() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(dir.path(), USER).unwrap();
        let gpg = Gpg::with(&key);
        let data: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        let signature = key.detached(data.as_slice()).unwrap();
        let (ok, said) = gpg.verify(&signature, &data);
        assert!(ok && said.contains("[GNUPG:] GOODSIG") && said.contains("[GNUPG:] TRUST_ULTIMATE"), "{said}");
        // the fingerprint is the one gpg computes, the digest SHA512 (10)
        assert!(said.contains(&format!("[GNUPG:] VALIDSIG {}", key.fingerprint())), "{said}");
        assert!(said.lines().any(|line| line.contains("VALIDSIG") && line.contains(" 22 10 00 ")), "{said}");
        let mut flipped = data;
        flipped[100_000] ^= 1;
        let (ok, said) = gpg.verify(&signature, &flipped);
        assert!(!ok && said.contains("BADSIG"), "{said}");
    }

    #[test]
    fn gpg_reads_a_clear_signed_manifest_to_the_letter() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(dir.path(), USER).unwrap();
        let gpg = Gpg::with(&key);
        let text = "DATA gpkg-1 0 SHA512 ab\nDATA image.tar.zst 5 SHA512 cd\n- a dash\n";
        let signed = key.clear_signed(text).unwrap();
        assert!(signed.starts_with("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"), "{signed}");
        let (ok, read, said) = gpg.run(&["--output", "-", "--verify"], signed.as_bytes());
        assert!(ok && said.contains("[GNUPG:] GOODSIG"), "{said}");
        assert_eq!(read, text);
        let (ok, _, said) = gpg.run(&["--verify"], signed.replace("zst 5", "zst 6").as_bytes());
        assert!(!ok && said.contains("BADSIG"), "{said}");
    }

    #[test]
    fn the_key_stays_the_same_and_is_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("keys");
        let first = SigningKey::load_or_create(&folder, USER).unwrap();
        let again = SigningKey::load_or_create(&folder, "somebody else").unwrap();
        assert_eq!(first.fingerprint(), again.fingerprint());
        assert_eq!(first.fingerprint().len(), 40);
        let path = folder.join(SECRET);
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs_err::read_dir(&folder).unwrap().count(), 1);
        assert!(!format!("{first:?}").contains("PRIVATE") && !first.public_armored().unwrap().contains("PRIVATE"));
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(SigningKey::load_or_create(&folder, USER), Err(SignError::Exposed { mode: 0o640, .. })));
        let other = SigningKey::load_or_create(&dir.path().join("other"), USER).unwrap();
        assert_ne!(first.fingerprint(), other.fingerprint());
    }

    #[test]
    fn a_broken_key_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SECRET);
        write_new(&path, b"not a key", 0o600).unwrap();
        assert!(matches!(SigningKey::load_or_create(dir.path(), USER), Err(SignError::Unreadable { .. })));
        assert_eq!(fs_err::read(&path).unwrap(), b"not a key");
        assert!(write_new(&path, b"another", 0o600).is_err());
    }
}
