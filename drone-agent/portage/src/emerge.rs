//! One build's emerge: the command line, its environment, and the look at the binhost before it begins.
//!
//! Nothing is started here; whoever calls does. Everything an emerge writes besides the root itself lies in folders of the
//! build's own.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use swarm_common::files::remove_tree;
use swarm_protocol::Cpv;
use swarm_protocol::order::BuildJob;
use swarm_protocol::report::{BinhostAccess, Failure, FailureClass, Phase};
use thiserror::Error;

use crate::binhost::{self, BinhostError};
use crate::root::{RootConfig, environment};
use crate::{layer, own_key};

/// Waits between looks at the binhost: three tries in seven seconds, so that a generation being published is waited for.
const RETRIES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// How long one look may take.
const LOOK: Duration = Duration::from_secs(10);
/// Most bytes of an index read in search of its TIMESTAMP; headers have 2 KB.
const MAX_HEADER: u64 = 256 << 10;

/// Why an emerge could not be prepared.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// The order names no package.
    #[error("order for {0:?} names no package version")]
    BadCpv(String),
    /// A line of package.use is none.
    #[error("{0:?} is not a package.use line")]
    BadLine(String),
    /// The binhost could not be configured.
    #[error("configure the binhost")]
    Binhost(#[from] BinhostError),
    /// A file could not be written.
    #[error("prepare the attempt's folders")]
    Io(#[from] io::Error),
}

/// Where a build's emerge writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// PKGDIR: the finished packages.
    pub packages: PathBuf,
    /// PORTAGE_TMPDIR.
    pub tmp: PathBuf,
    /// PORTAGE_LOGDIR.
    pub logs: PathBuf,
    /// PORTAGE_CONFIGROOT.
    pub config: PathBuf,
    /// Binary packages fetched from the binhost.
    pub fetched: PathBuf,
}

impl Folders {
    /// The folders of the build in `dir`.
    pub fn below(dir: &Path) -> Self {
        Self {
            packages: dir.join("packages"),
            tmp: dir.join("tmp"),
            logs: dir.join("logs"),
            config: dir.join("config"),
            fetched: dir.join("fetched"),
        }
    }

    fn all(&self) -> [&PathBuf; 5] {
        [&self.packages, &self.tmp, &self.logs, &self.config, &self.fetched]
    }

    /// Removes everything but the finished packages.
    pub fn clean(&self) -> io::Result<()> {
        for dir in self.all().into_iter().filter(|dir| **dir != self.packages) {
            remove_tree(dir)?;
        }
        Ok(())
    }
}

/// A command ready to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
}

/// Makes the build's folders and the command. `use_binhost` is what [`look`] said.
pub fn prepare(
    root: &RootConfig,
    job: &BuildJob,
    access: &BinhostAccess,
    use_binhost: bool,
    dir: &Path,
) -> Result<Prepared, PrepareError> {
    let folders = Folders::below(dir);
    let cpv: Cpv = job.cpv.parse().map_err(|_| PrepareError::BadCpv(job.cpv.clone()))?;
    if let Some(line) = job.package_use.iter().find(|line| !swarm_protocol::atom::is_package_use_line(line)) {
        return Err(PrepareError::BadLine(line.clone()));
    }
    folders.clean()?;
    for dir in folders.all() {
        fs::create_dir_all(dir)?;
    }
    let mut binrepos = None;
    if use_binhost {
        binhost::configure_binhost(root, access)?;
        // in a folder that goes with the build: the secret stays no longer than it is needed
        let wgetrc = binhost::write_wgetrc(access, &folders.fetched)?;
        binrepos = Some(binhost::binrepos(access, &folders.fetched, &wgetrc)?);
    }
    layer::make(root, &folders.config, &job.package_use, binrepos.as_deref())?;
    forget_index(root)?;
    let mut environment = environment(root);
    let at = |path: &Path| path.display().to_string();
    environment.extend(
        [
            ("PORTAGE_CONFIGROOT", at(&folders.config)),
            ("PKGDIR", at(&folders.packages)),
            ("PORTAGE_TMPDIR", at(&folders.tmp)),
            ("PORTAGE_LOGDIR", at(&folders.logs)),
            ("EMERGE_LOG_DIR", at(&folders.logs)),
            ("TMPDIR", at(&folders.tmp)),
            (crate::processes::MARK, at(dir)),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    if use_binhost {
        environment.extend(own_key::environment(root)?);
    }
    let program = root.emerge_program();
    Ok(Prepared { program, arguments: arguments(&cpv, job, use_binhost), environment })
}

fn arguments(cpv: &Cpv, job: &BuildJob, use_binhost: bool) -> Vec<OsString> {
    let mut line = vec!["--ignore-default-opts", "--oneshot", "--buildpkg"];
    let name = cpv.cp();
    if use_binhost {
        line.extend(["--getbinpkg", "--usepkg-exclude", &name, "--binpkg-respect-use=y"]);
    }
    line.extend(["--autounmask=n", "--jobs=1", "--nospinner", "--color=n"]);
    let mut target = format!("={cpv}");
    if !job.slot.is_empty() {
        target.push_str(&format!(":{}", job.slot));
    }
    if !job.repository.is_empty() {
        target.push_str(&format!("::{}", job.repository));
    }
    line.push(&target);
    line.into_iter().map(OsString::from).collect()
}

/// Portage keeps a copy of each index, told apart by host and path but not by port, and takes a new one only if its
/// TIMESTAMP is greater. Without the copy it always takes the new one.
fn forget_index(root: &RootConfig) -> io::Result<()> {
    remove_tree(&root.at("var/cache/edb/binhost"))
}

/// What one look at the binhost found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sight {
    /// An index of this TIMESTAMP.
    Index(u64),
    /// A binhost without an index.
    Empty,
    /// No answer, or nonsense.
    Nothing(String),
}

/// Makes sure that the binhost's index holds what the order needs. Says whether emerge shall use it: not
/// if there is none, or nothing in it yet and nothing needed. Blocks for seconds at worst.
pub fn look(access: &BinhostAccess, min_timestamp: u64, mut stop: impl FnMut() -> bool) -> Result<bool, Failure> {
    if access.url.is_empty() {
        if min_timestamp == 0 {
            return Ok(false);
        }
        return Err(failure(FailureClass::BinhostUnreachable, "the drone was told of no binhost".to_owned()));
    }
    let url = access.index_url();
    let mut waits = RETRIES.into_iter();
    loop {
        let sight = sight(access);
        let failed = match sight {
            Sight::Index(timestamp) if timestamp >= min_timestamp => return Ok(true),
            Sight::Empty if min_timestamp == 0 => return Ok(false),
            Sight::Index(timestamp) => failure(
                FailureClass::IndexTooOld,
                format!("the index of {url} has TIMESTAMP {timestamp}; {min_timestamp} is needed"),
            ),
            Sight::Empty => failure(
                FailureClass::IndexTooOld,
                format!("{url} has no index yet; TIMESTAMP {min_timestamp} is needed"),
            ),
            Sight::Nothing(why) => failure(FailureClass::BinhostUnreachable, format!("{url} does not answer: {why}")),
        };
        let Some(wait) = waits.next().filter(|_| !stop()) else { return Err(failed) };
        std::thread::sleep(wait);
    }
}

fn failure(class: FailureClass, message: String) -> Failure {
    Failure { class, phase: Some(Phase::Resolve), message, ..Default::default() }
}

fn sight(access: &BinhostAccess) -> Sight {
    let url = format!("{}/Packages", access.index_url().trim_end_matches('/'));
    let found = if let Some(path) = url.strip_prefix("file://") {
        match fs::File::open(path) {
            Ok(file) => timestamp(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Sight::Empty,
            Err(e) => return Sight::Nothing(e.to_string()),
        }
    } else {
        let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(LOOK)).build().into();
        let mut request = agent.get(&url);
        if !access.secret.is_empty() {
            request = request.header("Authorization", format!("Bearer {}", access.secret.0));
        }
        match request.call() {
            Ok(mut answer) => timestamp(answer.body_mut().as_reader()),
            Err(ureq::Error::StatusCode(404)) => return Sight::Empty,
            Err(e) => return Sight::Nothing(e.to_string()),
        }
    };
    match found {
        Ok(Some(timestamp)) => Sight::Index(timestamp),
        Ok(None) => Sight::Nothing(format!("{url} is no index")),
        Err(e) => Sight::Nothing(e.to_string()),
    }
}

/// TIMESTAMP of an index; only its header is read.
fn timestamp(index: impl Read) -> io::Result<Option<u64>> {
    for line in BufReader::new(index.take(MAX_HEADER)).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("TIMESTAMP:") {
            return Ok(value.trim().parse().ok());
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(dir: &Path) -> BinhostAccess {
        BinhostAccess { url: format!("file://{}", dir.display()), ..Default::default() }
    }

    #[test]
    fn the_line_names_version_slot_and_repository_and_never_takes_the_target_as_a_binary() {
        let job = BuildJob {
            cpv: "dev-libs/libgreet-2.0".to_owned(),
            slot: "2".to_owned(),
            repository: "lab".to_owned(),
            ..Default::default()
        };
        let line = arguments(&job.cpv.parse().unwrap(), &job, true);
        let line: Vec<&str> = line.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(line.last(), Some(&"=dev-libs/libgreet-2.0:2::lab"));
        assert!(line.windows(2).any(|pair| pair == ["--usepkg-exclude", "dev-libs/libgreet"]), "{line:?}");
        assert!(line.contains(&"--ignore-default-opts") && line.contains(&"--autounmask=n"));
    }

    #[test]
    fn an_index_new_enough_is_used_and_an_old_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Packages"), "ARCH: amd64\nTIMESTAMP: 100\nVERSION: 0\n\nCPV: a/b-1\n").unwrap();
        assert_eq!(look(&access(dir.path()), 100, || true), Ok(true));
        let refused = look(&access(dir.path()), 101, || true).unwrap_err();
        assert_eq!(refused.class, FailureClass::IndexTooOld);
        assert!(refused.message.contains("TIMESTAMP 100; 101"), "{}", refused.message);
    }

    #[test]
    fn an_empty_binhost_is_enough_for_an_order_that_needs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look(&access(dir.path()), 0, || true), Ok(false));
        assert_eq!(look(&access(dir.path()), 1, || true).unwrap_err().class, FailureClass::IndexTooOld);
    }

    #[test]
    fn a_binhost_that_does_not_answer_is_unreachable_whatever_is_needed() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let access = BinhostAccess { url: format!("http://127.0.0.1:{port}/x"), ..Default::default() };
        assert_eq!(look(&access, 0, || true).unwrap_err().class, FailureClass::BinhostUnreachable);
    }

    #[test]
    fn an_index_that_appears_while_waiting_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("Packages");
        fs::write(&index, "TIMESTAMP: 1\n\n").unwrap();
        let publish = || {
            fs::write(&index, "TIMESTAMP: 2\n\n").unwrap();
            false
        };
        assert_eq!(look(&access(dir.path()), 2, publish), Ok(true));
    }

    #[test]
    fn a_package_that_only_mentions_a_time_stamp_is_no_header() {
        assert_eq!(timestamp(&b"ARCH: x\n\nTIMESTAMP: 5\n"[..]).unwrap(), None);
    }
}
