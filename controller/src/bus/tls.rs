//! The bus's certificates: an authority of our own, made at the first start, and the managed server's certificate, issued by
//! it and renewed before its end. Who trusts the authority trusts no other, so nobody can stand in for the bus.
//!
//! | file | what |
//! |---|---|
//! | `keys/bus-ca.key` | the authority's key, mode 0600; whoever has it can pretend to be the bus |
//! | `bus-ca.pem` | the authority's certificate, for everybody: drones and tappers trust it |
//! | `nats/server.pem` | the server's certificate and key in one file, mode 0600, so that both change at one moment |
//!
//! Never decides which names the certificate has (`serve` does, from the configuration) nor when it is looked at. Called by
//! `server` and `serve`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use async_nats::rustls::pki_types::CertificateDer;
use async_nats::rustls::pki_types::pem::PemObject;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use serde::{Deserialize, Serialize};
use swarm_common::files::write_whole;
use swarm_protocol::invite::fingerprint;
use thiserror::Error;

use crate::config::is_host;

/// Years an authority lives. A new one means that every drone joins anew, so it outlives the machines.
const AUTHORITY_YEARS: i16 = 30;
/// Days a server certificate lives.
const SERVER_DAYS: i64 = 365;
/// A certificate with less than this left is renewed; it is looked at every day and at each start.
const RENEW_DAYS: i64 = 60;
/// Seconds.
const DAY: i64 = 86_400;
/// A clock that is behind ours by less than this still takes a fresh certificate.
const SKEW_DAYS: i64 = 2;
/// Always in the server's certificate: what this machine calls itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file system said no; the source names the path.
    #[error("can't keep the bus's certificates in {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others can read a private key.
    #[error("{} can be read by others (mode {mode:03o}); make it private: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The authority's two files do not fit together.
    #[error(
        "{} and {} do not belong together: restore the pair from a copy, or remove both to get a new authority (then every \
         drone on another machine joins anew)",
        key.display(), certificate.display()
    )]
    Torn {
        /// The key.
        key: PathBuf,
        /// The certificate.
        certificate: PathBuf,
    },
    /// A name that can't stand in a certificate.
    #[error("{name:?} can't be a name of the bus: it is neither a host name nor an IP address")]
    BadName {
        /// The name.
        name: String,
    },
    /// The certificate could not be made.
    #[error("can't make a certificate for the bus")]
    Make(#[from] rcgen::Error),
    /// Not a certificate.
    #[error("{} is not a certificate in PEM", path.display())]
    NotACertificate {
        /// The file.
        path: PathBuf,
    },
}

impl TlsError {
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// The authority. Printing it prints its fingerprint and nothing of its key.
pub struct Authority {
    key: KeyPair,
    pem: String,
    fingerprint: String,
    path: PathBuf,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Authority {
    /// The authority of this data directory, made on first use. The key is on disk before the certificate, so that a crash
    /// between the two leaves a key that gets its certificate now; nobody has seen another.
    ///
    /// # Errors
    /// See [`TlsError`]; a key that others can read is refused.
    pub fn load_or_make(data: &Path, now: Timestamp) -> Result<Self, TlsError> {
        let (key_path, path) = (data.join("keys/bus-ca.key"), data.join("bus-ca.pem"));
        let key = match read_private(&key_path)? {
            Some(text) => KeyPair::from_pem(&text)
                .map_err(|_| TlsError::Torn { key: key_path.clone(), certificate: path.clone() })?,
            None if path.exists() => return Err(TlsError::Torn { key: key_path, certificate: path }),
            None => {
                let key = KeyPair::generate()?;
                write(&key_path, &key.serialize_pem(), 0o600)?;
                key
            }
        };
        if !path.exists() {
            let mut params = authority()?;
            // a 29 February has no twin thirty years on; the first of the month always has
            lasts(&mut params, now, Date::constant(day(now).year() + AUTHORITY_YEARS, day(now).month(), 1));
            write(&path, &params.self_signed(&key)?.pem(), 0o644)?;
        }
        let pem = fs_err::read_to_string(&path).map_err(TlsError::file(&path))?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| TlsError::NotACertificate { path: path.clone() })?;
        // a certificate holds the public key as it is
        if !der.as_ref().windows(key.der_bytes().len()).any(|window| window == key.der_bytes()) {
            return Err(TlsError::Torn { key: key_path, certificate: path });
        }
        let fingerprint = fingerprint(&der);
        Ok(Self { key, pem, fingerprint, path })
    }

    /// The certificate, PEM; for everybody.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Where the certificate is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the certificate, hex, as `openssl x509 -fingerprint -sha256` has it without the colons.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Sees to it that `path` holds a certificate for exactly `names` that is not near its end. True when it was written.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn ensure(&self, path: &Path, names: &[String], now: Timestamp) -> Result<bool, TlsError> {
        let names = all_names(names)?;
        let held = read_private(path)?.and_then(|text| Label::read(&text));
        let fits = held.is_some_and(|label| {
            label.names == names
                && label.authority == self.fingerprint
                && label.until > now.as_second() + RENEW_DAYS * DAY
        });
        if fits {
            return Ok(false);
        }
        let end = now + (SERVER_DAYS * 24).hours();
        let (until, midnight) = (day(end), end.as_second().div_euclid(DAY) * DAY);
        let label = Label { names: names.clone(), authority: self.fingerprint.clone(), until: midnight };
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = name("Build Swarm bus");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        lasts(&mut params, now, until);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &Issuer::new(authority()?, &self.key))?;
        write(path, &format!("{}{}{}", label.line(), certificate.pem(), key.serialize_pem()), 0o600)?;
        Ok(true)
    }
}

/// The first line of `server.pem`: what the certificate below it is. Readers of PEM skip it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Label {
    names: Vec<String>,
    authority: String,
    /// Unix seconds of its end.
    until: i64,
}

impl Label {
    fn line(&self) -> String {
        format!("# {}\n", serde_json::to_string(self).unwrap_or_default())
    }

    fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text.lines().next()?.strip_prefix("# ")?).ok()
    }
}

/// Reads a certificate in PEM and says its fingerprint: an authority that somebody else keeps.
///
/// # Errors
/// See [`TlsError`].
pub fn read_authority(path: &Path) -> Result<(String, String), TlsError> {
    let pem = fs_err::read_to_string(path).map_err(TlsError::file(path))?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| TlsError::NotACertificate { path: path.to_owned() })?;
    Ok((pem.clone(), fingerprint(&der)))
}

/// What identifies the authority. It never changes: certificates are issued by this name and the key.
fn authority() -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = name("Build Swarm bus authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// Sorted and without doubles, so that the same configuration gives the same certificate.
fn all_names(names: &[String]) -> Result<Vec<String>, TlsError> {
    if let Some(bad) = names.iter().find(|name| !is_host(name)) {
        return Err(TlsError::BadName { name: bad.clone() });
    }
    let mut all: Vec<String> = LOOPBACK.iter().map(|name| (*name).to_owned()).chain(names.iter().cloned()).collect();
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// Good from a little before `now` until `until`; certificates need no finer time than days.
fn lasts(params: &mut CertificateParams, now: Timestamp, until: Date) {
    let from = day(now - (SKEW_DAYS * 24).hours());
    let ymd = |date: Date| (i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs());
    let ((y, m, d), (until_y, until_m, until_d)) = (ymd(from), ymd(until));
    params.not_before = rcgen::date_time_ymd(y, m, d);
    params.not_after = rcgen::date_time_ymd(until_y, until_m, until_d);
}

fn day(at: Timestamp) -> Date {
    at.to_zoned_datetime(TimeZone::UTC).date()
}

/// The file's text; `None` if there is none.
fn read_private(path: &Path) -> Result<Option<String>, TlsError> {
    let mode = match fs_err::metadata(path) {
        Ok(meta) => meta.permissions().mode() & 0o777,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(TlsError::File { path: path.to_owned(), source }),
    };
    if mode & 0o077 != 0 {
        return Err(TlsError::Exposed { path: path.to_owned(), mode });
    }
    fs_err::read_to_string(path).map(Some).map_err(TlsError::file(path))
}

/// Appears whole or not at all, and survives a power cut; its folder is made if it is not there.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder).and_then(|()| write_whole(path, text.as_bytes(), mode)).map_err(TlsError::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-29T12:00:00Z".parse().unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs_err::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_authority_is_made_once_its_key_is_private_and_its_certificate_for_everybody() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::load_or_make(dir.path(), now()).unwrap();
        let again = Authority::load_or_make(dir.path(), now() + 24.hours()).unwrap();
        assert_eq!((first.fingerprint(), first.pem()), (again.fingerprint(), again.pem()));
        assert_eq!(first.fingerprint().len(), 64);
        assert_eq!(mode(&dir.path().join("keys/bus-ca.key")), 0o600);
        assert_eq!(mode(first.path()), 0o644);
        assert!(!format!("{first:?}").contains("PRIVATE"));
        let (pem, fingerprint) = read_authority(first.path()).unwrap();
        assert_eq!((pem.as_str(), fingerprint.as_str()), (first.pem(), first.fingerprint()));
    }

    #[test]
    fn a_pair_that_was_torn_apart_is_refused_with_what_to_do_and_an_exposed_key_too() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = dir.path().join("keys/bus-ca.key");
        drop(Authority::load_or_make(dir.path(), now()).unwrap());
        drop(Authority::load_or_make(other.path(), now()).unwrap());
        fs_err::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Authority::load_or_make(dir.path(), now()).unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
        fs_err::copy(other.path().join("keys/bus-ca.key"), &key).unwrap();
        fs_err::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let refused = Authority::load_or_make(dir.path(), now()).unwrap_err().to_string();
        assert!(refused.contains("do not belong together") && refused.contains("joins anew"), "{refused}");
        fs_err::remove_file(&key).unwrap();
        assert!(matches!(Authority::load_or_make(dir.path(), now()), Err(TlsError::Torn { .. })));
    }

    #[test]
    fn a_key_whose_certificate_was_not_written_any_more_gets_one() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::load_or_make(dir.path(), now()).unwrap();
        fs_err::remove_file(first.path()).unwrap();
        let again = Authority::load_or_make(dir.path(), now()).unwrap();
        assert_eq!(first.key.serialize_pem(), again.key.serialize_pem());
    }

    #[test]
    fn the_server_s_certificate_is_renewed_for_other_names_another_authority_and_before_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_make(dir.path(), now()).unwrap();
        let path = dir.path().join("nats/server.pem");
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let one = names(&["swarm.example.org", "192.0.2.7"]);
        assert!(authority.ensure(&path, &one, now()).unwrap());
        assert_eq!(mode(&path), 0o600);
        assert!(!authority.ensure(&path, &names(&["192.0.2.7", "swarm.example.org", "localhost"]), now()).unwrap());
        let days = |days: i64| now() + (days * 24).hours();
        assert!(!authority.ensure(&path, &one, days(SERVER_DAYS - RENEW_DAYS - 2)).unwrap());
        assert!(authority.ensure(&path, &one, days(SERVER_DAYS - RENEW_DAYS + 2)).unwrap());
        assert!(authority.ensure(&path, &names(&["other.example.org"]), days(306)).unwrap());
        let other = tempfile::tempdir().unwrap();
        let stranger = Authority::load_or_make(other.path(), now()).unwrap();
        assert!(stranger.ensure(&path, &names(&["other.example.org"]), days(306)).unwrap());
        fs_err::write(&path, "damaged").unwrap();
        assert!(stranger.ensure(&path, &names(&["other.example.org"]), days(306)).unwrap());
    }
}
