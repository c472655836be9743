//! Makes the package clients get out of an uploaded one: BUILD_ID and path of the core's choice, every member signed,
//! the Manifest clear-signed; laid out as Portage lays out its own. The image is streamed and checked on the way.

use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use swarm_common::files::{create_folders, sync_folder};
use thiserror::Error;

use super::container::{BLOCK, RECORD, VERSION, header};
use super::durable;
use super::gpkg::{Limits, Opened, Problem, verify_member};
use super::manifest::{self, Summing, Sums};
use super::metadata::MetadataError;
use super::sign::{SignError, SigningKey};
use super::stanza::{Listed, Stanza};

/// Why a package could not be signed into its place. Nothing is left of the attempt.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The upload is not what [`super::gpkg::inspect`] takes.
    #[error("read the uploaded package {}", path.display())]
    Upload {
        /// The upload.
        path: PathBuf,
        /// What is wrong.
        #[source]
        problem: Problem,
    },
    /// Writing failed.
    #[error("write the package {}", path.display())]
    Write {
        /// The signed file.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// The new metadata could not be packed.
    #[error("give {} its BUILD_ID", path.display())]
    Metadata {
        /// The upload.
        path: PathBuf,
        /// What can not be packed.
        #[source]
        source: MetadataError,
    },
    /// Signing failed.
    #[error("sign the package {}", path.display())]
    Sign {
        /// The upload.
        path: PathBuf,
        /// What the signing said.
        #[source]
        source: SignError,
    },
}

/// A signed package at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Path below the index's folder, as it was ordered.
    pub path: String,
    /// Lower-case hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex.
    pub sha1: String,
    /// Seconds since the epoch; the file's own, which the index must name.
    pub mtime: u64,
    /// Its block in the index.
    pub stanza: Stanza,
}

/// Signs the upload `incoming` as BUILD_ID `build_id` to `path` below the index folder `index`; folders are made if they are not
/// there. Doing it again replaces the file. Durable when it returns; the upload stays.
pub fn sign_into(
    incoming: &Path,
    index: &Path,
    path: &str,
    build_id: u32,
    key: &SigningKey,
    limits: &Limits,
) -> Result<Signed, PublishError> {
    let upload = |problem| PublishError::Upload { path: incoming.to_owned(), problem };
    let opened = Opened::read(incoming, limits).map_err(upload)?;
    let target = index.join(path);
    let write = |source| PublishError::Write { path: target.clone(), source };
    let folder = target.parent().unwrap_or(index);
    create_folders(folder).map_err(write)?;
    let mut file = durable::temporary(folder).map_err(write)?;
    let now = durable::seconds(SystemTime::now());
    let job = Job { incoming, target: &target, opened, build_id, key, now };
    let (sums, metadata, cpv) = job.write(BufWriter::with_capacity(1 << 17, file.as_file_mut()))?;
    durable::place(file, &target, 0o644, now).map_err(write)?;
    sync_folder(folder).map_err(write)?;
    let listed = Listed { path: path.to_owned(), size: sums.size, mtime: now, md5: sums.md5, sha1: sums.sha1 };
    let stanza = Stanza::of(&cpv, build_id, &metadata, &listed)
        .map_err(|(key, source)| upload(Problem::Dependency { key, source }))?;
    let Listed { path, size, mtime, md5, sha1 } = listed;
    Ok(Signed { path, sha256: sums.sha256, size, md5, sha1, mtime, stanza })
}

struct Job<'a> {
    incoming: &'a Path,
    target: &'a Path,
    opened: Opened,
    build_id: u32,
    key: &'a SigningKey,
    now: u64,
}

impl Job<'_> {
    /// Writes the container; answers the sums of the file, the metadata in it and the package's name.
    fn write(mut self, out: impl Write) -> Result<(FileSums, super::metadata::Metadata, String), PublishError> {
        let folder = format!("{}-{}", self.opened.cpv.pf(), self.build_id);
        let mut container = Container { out: Summed::new(out), folder, now: self.now, manifest: String::new() };
        self.wrote(container.member(VERSION, b"", self.now))?;
        self.metadata(&mut container)?;
        self.image(&mut container)?;
        let signed = self.signed(self.key.clear_signed(&container.manifest))?;
        self.wrote(container.unlisted("Manifest", signed.as_bytes(), self.now))?;
        let sums = self.wrote(container.finish())?;
        Ok((sums, self.opened.metadata, self.opened.cpv.to_string()))
    }

    fn metadata(&mut self, container: &mut Container<impl Write>) -> Result<(), PublishError> {
        let member = self.opened.layout.metadata.clone();
        self.opened.metadata.set("BUILD_ID", &self.build_id.to_string());
        let packed = self
            .opened
            .metadata
            .pack(self.opened.packing, member.mtime)
            .map_err(|source| PublishError::Metadata { path: self.incoming.to_owned(), source })?;
        self.wrote(container.member(&member.name, &packed, member.mtime))?;
        let signature = self.signed(self.key.detached(packed.as_slice()))?;
        self.wrote(container.member(&format!("{}.sig", member.name), signature.as_bytes(), self.now))
    }

    /// One pass: the bytes go through the signature, the Manifest's sums, and into the file.
    fn image(&mut self, container: &mut Container<impl Write>) -> Result<(), PublishError> {
        let member = self.opened.layout.image.clone();
        self.wrote(container.head(&member.name, member.size, member.mtime))?;
        let file = &mut self.opened.file;
        file.seek(SeekFrom::Start(member.offset)).map_err(|source| self.upload(Problem::Read(source)))?;
        let mut tee = Tee {
            from: (&mut self.opened.file).take(member.size),
            to: &mut container.out,
            summing: Summing::default(),
        };
        let signature = self.key.detached(&mut tee);
        let sums = tee.summing.finish();
        let signature = self.signed(signature)?;
        verify_member(&member.name, &self.opened.records, &sums).map_err(|problem| self.upload(problem))?;
        self.wrote(container.pad(member.size))?;
        container.list(&member.name, &sums);
        self.wrote(container.member(&format!("{}.sig", member.name), signature.as_bytes(), self.now))
    }

    fn upload(&self, problem: Problem) -> PublishError {
        PublishError::Upload { path: self.incoming.to_owned(), problem }
    }

    fn wrote<T>(&self, done: io::Result<T>) -> Result<T, PublishError> {
        done.map_err(|source| PublishError::Write { path: self.target.to_owned(), source })
    }

    fn signed<T>(&self, done: Result<T, SignError>) -> Result<T, PublishError> {
        done.map_err(|source| PublishError::Sign { path: self.incoming.to_owned(), source })
    }
}

/// A container being written, with its Manifest so far.
struct Container<W> {
    out: Summed<W>,
    folder: String,
    now: u64,
    manifest: String,
}

impl<W: Write> Container<W> {
    fn member(&mut self, name: &str, content: &[u8], mtime: u64) -> io::Result<()> {
        self.unlisted(name, content, mtime)?;
        self.list(name, &Sums::of(content));
        Ok(())
    }

    fn unlisted(&mut self, name: &str, content: &[u8], mtime: u64) -> io::Result<()> {
        self.head(name, content.len() as u64, mtime)?;
        self.out.write_all(content)?;
        self.pad(content.len() as u64)
    }

    fn head(&mut self, name: &str, size: u64, mtime: u64) -> io::Result<()> {
        let mtime = if mtime == 0 { self.now } else { mtime };
        let header = header(&format!("{}/{name}", self.folder), size, mtime)?;
        self.out.write_all(header.as_bytes())
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        self.zeros(size.next_multiple_of(BLOCK) - size)
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(count), &mut self.out).map(|_| ())
    }

    fn list(&mut self, name: &str, sums: &Sums) {
        self.manifest.push_str(&manifest::line(name, sums));
        self.manifest.push('\n');
    }

    fn finish(mut self) -> io::Result<FileSums> {
        let end = (self.out.size + 2 * BLOCK).next_multiple_of(RECORD);
        self.zeros(end - self.out.size)?;
        self.out.flush()?;
        Ok(self.out.finish())
    }
}

/// Sums of the whole file, as index and rows want them.
struct FileSums {
    size: u64,
    sha256: String,
    md5: String,
    sha1: String,
}

/// A writer that sums what goes through it.
struct Summed<W> {
    out: W,
    size: u64,
    sha256: Sha256,
    md5: Md5,
    sha1: Sha1,
}

impl<W> Summed<W> {
    fn new(out: W) -> Self {
        Self { out, size: 0, sha256: Sha256::new(), md5: Md5::new(), sha1: Sha1::new() }
    }

    fn finish(self) -> FileSums {
        FileSums {
            size: self.size,
            sha256: hex::encode(self.sha256.finalize()),
            md5: hex::encode(self.md5.finalize()),
            sha1: hex::encode(self.sha1.finalize()),
        }
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        let done = &bytes[..written];
        self.size += written as u64;
        self.sha256.update(done);
        self.md5.update(done);
        self.sha1.update(done);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A reader that writes what it reads, and sums it.
struct Tee<R, W> {
    from: R,
    to: W,
    summing: Summing,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.from.read(buffer)?;
        self.summing.update(&buffer[..got]);
        self.to.write_all(&buffer[..got])?;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::gpkg::inspect;
    use crate::metadata::Packing;
    use crate::samples::{Sample, sample};

    struct Bench {
        dir: tempfile::TempDir,
        key: SigningKey,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let key = SigningKey::load_or_create(&dir.path().join("key"), "Test <test@test.invalid>").unwrap();
            Self { dir, key }
        }

        fn index(&self) -> PathBuf {
            self.dir.path().join("root/amd64/base/x86_64-pc-linux-gnu")
        }

        fn sign(&self, sample: &Sample, build_id: u32) -> Result<Signed, PublishError> {
            let upload = sample.write(self.dir.path());
            sign_into(&upload, &self.index(), &sample.path(build_id), build_id, &self.key, &Limits::default())
        }

        fn files(&self) -> Vec<String> {
            let folder = self.index().join("app-misc/hello");
            let mut names: Vec<String> = fs_err::read_dir(folder)
                .map(|entries| entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect())
                .unwrap_or_default();
            names.sort();
            names
        }
    }

    #[test]
    fn a_signed_package_is_sound_and_has_its_new_build_id() {
        let bench = Bench::new();
        for packing in [(Packing::Zstd, ".zst"), (Packing::Gzip, ".gz"), (Packing::Bzip2, ".bz2"), (Packing::None, "")]
        {
            let signed = bench.sign(&Sample { packing, ..sample() }, 7).unwrap();
            assert_eq!(signed.path, "app-misc/hello/hello-1.1-7.gpkg.tar");
            let target = bench.index().join(&signed.path);
            let found = inspect(&target, &Limits::default()).unwrap();
            assert_eq!((found.value("BUILD_ID"), &found.sha256, found.size), ("7", &signed.sha256, signed.size));
            let bytes = fs_err::read(&target).unwrap();
            assert_eq!(hex::encode(Md5::digest(&bytes)), signed.md5);
            assert_eq!(hex::encode(Sha1::digest(&bytes)), signed.sha1);
            assert_eq!(bytes.len() as u64 % RECORD, 0);
            let file = fs_err::metadata(&target).unwrap();
            assert_eq!((file.mtime() as u64, file.mtime_nsec()), (signed.mtime, 0));
            assert_eq!(file.permissions().mode() & 0o7777, 0o644);
        }
    }

    #[test]
    fn the_members_stand_in_portages_order_in_their_new_folder() {
        let bench = Bench::new();
        let signed = bench.sign(&sample(), 3).unwrap();
        let bytes = fs_err::read(bench.index().join(&signed.path)).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<String> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        let members =
            ["gpkg-1", "metadata.tar.zst", "metadata.tar.zst.sig", "image.tar.zst", "image.tar.zst.sig", "Manifest"];
        assert_eq!(names, members.map(|name| format!("hello-1.1-3/{name}")));
    }

    #[test]
    fn the_stanza_is_about_the_signed_file() {
        let bench = Bench::new();
        let signed = bench.sign(&sample(), 3).unwrap();
        let block = signed.stanza.render("x86_64-pc-linux-gnu");
        for line in [
            "BUILD_ID: 3".to_owned(),
            "CPV: app-misc/hello-1.1".to_owned(),
            format!("SIZE: {}", signed.size),
            format!("MD5: {}", signed.md5),
            format!("SHA1: {}", signed.sha1),
            format!("MTIME: {}", signed.mtime),
            format!("PATH: {}", signed.path),
        ] {
            assert!(block.lines().any(|found| found == line), "{line}: {block}");
        }
    }

    #[test]
    fn builds_with_other_use_flags_stand_side_by_side_and_a_repeat_replaces_itself() {
        let bench = Bench::new();
        bench.sign(&sample(), 1).unwrap();
        bench.sign(&sample().with("USE", "amd64 nls"), 2).unwrap();
        bench.sign(&sample(), 1).unwrap();
        assert_eq!(bench.files(), ["hello-1.1-1.gpkg.tar", "hello-1.1-2.gpkg.tar"]);
    }

    #[test]
    fn a_signed_package_can_be_signed_again() {
        let bench = Bench::new();
        let first = bench.sign(&sample(), 1).unwrap();
        let path = bench.index().join(first.path);
        let again = sign_into(&path, &bench.index(), &sample().path(2), 2, &bench.key, &Limits::default()).unwrap();
        assert!(inspect(&bench.index().join(again.path), &Limits::default()).is_ok());
    }

    #[test]
    fn a_refused_package_leaves_nothing_behind() {
        let bench = Bench::new();
        let manifest = sample().manifest();
        let mut evil = sample();
        evil.image[0] ^= 1;
        let upload = bench.dir.path().join("evil.gpkg.tar");
        fs_err::write(&upload, evil.build_with(&manifest)).unwrap();
        let refused = sign_into(&upload, &bench.index(), &evil.path(1), 1, &bench.key, &Limits::default()).unwrap_err();
        let PublishError::Upload { problem: Problem::Mismatch(member), .. } = refused else { panic!("{refused:?}") };
        assert_eq!(member, "image.tar.zst");
        assert_eq!(bench.files(), [] as [&str; 0]);
    }
}
