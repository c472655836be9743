//! The Manifest of a gpkg: size and digests of each member, one `DATA` line each (GLEP 78). Read from uploads, where it may be
//! clear-signed by a drone (that signature is not judged here: the controller makes its own), and written for signed packages.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use blake2::Blake2b512;
use sha2::{Digest, Sha512};
use thiserror::Error;

/// Why a Manifest can't be used.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ManifestError {
    /// Not UTF-8.
    #[error("the Manifest is not text")]
    NotText,
    /// A clear-signature without its end.
    #[error("the Manifest's signature is cut off")]
    CutOff,
    /// A line that is no `DATA` record.
    #[error("the Manifest has no record in {0:?}")]
    BadLine(String),
    /// The same member twice.
    #[error("the Manifest lists {0} twice")]
    Twice(String),
    /// No digest we know.
    #[error("the Manifest has neither BLAKE2B nor SHA512 of {0}")]
    NoDigest(String),
}

/// What a Manifest says of one member. At least one digest is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Bytes.
    pub size: u64,
    /// BLAKE2B, lower-case hex.
    pub blake2b: Option<String>,
    /// SHA512, lower-case hex.
    pub sha512: Option<String>,
}

impl Record {
    /// Whether a member with these digests is the one recorded.
    pub fn matches(&self, sums: &Sums) -> bool {
        self.size == sums.size
            && self.blake2b.as_ref().is_none_or(|wanted| *wanted == sums.blake2b)
            && self.sha512.as_ref().is_none_or(|wanted| *wanted == sums.sha512)
    }
}

/// Reads a Manifest: member name (without its folder) to record.
pub fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Record>, ManifestError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ManifestError::NotText)?;
    let mut records = BTreeMap::new();
    for line in body(text)?.lines().filter(|line| !line.trim().is_empty()) {
        let (name, record) = parse_line(line)?;
        if records.insert(name.to_owned(), record).is_some() {
            return Err(ManifestError::Twice(name.to_owned()));
        }
    }
    Ok(records)
}

/// The signed text of a clear-signed Manifest, or all of one that is not.
fn body(text: &str) -> Result<&str, ManifestError> {
    let Some(signed) = text.strip_prefix("-----BEGIN PGP SIGNED MESSAGE-----") else { return Ok(text) };
    let (_, rest) = signed.split_once("\n\n").ok_or(ManifestError::CutOff)?;
    let (body, _) = rest.split_once("-----BEGIN PGP SIGNATURE-----").ok_or(ManifestError::CutOff)?;
    Ok(body)
}

fn parse_line(line: &str) -> Result<(&str, Record), ManifestError> {
    let bad = || ManifestError::BadLine(line.chars().take(80).collect());
    let mut words = line.split_whitespace();
    let (Some("DATA"), Some(name), Some(size)) = (words.next(), words.next(), words.next()) else {
        return Err(bad());
    };
    let mut record = Record { size: size.parse().map_err(|_| bad())?, blake2b: None, sha512: None };
    while let Some(kind) = words.next() {
        let digest = words.next().ok_or_else(bad)?.to_ascii_lowercase();
        match kind {
            "BLAKE2B" => record.blake2b = Some(digest),
            "SHA512" => record.sha512 = Some(digest),
            _ => {}
        }
    }
    if record.blake2b.is_none() && record.sha512.is_none() {
        return Err(ManifestError::NoDigest(name.to_owned()));
    }
    Ok((name, record))
}

/// Size and digests of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// Bytes.
    pub size: u64,
    /// BLAKE2B, lower-case hex.
    pub blake2b: String,
    /// SHA512, lower-case hex.
    pub sha512: String,
}

impl Sums {
    /// Of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        let mut summing = Summing::default();
        summing.update(bytes);
        summing.finish()
    }
}

/// [`Sums`] being made from a stream.
#[derive(Default)]
pub struct Summing {
    size: u64,
    blake2b: Blake2b512,
    sha512: Sha512,
}

impl Summing {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.blake2b.update(bytes);
        self.sha512.update(bytes);
    }

    /// The sums of all bytes taken.
    pub fn finish(self) -> Sums {
        Sums {
            size: self.size,
            blake2b: hex::encode(self.blake2b.finalize()),
            sha512: hex::encode(self.sha512.finalize()),
        }
    }
}

/// One line, without its end.
pub fn line(name: &str, sums: &Sums) -> String {
    let mut text = String::new();
    let _ = write!(text, "DATA {name} {} BLAKE2B {} SHA512 {}", sums.size, sums.blake2b, sums.sha512);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_plain_and_clear_signed() {
        let plain = format!("{}\n{}\n", line("gpkg-1", &Sums::of(b"")), line("image.tar.zst", &Sums::of(b"x")));
        let read = parse(plain.as_bytes()).unwrap();
        assert!(read["gpkg-1"].matches(&Sums::of(b"")));
        assert!(read["image.tar.zst"].matches(&Sums::of(b"x")));
        assert!(!read["image.tar.zst"].matches(&Sums::of(b"y")));
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{plain}-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
        );
        assert_eq!(parse(signed.as_bytes()).unwrap(), read);
    }

    #[test]
    fn malformed_manifests_are_refused() {
        let cases = [
            ("MISC a 1 SHA512 ab", "no record"),
            ("DATA a x SHA512 ab", "no record"),
            ("DATA a 1 SHA512", "no record"),
            ("DATA a 1 MD5 ab", "neither"),
            ("DATA a 1 SHA512 ab\nDATA a 1 SHA512 ab", "twice"),
            ("-----BEGIN PGP SIGNED MESSAGE-----\n\nDATA a 1 SHA512 ab", "cut off"),
        ];
        for (text, expected) in cases {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert_eq!(parse(b"\xff"), Err(ManifestError::NotText));
    }
}
