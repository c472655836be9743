//! Packages made in memory, laid out as Portage lays them out: for the tests of this crate and of those above it. The program
//! never comes here.

#![expect(clippy::unwrap_used, reason = "for tests only, and a feature of its own would build the crate twice")]

use std::path::{Path, PathBuf};

use swarm_protocol::Cpv;

use super::container::{BLOCK, RECORD, header};
use super::manifest::{self, Sums};
use super::metadata::{Metadata, Packing};

/// A tar of regular files with exactly these paths, well-formed or not.
pub fn raw_tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, content) in members {
        let mut head = header("placeholder", content.len() as u64, 1_700_000_000).unwrap();
        head.as_mut_bytes()[..100].fill(0);
        head.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        head.set_cksum();
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
    }
    bytes.resize((bytes.len() + 2 * BLOCK as usize).next_multiple_of(RECORD as usize), 0);
    bytes
}

/// A package to be altered and built.
#[derive(Clone)]
pub struct Sample {
    /// Folder in the container, `<pf>-<build_id>`; also the name of the file.
    pub folder: String,
    /// Metadata, in the order it is packed.
    pub keys: Vec<(String, String)>,
    /// The image's bytes; no tar, since nobody looks inside.
    pub image: Vec<u8>,
    /// How metadata and image are packed, and the ending that says so.
    pub packing: (Packing, &'static str),
}

/// `app-misc/hello-1.1`, BUILD_ID 1.
pub fn sample() -> Sample {
    let keys = [
        ("BUILD_ID", "1"),
        ("BUILD_TIME", "1795449718\n"),
        ("CATEGORY", "app-misc\n"),
        ("CHOST", "x86_64-pc-linux-gnu\n"),
        ("DEFINED_PHASES", "compile install test unpack\n"),
        ("DEPEND", "dev-libs/libgreet:0/1=\n"),
        ("EAPI", "8\n"),
        ("EPREFIX", "/prefix\n"),
        ("IUSE", "+color nls\n"),
        ("KEYWORDS", "amd64\n"),
        ("LICENSE", "MIT\n"),
        ("PF", "hello-1.1\n"),
        ("RDEPEND", "dev-libs/libgreet:0/1=\n"),
        ("REQUIRES", "x86_64: libc.so.6 libgreet.so.1\n"),
        ("SLOT", "0\n"),
        ("USE", "amd64 color\n"),
        ("hello-1.1.ebuild", "EAPI=8\n"),
        ("repository", "lab\n"),
    ];
    Sample {
        folder: "hello-1.1-1".to_owned(),
        keys: keys.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
        image: b"an image, opaque to the controller".repeat(100),
        packing: (Packing::Zstd, ".zst"),
    }
}

impl Sample {
    /// Sets a key of the metadata.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        match self.keys.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value.to_owned(),
            None => self.keys.push((key.to_owned(), value.to_owned())),
        }
        self
    }

    /// Where the core has it put under this BUILD_ID, below its index's folder.
    pub fn path(&self, build_id: u32) -> String {
        let value = |key: &str| {
            let found = self.keys.iter().find(|(name, _)| name == key);
            found.map(|(_, value)| value.trim()).unwrap_or_default()
        };
        let cpv: Cpv = format!("{}/{}", value("CATEGORY"), value("PF")).parse().unwrap();
        format!("{}/{}-{build_id}.gpkg.tar", cpv.cp(), cpv.pf())
    }

    /// The keys as a package has them.
    pub fn metadata(&self) -> Metadata {
        let members: Vec<(String, &[u8])> =
            self.keys.iter().map(|(key, value)| (format!("metadata/{key}"), value.as_bytes())).collect();
        let members: Vec<(&str, &[u8])> = members.iter().map(|(path, content)| (path.as_str(), *content)).collect();
        Metadata::unpack(&raw_tar(&members), Packing::None, 1 << 30).unwrap()
    }

    /// Members before Manifest.
    pub fn members(&self) -> Vec<(String, Vec<u8>)> {
        let (packing, ending) = self.packing;
        vec![
            ("gpkg-1".to_owned(), Vec::new()),
            (format!("metadata.tar{ending}"), self.metadata().pack(packing, 1_700_000_000).unwrap()),
            (format!("image.tar{ending}"), self.image.clone()),
        ]
    }

    /// The Manifest that fits the members.
    pub fn manifest(&self) -> String {
        self.members().iter().map(|(name, content)| manifest::line(name, &Sums::of(content)) + "\n").collect()
    }

    /// The package with this Manifest, true or not.
    pub fn build_with(&self, manifest: &str) -> Vec<u8> {
        let mut members = self.members();
        members.push(("Manifest".to_owned(), manifest.as_bytes().to_vec()));
        let members: Vec<(String, Vec<u8>)> =
            members.into_iter().map(|(name, content)| (format!("{}/{name}", self.folder), content)).collect();
        let members: Vec<(&str, &[u8])> =
            members.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
        raw_tar(&members)
    }

    /// The package.
    pub fn build(&self) -> Vec<u8> {
        self.build_with(&self.manifest())
    }

    /// Puts the package into `folder` and answers where.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join(format!("{}.gpkg.tar", self.folder));
        fs_err::write(&path, self.build()).unwrap();
        path
    }
}
