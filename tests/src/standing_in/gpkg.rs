//! A small, sound binary package: what the controller takes, signs and lists as any other.

use anyhow::Result;
use swarm_protocol::Cpv;

use super::{CHOST, REPOSITORY};
use crate::{Chance, gpkg};

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
        let fields = fields.map(|(key, value)| (key, format!("{value}\n").into_bytes()));
        let members = [
            ("metadata.tar", gpkg::metadata(fields, self.build_time)?),
            ("image.tar", Chance::new(self.seed).bytes(self.bytes)),
        ];
        gpkg::pack(&pf, members, self.build_time)
    }
}
