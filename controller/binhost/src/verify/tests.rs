//! A published folder is harmed in every way we know.

use std::cell::RefCell;
use swarm_core::Request;
use swarm_core::request::{DamagedRequest, ReindexRequest};

use swarm_protocol::{ArtifactId, DroneId, Fence};

use super::*;
use crate::gpkg::Limits;
use crate::pair::Pair;
use crate::publish::sign_into;
use crate::samples::{Sample, sample};
use crate::sign::SigningKey;

const TIMESTAMP: u64 = 1_700_000_000;

/// A binhost with three public packages, one restricted, and the rows of all.
struct Shop {
    dir: tempfile::TempDir,
    folders: Folders,
    artifacts: RefCell<Vec<ArtifactRow>>,
    told: RefCell<Vec<Request>>,
}

fn index() -> IndexKey {
    IndexKey { arch: "amd64".to_owned(), profile: "base".to_owned(), chost: "x86_64-pc-linux-gnu".to_owned() }
}

fn named(pf: &str) -> Sample {
    Sample { folder: format!("{pf}-1"), ..sample().with("PF", pf) }
}

impl Shop {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let folders = Folders { root: at("root"), private: at("private"), incoming: at("incoming") };
        let key = SigningKey::load_or_create(&at("key"), "Test <test@test.invalid>").unwrap();
        let (mut pair, mut artifacts) = (Pair::new([("ARCH".to_owned(), "amd64".to_owned())].into()), Vec::new());
        let samples = [named("one-1"), named("two-1"), named("three-1"), named("bound-1").with("RESTRICT", "bindist")];
        for (id, sample) in (1..).zip(samples) {
            let restricted = sample.keys.iter().any(|(key, _)| key == "RESTRICT");
            let upload = sample.write(dir.path());
            let folder = folders.of(&index(), restricted);
            let signed = sign_into(&upload, &folder, &sample.path(1), 1, &key, &Limits::default()).unwrap();
            pair.insert(signed.stanza.clone());
            artifacts.push(ArtifactRow {
                id: ArtifactId(id),
                index: index(),
                fence: Fence::default(),
                drone: DroneId::default(),
                cpv: signed.stanza.cpv().to_owned(),
                slot: "0".to_owned(),
                repository: "lab".to_owned(),
                use_flags: Vec::new(),
                sha_in: String::new(),
                size_in: 1,
                state: ArtifactState::Published {
                    build_id: 1,
                    path: signed.path,
                    sha_out: signed.sha256,
                    size_out: signed.size,
                    stanza: signed.stanza.into_map(),
                    listed: Some(TIMESTAMP),
                    at: 1,
                },
                pinned: None,
                imported: None,
            });
        }
        pair.write(&folders.of(&index(), false), &folders.of(&index(), true), TIMESTAMP).unwrap();
        Self { dir, folders, artifacts: RefCell::new(artifacts), told: RefCell::default() }
    }

    fn verify_with(&self, options: &Options) -> Report {
        verify(&self.folders, options, self)
    }

    fn verify(&self) -> Report {
        self.verify_with(&Options { rate: u64::MAX, rebuild: false, force: false })
    }

    fn file(&self, pf: &str) -> PathBuf {
        let tree = if pf == "bound-1" { &self.folders.private } else { &self.folders.root };
        let name = pf.strip_suffix("-1").unwrap();
        tree.join(index().to_string()).join(format!("app-misc/{name}/{pf}-1.gpkg.tar"))
    }

    fn packages(&self, restricted: bool) -> PathBuf {
        self.folders.of(&index(), restricted).join("Packages")
    }
}

impl World for Shop {
    fn rows(&self) -> Result<(Vec<ArtifactRow>, Vec<IndexRow>), String> {
        let row = IndexRow { index: index(), header: BTreeMap::new(), timestamp: TIMESTAMP };
        Ok((self.artifacts.borrow().clone(), vec![row]))
    }

    fn damaged(&self, damage: DamagedRequest) -> Result<u64, String> {
        self.artifacts.borrow_mut().retain(|row| row.id != damage.artifact);
        self.told.borrow_mut().push(damage.into());
        Ok(1)
    }

    fn reindex(&self, index: ReindexRequest) -> Result<u64, String> {
        self.told.borrow_mut().push(index.into());
        Ok(1)
    }

    fn show(&self, _: &Report) {}
}

fn whats(report: &Report) -> Vec<(String, String, Option<String>)> {
    let findings = report.findings.iter();
    findings.map(|one| (one.package.clone().unwrap_or_default(), one.what.clone(), one.mended.clone())).collect()
}

#[test]
fn a_sound_binhost_has_nothing_to_say() {
    let shop = Shop::new();
    let report = shop.verify();
    assert_eq!((report.checked, report.total, report.found, report.stopped), (4, 4, 0, None));
    assert!(report.bytes > 4 * 10_240 && !report.running);
    assert!(shop.told.borrow().is_empty());
}

#[test]
fn damaged_and_missing_files_leave_the_index() {
    let shop = Shop::new();
    fs_err::remove_file(shop.file("one-1")).unwrap();
    let mut bytes = fs_err::read(shop.file("two-1")).unwrap();
    bytes[5000] ^= 1;
    fs_err::write(shop.file("two-1"), &bytes).unwrap();
    fs_err::write(shop.file("bound-1"), &bytes[..1000]).unwrap();
    let report = shop.verify_with(&Options { rate: u64::MAX, rebuild: true, force: true });
    let left = Some("left the index, queued again".to_owned());
    let size = shop.told.borrow().len();
    assert_eq!(size, 4, "three packages and the index: {:?}", shop.told.borrow());
    let found = whats(&report);
    assert_eq!(found[0], ("app-misc/one-1".to_owned(), "is not there".to_owned(), left.clone()));
    assert_eq!(found[1], ("app-misc/two-1".to_owned(), "has other content".to_owned(), left.clone()));
    assert!(found[2].1.starts_with("has 1000 bytes, not ") && found[2].2 == left, "{found:?}");
    let told = shop.told.borrow();
    let damaged = |id| {
        told.iter().any(
            |one| matches!(one, Request::Damaged(DamagedRequest { artifact, rebuild: true, .. }) if artifact.0 == id),
        )
    };
    assert!(damaged(1) && damaged(2) && damaged(4) && !damaged(3));
}

#[test]
fn a_disk_that_is_not_mounted_takes_nothing_out() {
    let shop = Shop::new();
    for pf in ["one-1", "two-1", "three-1"] {
        fs_err::remove_file(shop.file(pf)).unwrap();
    }
    let report = shop.verify();
    assert!(report.stopped.as_ref().is_some_and(|text| text.contains("3 of 4 files are not there")), "{report:?}");
    assert!(shop.told.borrow().is_empty());
    let forced = shop.verify_with(&Options { rate: u64::MAX, rebuild: false, force: true });
    assert_eq!(
        (
            forced.stopped,
            shop.told.borrow().iter().filter(|one| matches!(one, Request::Damaged(DamagedRequest { .. }))).count()
        ),
        (None, 3)
    );
}

#[test]
fn a_restricted_file_in_the_public_tree_is_moved_and_a_copy_removed() {
    let shop = Shop::new();
    let stray = shop.folders.root.join(index().to_string()).join("app-misc/bound/bound-1-1.gpkg.tar");
    for keep in [false, true] {
        fs_err::create_dir_all(stray.parent().unwrap()).unwrap();
        fs_err::copy(shop.file("bound-1"), &stray).unwrap();
        let right = fs_err::metadata(shop.file("bound-1")).unwrap().modified().unwrap();
        fs_err::OpenOptions::new().write(true).open(&stray).unwrap().set_modified(right).unwrap();
        if !keep {
            fs_err::remove_file(shop.file("bound-1")).unwrap();
        }
        let report = shop.verify();
        assert_eq!(
            whats(&report),
            [(
                "app-misc/bound-1".to_owned(),
                "lies in the public tree".to_owned(),
                Some("moved to where it belongs".to_owned()),
            )]
        );
        assert!(shop.file("bound-1").exists() && !stray.exists());
    }
}

#[test]
fn a_time_that_is_not_the_indexes_is_set_right() {
    let shop = Shop::new();
    let file = fs_err::OpenOptions::new().write(true).open(shop.file("one-1")).unwrap();
    file.set_modified(durable::at(5)).unwrap();
    let report = shop.verify();
    assert_eq!((report.found, report.mended), (1, 1), "{report:?}");
    assert_eq!(shop.verify().found, 0);
}

#[test]
fn files_nobody_knows_are_named_and_left_alone() {
    let shop = Shop::new();
    let strange = shop.folders.root.join("amd64/base/notes.txt");
    fs_err::write(&strange, "x").unwrap();
    fs_err::write(shop.folders.root.join("binhost.asc"), "key").unwrap();
    fs_err::write(shop.folders.root.join("amd64/.swarm-x"), "being written").unwrap();
    fs_err::os::unix::fs::symlink("base", shop.folders.root.join("amd64/stable")).unwrap();
    // one on its way into an index, and one on its way out
    for (name, id) in [("four", 8), ("five", 9)] {
        let folder = shop.folders.root.join(index().to_string()).join(format!("app-misc/{name}"));
        fs_err::create_dir_all(&folder).unwrap();
        let path = format!("app-misc/{name}/{name}-1-2.gpkg.tar");
        fs_err::write(shop.folders.root.join(index().to_string()).join(&path), "x").unwrap();
        let mut row = shop.artifacts.borrow()[0].clone();
        (row.id, row.cpv) = (ArtifactId(id), format!("app-misc/{name}-1"));
        row.state = if id == 8 {
            ArtifactState::Uploaded { build_id: 2, restrict: String::new() }
        } else {
            let (why, delete_at) = (String::new(), Some(1));
            ArtifactState::Retired { build_id: 2, path, size: 1, restricted: false, why, delete_at }
        };
        shop.artifacts.borrow_mut().push(row);
    }
    let report = shop.verify();
    assert_eq!((report.found, report.mended, report.findings[0].place.as_str()), (1, 0, "amd64/base/notes.txt"));
    assert!(strange.exists());
}

#[test]
fn an_index_that_is_not_what_the_rows_say_is_written_anew() {
    type Harm = fn(&Shop);
    let harms: [(&str, Harm); 5] = [
        ("does not list app-misc/two-1", |shop| rewrite(shop, false, |text| text.replace("two-1", "tow-1"))),
        ("is not the same in", |shop| fs_err::write(shop.packages(false), "TIMESTAMP: 5\n\n").unwrap()),
        ("can't be read", |shop| fs_err::remove_file(shop.packages(false)).unwrap()),
        ("has TIMESTAMP 1, not", |shop| {
            rewrite(shop, false, |text| text.replace("TIMESTAMP: 1700000000", "TIMESTAMP: 1"))
        }),
        ("the complete one does not list app-misc/bound-1", |shop| {
            rewrite(shop, true, |text| text.replace("bound-1", "bnd-1"))
        }),
    ];
    for (expected, harm) in harms {
        let shop = Shop::new();
        harm(&shop);
        let report = shop.verify();
        assert_eq!(report.found, 1, "{expected}: {report:?}");
        assert!(report.findings[0].what.contains(expected), "{expected}: {report:?}");
        assert_eq!(*shop.told.borrow(), [Request::Reindex(ReindexRequest { index: index() })], "{expected}");
    }
}

fn rewrite(shop: &Shop, restricted: bool, change: fn(String) -> String) {
    let path = shop.packages(restricted);
    let text = change(fs_err::read_to_string(&path).unwrap());
    fs_err::write(&path, &text).unwrap();
    fs_err::write(path.with_extension("gz"), crate::chunks::gzip(text.as_bytes()).unwrap()).unwrap();
}

#[test]
fn it_reads_no_faster_than_it_may() {
    let shop = Shop::new();
    let began = Instant::now();
    let report = shop.verify_with(&Options { rate: 400 << 10, rebuild: false, force: false });
    // a machine can only be slower than that
    let least = Duration::from_secs_f64(report.bytes as f64 / f64::from(400 << 10) * 0.9);
    assert!(began.elapsed() >= least, "{:?} for {} bytes", began.elapsed(), report.bytes);
    assert!(shop.dir.path().exists());
}
