//! The binhost's index beside `emaint binhost --fix`: built from the files of ten thousand packages, and one more package
//! among them. All contenders see the same files; their indexes must be equal but for TIMESTAMP.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use swarm_binhost::gpkg::Limits;
use swarm_binhost::index::Index;
use swarm_binhost::{durable, scan};
use swarm_portage::{RootConfig, RootSpec, create, environment, inspect};
use swarm_tests::figures::{Aim, Figure, median};
use swarm_tests::packages::Package;
use swarm_tests::tools;

use crate::{Scale, usage};

/// The Portage whose index is kept up to date, not made anew each time, and so the fair opponent.
const FAIR: &str = "3.0.82.2";
/// The newest: it reads every package anew each time.
const NEWEST: &str = "3.0.83";
/// Portage profile of the demo repository for this machine.
const PROFILE: &str = if cfg!(target_arch = "aarch64") { "default/arm64" } else { "default/amd64" };

/// Measures.
///
/// # Errors
/// When something does not work, or the indexes differ.
pub fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let count = scale.pick(30, 10_000);
    let packages = scale.dir.join("packages");
    for number in 0..count {
        Package::numbered(number).write(&packages)?;
    }
    let changed = packages.join(relative(&Package::numbered(count / 2))?);
    let contenders = [FAIR, NEWEST].map(|version| Emaint::make(scale, version, &packages));
    let [fair, newest] = contenders;
    let (fair, newest) = (fair?, newest?);
    let native = copy(&packages, &scale.dir.join("native"))?;
    let mut seen = Seen::default();
    for round in 0..scale.rounds(2) {
        seen.fair_cold.push(fair.cold()?);
        seen.newest_cold.push(newest.cold()?);
        if round == 0 {
            // the header is the builder's own, as a drone reports it
            fs_err::write(native.join("Packages"), head(&fair.text()?))?;
        }
        for _ in 0..scale.pick(1, 3) {
            seen.native_cold.push(indexed(&native)?);
        }
        equal(&fair, &newest, &native)?;
        for _ in 0..scale.pick(1, 3) {
            seen.fair_one.push(fair.one_changed(&packages, &changed)?);
        }
        seen.newest_one.push(newest.one_changed(&packages, &changed)?);
        seen.native_one.extend(one_more(scale, &native)?);
    }
    Ok(figures(count, &seen))
}

/// Seconds of each contender.
#[derive(Default)]
struct Seen {
    fair_cold: Vec<f64>,
    newest_cold: Vec<f64>,
    native_cold: Vec<f64>,
    fair_one: Vec<f64>,
    newest_one: Vec<f64>,
    native_one: Vec<f64>,
}

fn figures(count: u64, seen: &Seen) -> Vec<Figure> {
    let milliseconds = |seconds: &[f64]| seconds.iter().map(|value| value * 1e3).collect::<Vec<f64>>();
    // each round of theirs against the median of ours
    let ratio = |theirs: &[f64], ours: &[f64]| theirs.iter().map(|value| value / median(ours)).collect::<Vec<f64>>();
    let emaint = |version: &str, what: &str| format!("`emaint binhost --fix` of Portage {version}, {what}");
    let (from_files, one) = (format!("index of {count} packages from their files"), "one of them changed");
    vec![
        Figure::new(
            "index/add",
            format!("one package into an index of {count}: both files written and on disk"),
            "ms",
            milliseconds(&seen.native_one),
        )
        .aim(Aim::AtMost(20.0)),
        Figure::new("index/add emaint 3.0.82.2", emaint(FAIR, one), "ms", milliseconds(&seen.fair_one)),
        Figure::new("index/add emaint 3.0.83", emaint(NEWEST, one), "ms", milliseconds(&seen.newest_one)),
        Figure::new("index/add × 3.0.82.2", "times faster", "×", ratio(&seen.fair_one, &seen.native_one))
            .aim(Aim::AtLeast(20.0)),
        Figure::new("index/add × 3.0.83", "times faster", "×", ratio(&seen.newest_one, &seen.native_one)),
        Figure::new("index/build", format!("`swarm binhost index`: {from_files}"), "s", seen.native_cold.clone()),
        Figure::new("index/build emaint 3.0.82.2", emaint(FAIR, &from_files), "s", seen.fair_cold.clone()),
        Figure::new("index/build emaint 3.0.83", emaint(NEWEST, &from_files), "s", seen.newest_cold.clone()),
        Figure::new("index/build × 3.0.82.2", "times faster", "×", ratio(&seen.fair_cold, &seen.native_cold))
            .aim(Aim::AtLeast(20.0)),
        Figure::new("index/build × 3.0.83", "times faster", "×", ratio(&seen.newest_cold, &seen.native_cold)),
    ]
}

fn relative(package: &Package) -> Result<PathBuf> {
    let scratch = tempfile::tempdir()?;
    Ok(package.write(scratch.path())?.strip_prefix(scratch.path())?.to_owned())
}

/// The same files in another folder, without copying them.
fn copy(from: &Path, to: &Path) -> Result<PathBuf> {
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.path().extension().is_some_and(|ending| ending == "tar") {
            fs_err::hard_link(entry.path(), target)?;
        }
    }
    Ok(to.to_owned())
}

/// One Portage with a root and a folder of packages of its own.
struct Emaint {
    root: RootConfig,
    packages: PathBuf,
}

impl Emaint {
    fn make(scale: &Scale, version: &str, packages: &Path) -> Result<Self> {
        let material = tools::repository()?;
        let root = RootConfig {
            path: scale.dir.join(format!("root-{version}")),
            venv: tools::tool("portage.sh", &[version])?,
            repository: material.join("repository"),
            profile: PROFILE.to_owned(),
            ..RootConfig::default()
        };
        create(&RootSpec { config: root.clone(), ..RootSpec::default() })?;
        Ok(Self { root, packages: copy(packages, &scale.dir.join(format!("emaint-{version}")))? })
    }

    fn text(&self) -> Result<String> {
        Ok(fs_err::read_to_string(self.packages.join("Packages"))?)
    }

    /// Runs it once; seconds.
    fn run(&self) -> Result<f64> {
        let mut command = Command::new(self.root.venv.join("bin/emaint"));
        command.args(["binhost", "--fix"]).env_clear().envs(environment(&self.root));
        command.env("PKGDIR", &self.packages).stdin(Stdio::null());
        let began = Instant::now();
        let output = command.output().context("run emaint")?;
        let took = began.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "emaint: {said}");
        Ok(took)
    }

    fn cold(&self) -> Result<f64> {
        for name in ["Packages", "Packages.gz"] {
            match fs_err::remove_file(self.packages.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        self.run()
    }

    /// The files are one with those of the others: a new time is a change for all of them.
    fn one_changed(&self, packages: &Path, changed: &Path) -> Result<f64> {
        let own = self.packages.join(changed.strip_prefix(packages)?);
        let time = fs_err::metadata(&own)?.mtime();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(time)? + 1);
        fs_err::File::options().write(true).open(&own)?.set_modified(at)?;
        // its TIMESTAMP counts seconds, and it leaves an index of this second alone
        std::thread::sleep(Duration::from_millis(1_100));
        self.run()
    }
}

/// `swarm binhost index` as a process of its own, like emaint; seconds.
fn indexed(folder: &Path) -> Result<f64> {
    let began = Instant::now();
    let output = Command::new(tools::program("swarm")?).args(["binhost", "index"]).arg(folder).output()?;
    let took = began.elapsed().as_secs_f64();
    ensure!(output.status.success(), "swarm binhost index: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}

fn head(text: &str) -> String {
    format!("{}\n\n", text.split("\n\n").next().unwrap_or_default())
}

fn without_timestamp(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with("TIMESTAMP: ")).collect()
}

fn equal(fair: &Emaint, newest: &Emaint, native: &Path) -> Result<()> {
    let ours = fs_err::read_to_string(native.join("Packages"))?;
    for (version, theirs) in [(FAIR, fair.text()?), (NEWEST, newest.text()?)] {
        let (ours, theirs) = (without_timestamp(&ours), without_timestamp(&theirs));
        if let Some(at) = (0..ours.len().max(theirs.len())).find(|at| ours.get(*at) != theirs.get(*at)) {
            anyhow::bail!(
                "our index differs from that of Portage {version} in line {at}: {:?}, theirs {:?}",
                ours.get(at),
                theirs.get(at)
            );
        }
    }
    // and the builder's header is the one a drone reports
    let reported = inspect(&newest.root)?.index_header;
    let ours = swarm_binhost::index::header_of(&ours)?;
    let own = ["PACKAGES", "TIMESTAMP", "VERSION"];
    let ours: BTreeMap<&String, &String> = ours.iter().filter(|(key, _)| !own.contains(&key.as_str())).collect();
    let reported: BTreeMap<&String, &String> =
        reported.iter().filter(|(key, value)| !own.contains(&key.as_str()) && !value.is_empty()).collect();
    ensure!(ours == reported, "the header {ours:?} is not the one a drone reports: {reported:?}");
    Ok(())
}

/// What the binhost's thread does for each generation with one more package, several times; seconds.
fn one_more(scale: &Scale, folder: &Path) -> Result<Vec<f64>> {
    let (mut index, bad): (Index, _) = scan::scan(folder, BTreeMap::new(), &Limits::default())?;
    ensure!(bad.is_empty(), "{bad:?}");
    let place = scale.dir.join("one-more");
    fs_err::create_dir_all(&place)?;
    let mut timestamp = durable::seconds(SystemTime::now());
    index.write(&place, timestamp)?;
    let count = index.len() as u64;
    let mut seen = Vec::new();
    for round in 0..scale.pick(3, 20) {
        // somewhere among the others, never at the same place
        let package = Package { build_time: 1, ..Package::numbered((round * 487 + 11) % count) };
        let mut block = index
            .stanzas()
            .find(|stanza| stanza.cpv() == package.cpv)
            .cloned()
            .context("the package is listed")?
            .into_map();
        block.insert("BUILD_ID".to_owned(), (round + 2).to_string());
        timestamp += 1;
        let began = Instant::now();
        index.insert(swarm_binhost::stanza::Stanza::from_map(block)?);
        index.write(&place, timestamp)?;
        seen.push(began.elapsed().as_secs_f64());
    }
    fs_err::remove_dir_all(&place)?;
    // nobody else's processor time is in it
    debug_assert!(usage::own_seconds() > 0.0);
    Ok(seen)
}
