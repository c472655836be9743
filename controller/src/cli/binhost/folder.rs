//! `swarm binhost index`: a folder of packages nobody's rows know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use swarm_common::errors::chain_once;

use super::super::Problem;
use super::super::screen::Screen;
use swarm_binhost::gpkg::Limits;
use swarm_binhost::{durable, index, scan};

/// What `swarm binhost index` did.
#[derive(Serialize)]
struct Indexed {
    packages: usize,
    timestamp: u64,
    left_out: Vec<LeftOut>,
}

/// A package that is not in the index.
#[derive(Serialize)]
struct LeftOut {
    path: PathBuf,
    reason: String,
}

/// Writes the index from the files.
pub(super) fn write_index(screen: &Screen, folder: &Path) -> Result<(), Problem> {
    let failed = |error: &dyn std::error::Error| Problem::new("can't write the index").with(chain_once(error));
    let header = header_of(folder)?;
    let (mut index, bad) = scan::scan(folder, header, &Limits::default()).map_err(|error| failed(&error))?;
    let last = index::on_disk(folder).map_err(|error| failed(&error))?;
    let timestamp = durable::seconds(SystemTime::now()).max(last + 1);
    let written = index.write(folder, timestamp).map_err(|error| failed(&error))?;
    let left_out = |error: &swarm_binhost::gpkg::GpkgError| LeftOut {
        path: error.path.clone(),
        reason: chain_once(&error.problem),
    };
    let done = Indexed {
        packages: written.packages,
        timestamp: written.timestamp,
        left_out: bad.iter().map(left_out).collect(),
    };
    screen.show(&done, |done| {
        let mut text = format!("{} packages, TIMESTAMP {}\n", done.packages, done.timestamp);
        for package in &done.left_out {
            text += &format!("left out: {}: {}\n", package.path.display(), package.reason);
        }
        text
    })?;
    match done.left_out.len() {
        0 => Ok(()),
        count => Err(Problem::new("not every package is in the index")
            .with(format!("left out: {count}"))
            .next("build them again, or remove the files")),
    }
}

/// The header of the index a folder has; none if it has none.
fn header_of(folder: &Path) -> Result<BTreeMap<String, String>, Problem> {
    let bad = |error: &dyn std::error::Error| {
        Problem::new("can't read the index").with(chain_once(error)).next("remove Packages to do without it")
    };
    match fs_err::read_to_string(folder.join("Packages")) {
        Ok(text) => index::header_of(&text).map_err(|error| bad(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(bad(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_binhost::samples::sample;

    #[test]
    fn a_folder_gets_its_index_and_keeps_the_header_it_had() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("app-misc/hello");
        fs_err::create_dir_all(&folder).unwrap();
        sample().write(&folder);
        fs_err::write(dir.path().join("Packages"), "ARCH: amd64\nPACKAGES: 9\nTIMESTAMP: 5\nVERSION: 0\n\n").unwrap();
        write_index(&Screen::default(), dir.path()).unwrap();
        let first = fs_err::read_to_string(dir.path().join("Packages")).unwrap();
        assert!(first.starts_with("ARCH: amd64\nPACKAGES: 1\nTIMESTAMP: "), "{first}");
        assert!(first.contains("\nPATH: app-misc/hello/hello-1.1-1.gpkg.tar\n"), "{first}");

        // what cannot be listed fails the command, and the rest is listed all the same
        fs_err::write(folder.join("broken-1-1.gpkg.tar"), "").unwrap();
        let problem = write_index(&Screen::default(), dir.path()).unwrap_err();
        assert_eq!(problem.with.as_deref(), Some("left out: 1"));
        let second = fs_err::read_to_string(dir.path().join("Packages")).unwrap();
        let timestamp = |text: &str| index::header_of(text).unwrap()["TIMESTAMP"].parse::<u64>().unwrap();
        assert!(second.contains("PACKAGES: 1\n") && timestamp(&second) > timestamp(&first), "{second}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_problem_with_its_name() {
        let problem = write_index(&Screen::default(), Path::new("/nonexistent/packages")).unwrap_err();
        assert!(problem.with.as_deref().is_some_and(|with| with.contains("/nonexistent/packages")), "{problem:?}");
    }
}
