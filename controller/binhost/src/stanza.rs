//! One block of `Packages`: which keys it has, how their values look and in which order they stand. To the letter what
//! `emaint binhost --fix` writes (`dbapi/bintree.py`, `getbinpkg.py` of Portage 3.0.83).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::metadata::Metadata;
use super::reduce::{ReduceError, use_reduce};

/// Keys of a block that come from the metadata, by their internal names.
pub(crate) const COPIED: [&str; 20] = [
    "BDEPEND",
    "BUILD_TIME",
    "CHOST",
    "DEFINED_PHASES",
    "DEPEND",
    "EAPI",
    "IDEPEND",
    "IUSE",
    "KEYWORDS",
    "LICENSE",
    "PDEPEND",
    "PROPERTIES",
    "PROVIDES",
    "RDEPEND",
    "REQUIRES",
    "RESTRICT",
    "SLOT",
    "USE",
    "USER_PATCHES",
    "repository",
];

/// Keys whose USE conditionals are evaluated.
const REDUCED: [&str; 8] = ["BDEPEND", "DEPEND", "IDEPEND", "LICENSE", "PDEPEND", "PROPERTIES", "RDEPEND", "RESTRICT"];

/// A block by its keys' internal names, in the order they are written: upper case first, then `_mtime_` (written MTIME), then
/// `repository` (written REPO). Values are one line; none is empty. Kept as it is in a row of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stanza(BTreeMap<String, String>);

/// Why a block can't be read.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum StanzaError {
    /// A key without which a block means nothing.
    #[error("a block of the index has no usable {0}")]
    Missing(&'static str),
    /// A line that is no `KEY: value`.
    #[error("the index has no key in {0:?}")]
    BadLine(String),
}

/// The signed file a block is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Path below the index's folder.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Seconds since the epoch; equals the file's.
    pub mtime: u64,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex.
    pub sha1: String,
}

/// Values of the reduced keys of `metadata`; the key that can't be read, otherwise.
pub(crate) fn reduced(metadata: &Metadata) -> Result<BTreeMap<&'static str, String>, (&'static str, ReduceError)> {
    let flags = metadata.value("USE");
    let enabled: BTreeSet<&str> = flags.split_whitespace().collect();
    let mut values = BTreeMap::new();
    for key in REDUCED {
        let value =
            use_reduce(&metadata.value(key), &enabled, key.ends_with("DEPEND")).map_err(|error| (key, error))?;
        values.insert(key, value);
    }
    Ok(values)
}

impl Stanza {
    /// The block of a package with this metadata (its BUILD_ID being the final one) and file.
    pub(crate) fn of(
        cpv: &str,
        build_id: u32,
        metadata: &Metadata,
        file: &Listed,
    ) -> Result<Self, (&'static str, ReduceError)> {
        let mut keys: BTreeMap<String, String> =
            COPIED.iter().map(|key| ((*key).to_owned(), metadata.value(key))).collect();
        keys.extend(reduced(metadata)?.into_iter().map(|(key, value)| (key.to_owned(), value)));
        let file = [
            ("BUILD_ID", build_id.to_string()),
            ("CPV", cpv.to_owned()),
            ("MD5", file.md5.clone()),
            ("PATH", file.path.clone()),
            ("SHA1", file.sha1.clone()),
            ("SIZE", file.size.to_string()),
            ("_mtime_", file.mtime.to_string()),
        ];
        keys.extend(file.map(|(key, value)| (key.to_owned(), value)));
        keys.retain(|key, value| !value.is_empty() && !is_default(key, value));
        Ok(Self(keys))
    }

    /// A block out of a row; refused without CPV, PATH or a numeric BUILD_ID.
    pub fn from_map(keys: BTreeMap<String, String>) -> Result<Self, StanzaError> {
        for key in ["CPV", "PATH"] {
            if keys.get(key).is_none_or(String::is_empty) {
                return Err(StanzaError::Missing(key));
            }
        }
        let is_number = keys.get("BUILD_ID").is_some_and(|id| id.parse::<u32>().is_ok());
        let stanza = Self(keys);
        if is_number { Ok(stanza) } else { Err(StanzaError::Missing("BUILD_ID")) }
    }

    /// For a row.
    pub fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }

    /// A value by its internal name; empty if there is none.
    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// `category/name-version`.
    pub fn cpv(&self) -> &str {
        self.get("CPV")
    }

    /// BUILD_ID.
    pub fn build_id(&self) -> u32 {
        self.get("BUILD_ID").parse().unwrap_or(0)
    }

    /// Path below the index's folder.
    pub fn path(&self) -> &str {
        self.get("PATH")
    }

    /// The block's lines with the empty one behind them. A CHOST that is the header's is left out.
    pub fn render(&self, chost: &str) -> String {
        let mut text = String::with_capacity(640);
        for (key, value) in &self.0 {
            if value.is_empty() || is_default(key, value) || (key == "CHOST" && value == chost) {
                continue;
            }
            push_line(&mut text, written(key), value);
        }
        text.push('\n');
        text
    }

    /// Reads the lines of a block back.
    pub(crate) fn parse(block: &str, chost: &str) -> Result<Self, StanzaError> {
        let mut keys = parse_lines(block)?;
        for (written, internal) in [("MTIME", "_mtime_"), ("REPO", "repository")] {
            if let Some(value) = keys.remove(written) {
                keys.insert(internal.to_owned(), value);
            }
        }
        if !chost.is_empty() {
            keys.entry("CHOST".to_owned()).or_insert_with(|| chost.to_owned());
        }
        Self::from_map(keys)
    }
}

/// `KEY: value` lines as a map.
pub(crate) fn parse_lines(block: &str) -> Result<BTreeMap<String, String>, StanzaError> {
    let pair = |line: &str| {
        let (key, value) =
            line.split_once(": ").ok_or_else(|| StanzaError::BadLine(line.chars().take(80).collect()))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    block.lines().filter(|line| !line.is_empty()).map(pair).collect()
}

/// Appends one line; a line break within the value would forge another key, so it ends there.
pub(crate) fn push_line(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push_str(": ");
    text.push_str(value.lines().next().unwrap_or_default());
    text.push('\n');
}

fn written(key: &str) -> &str {
    match key {
        "_mtime_" => "MTIME",
        "repository" => "REPO",
        other => other,
    }
}

fn is_default(key: &str, value: &str) -> bool {
    matches!((key, value), ("EAPI" | "SLOT", "0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::sample;

    fn listed() -> Listed {
        Listed {
            path: "app-misc/hello/hello-1.1-1.gpkg.tar".to_owned(),
            size: 20480,
            mtime: 1_795_449_718,
            md5: "92ca5825b7aa32923af125f81ba2e995".to_owned(),
            sha1: "a96f1a22fbb6a4766a145081bd4a19e182aab594".to_owned(),
        }
    }

    fn stanza() -> Stanza {
        Stanza::of("app-misc/hello-1.1", 1, &sample().metadata(), &listed()).unwrap()
    }

    /// The block `emaint binhost --fix` of Portage 3.0.83 wrote for a package with the sample's metadata.
    const EMAINT: &str = "\
BUILD_ID: 1
BUILD_TIME: 1795449718
CPV: app-misc/hello-1.1
DEFINED_PHASES: compile install test unpack
DEPEND: dev-libs/libgreet:0/1=
EAPI: 8
IUSE: +color nls
KEYWORDS: amd64
LICENSE: MIT
MD5: 92ca5825b7aa32923af125f81ba2e995
PATH: app-misc/hello/hello-1.1-1.gpkg.tar
RDEPEND: dev-libs/libgreet:0/1=
REQUIRES: x86_64: libc.so.6 libgreet.so.1
SHA1: a96f1a22fbb6a4766a145081bd4a19e182aab594
SIZE: 20480
USE: amd64 color
MTIME: 1795449718
REPO: lab

";

    #[test]
    fn a_block_is_what_emaint_writes() {
        assert_eq!(stanza().render("x86_64-pc-linux-gnu"), EMAINT);
        assert!(stanza().render("other").contains("\nCHOST: x86_64-pc-linux-gnu\n"));
    }

    #[test]
    fn a_block_reads_back() {
        assert_eq!(Stanza::parse(EMAINT, "x86_64-pc-linux-gnu"), Ok(stanza()));
        let json = serde_json::to_string(&stanza()).unwrap();
        assert_eq!(serde_json::from_str::<Stanza>(&json).unwrap(), stanza());
        assert_eq!(Stanza::from_map(stanza().into_map()), Ok(stanza()));
    }

    #[test]
    fn defaults_are_left_out_and_conditionals_evaluated() {
        let metadata = sample()
            .with("EAPI", "0")
            .with("SLOT", "0/2")
            .with("RDEPEND", "color? ( a/b[nls?] ) nls? ( a/c )")
            .with("LICENSE", "nls? ( GPL-2 ) || ( MIT )")
            .metadata();
        let text = Stanza::of("app-misc/hello-1.1", 1, &metadata, &listed()).unwrap().render("");
        assert!(!text.contains("EAPI"));
        for line in ["SLOT: 0/2", "RDEPEND: a/b", "LICENSE: MIT", "CHOST: x86_64-pc-linux-gnu"] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }

    #[test]
    fn a_row_that_is_no_block_is_refused() {
        for key in ["CPV", "PATH", "BUILD_ID"] {
            let mut map = stanza().into_map();
            map.remove(key);
            assert_eq!(Stanza::from_map(map), Err(StanzaError::Missing(key)));
        }
        assert!(Stanza::parse("nonsense", "").is_err());
    }

    #[test]
    fn no_value_forges_a_line() {
        let mut map = stanza().into_map();
        map.insert("USE".to_owned(), "a\nPATH: ../../etc/shadow".to_owned());
        assert!(!Stanza::from_map(map).unwrap().render("").contains("shadow"));
    }
}
