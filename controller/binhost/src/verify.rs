//! Rechecks what is published: every file against its row, each index against the rows, both trees for files nobody knows.
//! Reads at a bounded rate. What can be mended is: a file in the wrong tree is moved, a wrong time set right, a damaged
//! package leaves its index (and is queued again if that is wished), an index that is not what it should be is written anew.
//!
//! Runs beside the writer and changes no file the writer may touch; it tells the engine, which decides.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use swarm_common::files::create_folders;

use swarm_core::request::{DamagedRequest, ReindexRequest};
use swarm_core::rows::{ArtifactRow, ArtifactState, IndexKey, IndexRow};

use super::durable::{self, TEMPORARY};
use super::index::Index;
use super::service::Folders;

/// Findings kept; the rest is counted.
const MAX_FINDINGS: usize = 1_000;
/// Fewer packages than this may all be gone without it looking like a disk that is not there.
const FEW: usize = 4;
/// Looks at an index that may be on its way to the disk.
const INDEX_LOOKS: u32 = 10;
/// Between two of them.
const INDEX_WAIT: Duration = if cfg!(test) { Duration::from_millis(1) } else { Duration::from_secs(1) };
/// Bytes read at a time.
const PIECE: usize = 1 << 18;

/// CPV and BUILD_ID to path and size: what must agree between an index and the rows.
type Blocks = BTreeMap<(String, u32), (String, String)>;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Path below the binhost's folder, or the index's name.
    pub place: String,
    /// `category/name-version`, if it is about one.
    pub package: Option<String>,
    /// Number of the package.
    pub artifact: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// What was done about it; nothing could be if none.
    pub mended: Option<String>,
}

/// How far it is and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// It has not ended.
    pub running: bool,
    /// Packages to check.
    pub total: u64,
    /// Packages checked.
    pub checked: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Things found.
    pub found: u64,
    /// Of these mended.
    pub mended: u64,
    /// The first 1,000.
    pub findings: Vec<Finding>,
    /// Why it ended before its end.
    pub stopped: Option<String>,
}

impl Report {
    fn add(&mut self, finding: Finding) {
        self.found += 1;
        self.mended += u64::from(finding.mended.is_some());
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// What it looks at and whom it tells.
pub trait World {
    /// Committed rows of this moment.
    ///
    /// # Errors
    /// When they can't be read; said as text.
    fn rows(&self) -> Result<(Vec<ArtifactRow>, Vec<IndexRow>), String>;
    /// Says that a file is damaged; answers how many packages that touched.
    ///
    /// # Errors
    /// When it was not taken; said as text.
    fn damaged(&self, damage: DamagedRequest) -> Result<u64, String>;
    /// Has an index written anew; answers how many that touched.
    ///
    /// # Errors
    /// When it was not taken; said as text.
    fn reindex(&self, index: ReindexRequest) -> Result<u64, String>;
    /// The report has changed.
    fn show(&self, report: &Report);
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes read per second, at most.
    pub rate: u64,
    /// Damaged packages are queued to be built again.
    pub rebuild: bool,
    /// Also when most files are gone.
    pub force: bool,
}

/// Checks everything; blocks for as long as the rate makes it.
pub fn verify(folders: &Folders, options: &Options, world: &dyn World) -> Report {
    let mut verifier = Verifier { folders, options, world, report: Report { running: true, ..Report::default() } };
    if let Err(stopped) = verifier.run() {
        verifier.report.stopped = Some(stopped);
    }
    verifier.report.running = false;
    world.show(&verifier.report);
    verifier.report
}

struct Verifier<'a> {
    folders: &'a Folders,
    options: &'a Options,
    world: &'a dyn World,
    report: Report,
}

/// A published package.
struct Published<'a> {
    row: &'a ArtifactRow,
    path: &'a str,
    sha256: &'a str,
    size: u64,
    mtime: Option<u64>,
    restricted: bool,
}

fn published(row: &ArtifactRow) -> Option<Published<'_>> {
    let ArtifactState::Published { path, sha_out, size_out, stanza, .. } = &row.state else { return None };
    let mtime = stanza.get("_mtime_").and_then(|text| text.parse().ok());
    Some(Published { row, path, sha256: sha_out, size: *size_out, mtime, restricted: row.is_restricted() })
}

impl Verifier<'_> {
    fn run(&mut self) -> Result<(), String> {
        let (rows, _) = self.world.rows()?;
        let all: Vec<Published<'_>> = rows.iter().filter_map(published).collect();
        self.report.total = all.len() as u64;
        self.world.show(&self.report);
        let gone = all.iter().filter(|one| !self.file(one).exists() && !self.stray(one).exists()).count();
        if all.len() >= FEW && gone * 2 > all.len() && !self.options.force {
            return Err(format!(
                "{gone} of {} files are not there: is a disk not mounted? nothing was changed; force it if they are really lost",
                all.len()
            ));
        }
        for one in &all {
            self.package(one)?;
            self.report.checked += 1;
            self.world.show(&self.report);
        }
        self.strangers()?;
        let (_, indexes) = self.world.rows()?;
        for index in indexes {
            self.index(&index.index)?;
            self.world.show(&self.report);
        }
        Ok(())
    }

    fn file(&self, one: &Published<'_>) -> PathBuf {
        self.folders.of(&one.row.index, one.restricted).join(one.path)
    }

    /// Where it would lie in the other tree.
    fn stray(&self, one: &Published<'_>) -> PathBuf {
        self.folders.of(&one.row.index, !one.restricted).join(one.path)
    }

    fn package(&mut self, one: &Published<'_>) -> Result<(), String> {
        self.wrong_tree(one);
        let file = self.file(one);
        let reason = match self.read(&file) {
            Ok((size, _)) if size != one.size => format!("has {size} bytes, not {}", one.size),
            Ok((_, sha256)) if sha256 != one.sha256 => "has other content".to_owned(),
            Ok(_) => {
                self.time(one, &file);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => "is not there".to_owned(),
            Err(error) => {
                // the disk or its rights, not the package
                self.about(one, format!("can't be read: {error}"), None);
                return Ok(());
            }
        };
        let damage = DamagedRequest { artifact: one.row.id, reason: reason.clone(), rebuild: self.options.rebuild };
        // not published any more: it was retired meanwhile, and all is well
        if self.world.damaged(damage)? > 0 {
            let done = if self.options.rebuild { "left the index, queued again" } else { "left the index" };
            self.about(one, reason, Some(done.to_owned()));
        }
        Ok(())
    }

    /// What the public may not have must not lie where it looks, not for a moment longer.
    fn wrong_tree(&mut self, one: &Published<'_>) {
        let (file, stray) = (self.file(one), self.stray(one));
        if !stray.is_file() {
            return;
        }
        let parent = file.parent().unwrap_or(Path::new("/")).to_owned();
        let moved = if file.exists() {
            fs_err::remove_file(&stray)
        } else {
            create_folders(&parent).and_then(|()| fs_err::rename(&stray, &file))
        };
        let tree = if one.restricted { "public" } else { "restricted" };
        let mended = moved.map(|()| "moved to where it belongs".to_owned()).ok();
        self.about(one, format!("lies in the {tree} tree"), mended);
    }

    /// The index names the file's time, and clients compare.
    fn time(&mut self, one: &Published<'_>, file: &Path) {
        let Some(wanted) = one.mtime else { return };
        let found = fs_err::metadata(file).and_then(|found| found.modified()).map(durable::seconds);
        if found.as_ref().ok() == Some(&wanted) {
            return;
        }
        let opened = fs_err::OpenOptions::new().write(true).open(file);
        let set = opened.and_then(|opened| opened.file().set_modified(durable::at(wanted)));
        let mended = set.map(|()| "set right".to_owned()).ok();
        self.about(one, "has another time than the index says".to_owned(), mended);
    }

    fn about(&mut self, one: &Published<'_>, what: String, mended: Option<String>) {
        self.report.add(Finding {
            place: format!("{}/{}", one.row.index, one.path),
            package: Some(one.row.cpv.clone()),
            artifact: Some(one.row.id.0),
            what,
            mended,
        });
    }

    /// Size and SHA-256, read no faster than the rate allows.
    fn read(&mut self, path: &Path) -> io::Result<(u64, String)> {
        let mut file = fs_err::File::open(path)?;
        let (mut hash, mut size, mut buffer) = (Sha256::new(), 0_u64, vec![0; PIECE]);
        let began = Instant::now();
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                self.report.bytes += size;
                return Ok((size, hex::encode(hash.finalize())));
            }
            hash.update(&buffer[..count]);
            size += count as u64;
            let due = Duration::from_secs_f64(size as f64 / self.options.rate.max(1) as f64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
    }

    /// Files in the trees that no row stands for.
    fn strangers(&mut self) -> Result<(), String> {
        let mut candidates = Vec::new();
        for tree in [&self.folders.root, &self.folders.private] {
            for path in files_below(tree).map_err(|error| error.to_string())? {
                candidates.push((tree.clone(), path));
            }
        }
        // read after the walk: what was made meanwhile is known
        let (rows, _) = self.world.rows()?;
        let known: BTreeSet<PathBuf> = rows.iter().filter_map(|row| self.place_of(row)).collect();
        for (tree, path) in candidates.into_iter().filter(|(_, path)| !known.contains(path) && path.exists()) {
            let place = path.strip_prefix(&tree).unwrap_or(&path).display().to_string();
            let what = "belongs to nothing the swarm knows; remove it by hand if you do not know it either".to_owned();
            self.report.add(Finding { place, package: None, artifact: None, what, mended: None });
        }
        Ok(())
    }

    fn place_of(&self, row: &ArtifactRow) -> Option<PathBuf> {
        Some(self.folders.of(&row.index, row.is_restricted()).join(row.path()?))
    }

    fn index(&mut self, index: &IndexKey) -> Result<(), String> {
        for look in 1..=INDEX_LOOKS {
            let (rows, indexes) = self.world.rows()?;
            let Some(row) = indexes.iter().find(|row| row.index == *index) else { return Ok(()) };
            let wrong = self.wrong_index(row, &rows);
            match wrong {
                None => return Ok(()),
                // a generation may be on its way
                Some(_) if look < INDEX_LOOKS => std::thread::sleep(INDEX_WAIT),
                Some(what) => {
                    let told = self.world.reindex(ReindexRequest { index: index.clone() })?;
                    let mended = (told > 0).then(|| "written anew".to_owned());
                    let place = index.to_string();
                    self.report.add(Finding { place, package: None, artifact: None, what, mended });
                }
            }
        }
        Ok(())
    }

    /// What is wrong with an index on disk, if anything.
    fn wrong_index(&self, row: &IndexRow, rows: &[ArtifactRow]) -> Option<String> {
        let listed = |restricted_too: bool| -> Blocks {
            let here = rows.iter().filter(|artifact| artifact.index == row.index && artifact.is_listed());
            here.filter(|artifact| restricted_too || !artifact.is_restricted())
                .filter_map(|artifact| {
                    let ArtifactState::Published { build_id, path, size_out, .. } = &artifact.state else {
                        return None;
                    };
                    Some(((artifact.cpv.clone(), *build_id), (path.clone(), size_out.to_string())))
                })
                .collect()
        };
        let (public, complete) = (listed(false), listed(true));
        if row.timestamp == 0 {
            return None;
        }
        let folder = |restricted| self.folders.of(&row.index, restricted);
        let wrong = wrong_files(&folder(false), row.timestamp, &public);
        if complete.len() == public.len() {
            return wrong;
        }
        wrong.or_else(|| {
            wrong_files(&folder(true), row.timestamp, &complete).map(|what| format!("the complete one {what}"))
        })
    }
}

fn wrong_files(folder: &Path, timestamp: u64, expected: &Blocks) -> Option<String> {
    let text = match fs_err::read_to_string(folder.join("Packages")) {
        Ok(text) => text,
        Err(error) => return Some(format!("can't be read: {error}")),
    };
    let mut packed = String::new();
    let unpacked = fs_err::File::open(folder.join("Packages.gz"))
        .and_then(|file| flate2::read::MultiGzDecoder::new(file).read_to_string(&mut packed));
    if unpacked.is_err() || packed != text {
        return Some("is not the same in Packages and Packages.gz".to_owned());
    }
    let (index, found) = match Index::parse(&text) {
        Ok(parsed) => parsed,
        Err(error) => return Some(format!("is damaged: {error}")),
    };
    if found != timestamp {
        return Some(format!("has TIMESTAMP {found}, not {timestamp}"));
    }
    let blocks: Blocks = index
        .stanzas()
        .map(|one| ((one.cpv().to_owned(), one.build_id()), (one.path().to_owned(), one.get("SIZE").to_owned())))
        .collect();
    let first = |of: &Blocks, other: &Blocks| {
        let differs = of.iter().find(|(key, value)| other.get(*key) != Some(*value));
        differs.map(|((cpv, id), _)| format!("{cpv} (BUILD_ID {id})"))
    };
    match (first(expected, &blocks), first(&blocks, expected)) {
        (Some(lacking), _) => Some(format!("does not list {lacking} as it should")),
        (None, Some(more)) => Some(format!("lists {more}, which is not published")),
        (None, None) => None,
    }
}

/// Packages below a tree, without indexes, hidden and temporary files; links are not followed.
fn files_below(tree: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut pending) = (Vec::new(), vec![tree.to_owned()]);
    while let Some(folder) = pending.pop() {
        let entries = match fs_err::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let (kind, name) = (entry.file_type()?, entry.file_name());
            let name = name.to_string_lossy();
            let ours =
                matches!(name.as_ref(), "Packages" | "Packages.gz" | "binhost.asc") || name.starts_with(TEMPORARY);
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() && !ours {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
