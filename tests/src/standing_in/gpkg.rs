//! A small, sound binary package: what the controller takes, signs and lists as any other.

use std::fmt::Write as _;

use anyhow::Result;
use sha2::{Digest, Sha512};
use swarm_protocol::Cpv;

use super::{CHOST, REPOSITORY};

/// A package to be made.
#[derive(Debug, Clone)]
pub struct Gpkg {
    /// What it is.
    pub cpv: Cpv,
    /// Bytes of its image; the content differs with the seed, so that no two builds are the same file.
    pub bytes: usize,
    /// Seed of the content.
    pub seed: u64,
    /// Unix seconds of the build.
    pub build_time: u64,
}

impl Gpkg {
    /// The file's bytes.
    ///
    /// # Errors
    /// When a name is too long for a tar header.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let (category, pf) = (self.cpv.category(), self.cpv.pf());
        let build_time = self.build_time.to_string();
        let fields = [
            ("BUILD_ID", "1"),
            ("BUILD_TIME", &build_time),
            ("CATEGORY", category),
            ("CHOST", CHOST),
            ("DEFINED_PHASES", "-"),
            ("EAPI", "8"),
            ("KEYWORDS", "amd64 arm64"),
            ("LICENSE", "MIT"),
            ("PF", &pf),
            ("SLOT", "0"),
            ("repository", REPOSITORY),
        ];
        let mut metadata = tar::Builder::new(Vec::new());
        for (key, value) in fields {
            add(&mut metadata, &format!("metadata/{key}"), format!("{value}\n").as_bytes(), self.build_time)?;
        }
        let members = [
            ("gpkg-1", Vec::new()),
            ("metadata.tar", metadata.into_inner()?),
            ("image.tar", content(self.bytes, self.seed)),
        ];
        let mut manifest = String::new();
        for (name, bytes) in &members {
            writeln!(manifest, "DATA {name} {} SHA512 {}", bytes.len(), hex::encode(Sha512::digest(bytes)))?;
        }
        let mut outer = tar::Builder::new(Vec::new());
        for (name, bytes) in &members {
            add(&mut outer, &format!("{pf}-1/{name}"), bytes, self.build_time)?;
        }
        add(&mut outer, &format!("{pf}-1/Manifest"), manifest.as_bytes(), self.build_time)?;
        Ok(outer.into_inner()?)
    }
}

fn add(tar: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8], mtime: u64) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(mtime);
    Ok(tar.append_data(&mut header, name, bytes)?)
}

/// Bytes that don't compress and are the same for the same seed (splitmix64).
pub fn content(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        out.extend_from_slice(&crate::chance::step(&mut state).to_le_bytes());
    }
    out.truncate(bytes);
    out
}
