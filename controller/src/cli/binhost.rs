//! `swarm binhost …`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Subcommand;
use serde::Serialize;

use super::screen::{self, Screen};
use super::{Context, Problem};
use crate::binhost::gpkg::Limits;
use crate::binhost::{durable, index, scan};
use crate::http::views::BinhostAnswer;

/// `swarm binhost …`
#[derive(Debug, Subcommand)]
pub enum BinhostCommand {
    /// How a Gentoo machine uses it: binrepos.conf and the commands that make Portage trust the key
    Show {
        /// Only the signing key's public half
        #[arg(long)]
        key: bool,
    },
    /// Write the index of a folder of packages from its files, as `emaint binhost --fix` does; needs no controller
    Index {
        /// The folder (PKGDIR); the header of the index it has is kept
        folder: PathBuf,
    },
}

/// Runs the command.
pub fn run(context: &Context, command: &BinhostCommand) -> Result<(), Problem> {
    match command {
        BinhostCommand::Show { key } => show(context, *key),
        BinhostCommand::Index { folder } => write_index(&context.screen, folder),
    }
}

fn show(context: &Context, key: bool) -> Result<(), Problem> {
    let answer: BinhostAnswer = context.client()?.get("/api/v1/binhost")?;
    if key && !context.screen.json {
        return context.screen.line(answer.public_key.trim_end());
    }
    context.screen.show(&answer, |answer| render(answer, &context.screen))
}

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

fn write_index(screen: &Screen, folder: &Path) -> Result<(), Problem> {
    let failed =
        |error: &dyn std::error::Error| Problem::new("can't write the index").with(super::problem::chain(error));
    let header = header_of(folder)?;
    let (mut index, bad) = scan::scan(folder, header, &Limits::default()).map_err(|error| failed(&error))?;
    let last = index::on_disk(folder).map_err(|error| failed(&error))?;
    let timestamp = durable::seconds(SystemTime::now()).max(last + 1);
    let written = index.write(folder, timestamp).map_err(|error| failed(&error))?;
    let left_out = |error: &crate::binhost::gpkg::GpkgError| LeftOut {
        path: error.path.clone(),
        reason: super::problem::chain(&error.problem),
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
        Problem::new("can't read the index").with(super::problem::chain(error)).next("remove Packages to do without it")
    };
    match fs_err::read_to_string(folder.join("Packages")) {
        Ok(text) => index::header_of(&text).map_err(|error| bad(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(bad(&error)),
    }
}

/// How to use the binhost, as text.
pub fn render(answer: &BinhostAnswer, screen: &Screen) -> String {
    let mut text = format!("signing key  {}\n             {}\n", answer.fingerprint, answer.key_url);
    if answer.indexes.is_empty() {
        return text + "\nnothing is published yet; `swarm queue add category/name` changes that\n";
    }
    for index in &answer.indexes {
        let size = screen::size(index.size_bytes);
        text += &format!("\n{} ({} packages, {size})\n{}\n", screen.bold(&index.index), index.packages, index.url);
        text += &format!("\n/etc/portage/binrepos.conf/swarm.conf:\n\n{}\n", indented(&index.snippet));
        if !index.commands.is_empty() {
            text += &format!("\nas root, once:\n\n{}\n", indented(&index.commands.join("\n")));
        }
    }
    text
}

fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binhost::samples::sample;

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
