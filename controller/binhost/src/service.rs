//! Carries out the engine's work for the binhost on a thread of its own: signatures, generations of indexes, uploads and
//! packages let go. What became of it goes back as inputs. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use swarm_common::errors::chain;
use swarm_common::files::{create_folders, sync_folder};
use swarm_core::effect::BinhostWork;
use swarm_core::files::SignedFile;
use swarm_core::rows::{ArtifactRow, ArtifactState, IndexKey, IndexRow};
use swarm_core::table::Source;
use swarm_core::{Input, Tell};
use swarm_protocol::ArtifactId;
use tracing::{error, info, warn};

use super::gpkg::Limits;
use super::pair::Pair;
use super::publish::sign_into;
use super::sign::SigningKey;
use super::stanza::Stanza;
use super::upload::path_of;

/// Where the binhost's files are.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Served to everybody.
    pub root: PathBuf,
    /// Served to whoever has the secret.
    pub private: PathBuf,
    /// Uploads on their way.
    pub incoming: PathBuf,
}

impl Folders {
    /// The folder of an index for public or restricted packages.
    pub fn of(&self, index: &IndexKey, restricted: bool) -> PathBuf {
        let tree = if restricted { &self.private } else { &self.root };
        tree.join(index.to_string())
    }
}

/// Removes uploads that nobody waits for: the controller ended between taking the file and writing that down, and what was
/// not acknowledged is sent again.
fn sweep(incoming: &Path, wanted: &BTreeSet<PathBuf>) {
    let Ok(entries) = fs_err::read_dir(incoming) else { return };
    let files = entries.filter_map(Result::ok).map(|entry| entry.path());
    let number = |path: &Path| path.file_name()?.to_str()?.strip_suffix(".gpkg.tar")?.parse::<u64>().ok();
    for stale in files.filter(|path| number(path).is_some() && !wanted.contains(path)) {
        info!(file = %stale.display(), "removing an upload that nobody waits for");
        remove_upload(&stale);
    }
}

/// The one writer of the binhost's files.
pub struct Service {
    folders: Folders,
    key: SigningKey,
    limits: Limits,
    indexes: BTreeMap<String, Pair>,
}

impl Service {
    /// Takes up the indexes as the rows have them. A published package whose file is gone is left out of its index, loudly;
    /// one whose file lies in the other tree is moved to where it belongs.
    ///
    /// # Errors
    /// When the rows can't be read.
    pub fn load<S: Source>(folders: Folders, key: SigningKey, limits: Limits, rows: &S) -> Result<Self, S::Error> {
        let mut indexes: BTreeMap<String, Pair> = BTreeMap::new();
        let mut wanted = BTreeSet::new();
        for row in rows.rows::<IndexRow>()? {
            indexes.insert(row.index.to_string(), Pair::new(row.header));
        }
        for row in rows.rows::<ArtifactRow>()? {
            let restricted = row.is_restricted();
            if matches!(row.state, ArtifactState::Uploaded { .. }) {
                wanted.insert(path_of(&folders.incoming, row.id.0));
            }
            let ArtifactState::Published { path, size_out, stanza, .. } = row.state else { continue };
            let file = folders.of(&row.index, restricted).join(&path);
            let stray = folders.of(&row.index, !restricted).join(&path);
            if !file.exists() && stray.is_file() {
                move_to(&stray, &file);
            }
            let size = fs_err::metadata(&file).map(|file| file.len()).ok();
            match Stanza::from_map(stanza) {
                Ok(stanza) if size == Some(size_out) => {
                    indexes.entry(row.index.to_string()).or_default().insert(stanza);
                }
                Ok(_) => {
                    error!(package = %row.cpv, file = %file.display(), ?size, "a published package is not as it was; left out of its index; `swarm binhost verify` says more")
                }
                Err(reason) => {
                    error!(package = %row.cpv, %reason, "a published package has no usable block; left out of its index")
                }
            }
        }
        sweep(&folders.incoming, &wanted);
        Ok(Self { folders, key, limits, indexes })
    }

    /// Works until nobody can send work any more.
    pub fn run(mut self, work: &mpsc::Receiver<BinhostWork>, engine: &dyn Tell) {
        while let Ok(task) = work.recv() {
            if let Some(news) = self.carry_out(task)
                && engine.tell_blocking(news).is_err()
            {
                return;
            }
        }
    }

    fn carry_out(&mut self, task: BinhostWork) -> Option<Input> {
        match task {
            BinhostWork::Sign { artifact, index, build_id, path, restricted } => {
                let folder = self.folders.of(&index, restricted);
                Some(self.sign(artifact, &folder, &path, build_id))
            }
            BinhostWork::WriteIndex { index, timestamp, header, add, remove } => {
                Some(self.write(index, timestamp, header, add, remove))
            }
            BinhostWork::RemovePackage { artifact, index, path, restricted } => {
                Some(self.remove_package(artifact, &index, &path, restricted))
            }
            BinhostWork::DropUpload { artifact } => {
                remove_upload(&path_of(&self.folders.incoming, artifact.0));
                None
            }
        }
    }

    fn sign(&self, artifact: ArtifactId, folder: &Path, path: &str, build_id: u32) -> Input {
        let incoming = path_of(&self.folders.incoming, artifact.0);
        match sign_into(&incoming, folder, path, build_id, &self.key, &self.limits) {
            Ok(signed) => {
                let file = SignedFile {
                    path: signed.path,
                    sha256: signed.sha256,
                    size: signed.size,
                    stanza: signed.stanza.into_map(),
                };
                Input::Signed { artifact, file }
            }
            Err(error) => Input::SigningFailed { artifact, reason: chain(&error) },
        }
    }

    fn write(
        &mut self,
        index: IndexKey,
        timestamp: u64,
        header: BTreeMap<String, String>,
        add: Vec<(ArtifactId, BTreeMap<String, String>)>,
        remove: Vec<(String, u32)>,
    ) -> Input {
        let kept = self.indexes.entry(index.to_string()).or_default();
        kept.set_header(header);
        for (artifact, stanza) in add {
            // Published and on disk, or this work would not be here: the upload has done its duty.
            remove_upload(&path_of(&self.folders.incoming, artifact.0));
            match Stanza::from_map(stanza) {
                Ok(stanza) => kept.insert(stanza),
                Err(reason) => error!(%artifact, %reason, "a block can't be listed"),
            }
        }
        for (cpv, build_id) in remove {
            kept.remove(&cpv, build_id);
        }
        let (public, private) = (self.folders.of(&index, false), self.folders.of(&index, true));
        match kept.write(&public, &private, timestamp) {
            Ok(_) => Input::IndexWritten { index, timestamp },
            Err(error) => Input::IndexFailed { index, reason: chain(&error) },
        }
    }

    /// Removes the file, and the folders of its name and category if nothing else is in them.
    fn remove_package(&self, artifact: ArtifactId, index: &IndexKey, path: &str, restricted: bool) -> Input {
        let folder = self.folders.of(index, restricted);
        let file = folder.join(path);
        match fs_err::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Input::RemovalFailed { artifact, reason: error.to_string() };
            }
            Ok(()) | Err(_) => {}
        }
        for above in file.ancestors().skip(1).take_while(|above| **above != folder) {
            // one that is not empty stays
            if std::fs::remove_dir(above).is_err() {
                break;
            }
        }
        Input::PackageRemoved { artifact }
    }
}

fn move_to(stray: &Path, file: &Path) {
    let moved = match file.parent() {
        Some(folder) => {
            create_folders(folder).and_then(|()| fs_err::rename(stray, file)).and_then(|()| sync_folder(folder))
        }
        None => Ok(()),
    };
    match moved {
        Ok(()) => warn!(from = %stray.display(), to = %file.display(), "a package lay where it does not belong; moved"),
        Err(error) => error!(%error, "a package lies where it does not belong and can't be moved"),
    }
}

fn remove_upload(path: &Path) {
    if let Err(error) = fs_err::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        warn!(%error, "an upload could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{Sample, sample};

    struct Bench {
        dir: tempfile::TempDir,
        service: Service,
    }

    fn index() -> IndexKey {
        IndexKey { arch: "amd64".to_owned(), profile: "base".to_owned(), chost: "x86_64-pc-linux-gnu".to_owned() }
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            let folders = Folders { root: at("root"), private: at("private"), incoming: at("incoming") };
            fs_err::create_dir(&folders.incoming).unwrap();
            let key = SigningKey::load_or_create(&at("key"), "Test <test@test.invalid>").unwrap();
            let service = Service { folders, key, limits: Limits::default(), indexes: BTreeMap::new() };
            Self { dir, service }
        }

        /// Signs and lists a package; answers its path.
        fn publish(&mut self, id: u64, sample: &Sample, restricted: bool) -> String {
            self.publish_to(id, sample, sample.path(1), restricted)
        }

        fn publish_to(&mut self, id: u64, sample: &Sample, path: String, restricted: bool) -> String {
            let incoming = path_of(&self.service.folders.incoming, id);
            fs_err::write(&incoming, sample.build()).unwrap();
            let artifact = ArtifactId(id);
            let work = BinhostWork::Sign { artifact, index: index(), build_id: 1, path, restricted };
            let Some(Input::Signed { file, .. }) = self.service.carry_out(work) else { panic!("not signed") };
            self.write(1_700_000_000 + id, vec![(artifact, file.stanza)], Vec::new());
            assert!(!incoming.exists());
            file.path
        }

        fn write(
            &mut self,
            timestamp: u64,
            add: Vec<(ArtifactId, BTreeMap<String, String>)>,
            remove: Vec<(String, u32)>,
        ) {
            let work = BinhostWork::WriteIndex { index: index(), timestamp, header: BTreeMap::new(), add, remove };
            assert_eq!(self.service.carry_out(work), Some(Input::IndexWritten { index: index(), timestamp }));
        }

        fn has(&self, path: &str) -> bool {
            self.dir.path().join(path).exists()
        }

        fn listed(&self, tree: &str) -> String {
            let path = self.dir.path().join(format!("{tree}/{}/Packages", index()));
            fs_err::read_to_string(path).unwrap_or_default()
        }
    }

    #[test]
    fn a_start_removes_the_uploads_nobody_waits_for_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let [wanted, stale] = [7, 8].map(|id| path_of(dir.path(), id));
        let other = dir.path().join("notes.txt");
        for file in [&wanted, &stale, &other] {
            fs_err::write(file, "x").unwrap();
        }
        sweep(dir.path(), &[wanted.clone()].into());
        assert!(wanted.exists() && other.exists() && !stale.exists());
    }

    #[test]
    fn a_package_lies_where_the_core_orders_it() {
        let mut bench = Bench::new();
        let ordered = "elsewhere/by-order-1.gpkg.tar";
        assert_eq!(bench.publish_to(1, &sample(), ordered.to_owned(), false), ordered);
        assert!(bench.has(&format!("root/{}/{ordered}", index())));
        assert!(!bench.has(&format!("root/{}/{}", index(), sample().path(1))));
        assert!(bench.listed("root").contains(&format!("PATH: {ordered}\n")), "{}", bench.listed("root"));
    }

    #[test]
    fn a_restricted_package_never_lies_in_the_public_tree() {
        let mut bench = Bench::new();
        let bound = Sample { folder: "bound-1-1".to_owned(), ..sample().with("PF", "bound-1") };
        bench.publish(1, &sample(), false);
        let path = bench.publish(2, &bound.with("RESTRICT", "color? ( bindist )"), true);
        assert!(bench.has(&format!("private/{}/{path}", index())));
        assert!(!bench.has(&format!("root/{}/{path}", index())));
        assert!(!bench.listed("root").contains("bound") && bench.listed("root").contains("app-misc/hello-1.1"));
        assert!(bench.listed("private").contains("bound") && bench.listed("private").contains("app-misc/hello-1.1"));
        bench.write(1_700_000_010, Vec::new(), vec![("app-misc/bound-1".to_owned(), 1)]);
        assert_eq!(bench.listed("private"), "");
    }

    #[test]
    fn a_removed_package_takes_its_empty_folders_along_and_removing_it_again_is_fine() {
        let mut bench = Bench::new();
        let path = bench.publish(1, &sample(), false);
        let folder = format!("root/{}", index());
        let work = BinhostWork::RemovePackage { artifact: ArtifactId(1), index: index(), path, restricted: false };
        for _ in 0..2 {
            let gone = Input::PackageRemoved { artifact: ArtifactId(1) };
            assert_eq!(bench.service.carry_out(work.clone()), Some(gone));
            assert!(!bench.has(&format!("{folder}/app-misc")) && bench.has(&format!("{folder}/Packages")));
        }
    }

    #[test]
    fn a_file_that_cannot_be_removed_says_why() {
        let bench = Bench::new();
        let folder = bench.service.folders.of(&index(), false);
        // a folder with something in it stands where the file should be
        fs_err::create_dir_all(folder.join("a/b/b-1-1.gpkg.tar/x")).unwrap();
        let told = bench.service.remove_package(ArtifactId(1), &index(), "a/b/b-1-1.gpkg.tar", false);
        assert!(matches!(told, Input::RemovalFailed { reason, .. } if reason.contains("b-1-1.gpkg.tar")));
    }

    #[test]
    fn a_package_in_the_wrong_tree_is_moved() {
        let bench = Bench::new();
        let (stray, file) = (bench.dir.path().join("root/x/a"), bench.dir.path().join("private/x/a"));
        fs_err::create_dir_all(stray.parent().unwrap()).unwrap();
        fs_err::write(&stray, "x").unwrap();
        move_to(&stray, &file);
        assert!(file.exists() && !stray.exists());
    }
}
