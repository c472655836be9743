//! `swarm binhost import`: walks a PKGDIR, looks into each package here, asks the controller whether it wants it, and uploads
//! what it does. One file at a time, streamed; what is there already is not sent, so a run that was cut short is simply
//! started again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use swarm_api::{ArtifactAnswer, BinhostPackage, ImportAnswer, ImportBody};

use super::super::client::Client;
use super::super::problem::Exit;
use super::super::{Context, Problem};
use swarm_binhost::gpkg::{Inspected, Limits, inspect};
use swarm_binhost::index;
use swarm_common::errors::chain_once;

pub(super) const HELP: &str = "\
Bring packages you have: every gpkg below a PKGDIR is checked, signed with the swarm's key and published

Each *.gpkg.tar is checked as an upload of a drone is: its structure, every digest of its Manifest, its metadata. A \
signature it has is not judged and is replaced by the swarm's: whoever holds the admin key answers for what is in it. The \
controller gives it a BUILD_ID of its own and puts it into the index of the build profile with its CHOST; packages whose \
RESTRICT has bindist go into the restricted part. What the binhost has already is skipped, so a run that was cut short is \
started again and goes on where it was.

xpak packages (*.tbz2, *.xpak) are not taken: the format has no digests of its own. Set BINPKG_FORMAT=\"gpkg\" and make \
them anew, for example with quickpkg.";

/// Keys of a `Packages` header that belong to that file alone.
const NOT_TAKEN: [&str; 7] = ["PACKAGES", "TIMESTAMP", "VERSION", "URI", "TTL", "DOWNLOAD_TIMESTAMP", "REPO_REVISIONS"];
/// Uploads of one file tried when the connection breaks, a few seconds apart.
const TRIES: u32 = 5;
/// Between two tries.
const BETWEEN: Duration = Duration::from_secs(3);
/// Between two looks at what is being signed.
const LOOK: Duration = Duration::from_millis(500);
/// Looks at one package until it counts as not published; signing 4 GiB takes a minute.
const LOOKS: u32 = 1_200;
/// Deepest folder looked into; a PKGDIR has two levels.
const DEPTH: usize = 8;

/// `swarm binhost import`
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A PKGDIR, or one package
    path: PathBuf,
    /// Build profile whose index they go into
    #[arg(long, default_value = "default")]
    profile: String,
    /// ARCH, if no index of that profile and CHOST is there and the PKGDIR has no Packages
    #[arg(long)]
    arch: Option<String>,
    /// Only say what would become of each file
    #[arg(long)]
    dry_run: bool,
    /// Do not wait until everything is published
    #[arg(long)]
    no_wait: bool,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Outcome {
    /// Below the folder.
    file: String,
    /// What became of it.
    #[serde(flatten)]
    fate: Fate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Fate {
    /// Taken, and published unless nobody waited for that.
    Imported { package: String, id: u64, index: String },
    /// It would be taken.
    WouldImport { package: String, index: String },
    /// The binhost has it.
    Present { package: String, id: u64, index: String },
    /// Not to be taken.
    Refused { reason: String },
    /// To be taken, and it went wrong.
    Failed { package: String, reason: String },
}

#[derive(Debug, Serialize)]
struct Summary {
    imported: usize,
    would_import: usize,
    present: usize,
    refused: usize,
    failed: usize,
    files: Vec<Outcome>,
}

/// A file below the folder and what is to be done with it.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Package(PathBuf),
    Refused(PathBuf, &'static str),
}

/// Runs the command. The exit status is 1 if something that looks like a package was refused or failed.
pub(super) fn run(context: &Context, args: &ImportArgs) -> Result<ExitCode, Problem> {
    let client = context.client()?;
    let (found, folder) = look_around(&args.path)?;
    let header = header_of(&folder)?;
    let bar = if context.screen.live { ProgressBar::new(found.len() as u64) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}") {
        bar.set_style(style);
    }
    let mut job = Job { client, args, header, bar, files: Vec::new() };
    let ended = job.all(&found, &folder);
    if ended.is_ok() && !args.no_wait {
        job.wait_until_published()?;
    }
    job.bar.finish_and_clear();
    let summary = summed(job.files);
    context.screen.show(&summary, render)?;
    ended?;
    Ok(if summary.refused + summary.failed == 0 { ExitCode::SUCCESS } else { Exit::Error.into() })
}

struct Job<'a> {
    client: Client,
    args: &'a ImportArgs,
    header: BTreeMap<String, String>,
    bar: ProgressBar,
    files: Vec<Outcome>,
}

impl Job<'_> {
    fn all(&mut self, found: &[Found], folder: &Path) -> Result<(), Problem> {
        for one in found {
            let (path, fate) = match one {
                Found::Package(path) => {
                    self.bar.set_message(below(path, folder));
                    (path, self.package(path)?)
                }
                Found::Refused(path, reason) => (path, Fate::Refused { reason: (*reason).to_owned() }),
            };
            self.files.push(Outcome { file: below(path, folder), fate });
            self.bar.inc(1);
        }
        Ok(())
    }

    /// What becomes of one package. An error ends the whole run: the controller is away, or the key is wrong, or its disk
    /// is full.
    fn package(&self, path: &Path) -> Result<Fate, Problem> {
        let file = match inspect(path, &Limits::default()) {
            Ok(file) => file,
            Err(error) => return Ok(Fate::Refused { reason: chain_once(&error.problem) }),
        };
        let package = file.cpv.to_string();
        for tries in 1.. {
            let answer: ImportAnswer = match self.client.post_patiently("/api/v1/binhost/import", &self.body(&file)) {
                Ok(answer) => answer,
                Err(problem) if problem.exit == Exit::Error => return Ok(Fate::Refused { reason: said(&problem) }),
                Err(problem) => return Err(problem),
            };
            let index = answer.index;
            let (Some(id), Some(ticket)) = (answer.id, answer.ticket) else {
                return Ok(match answer.id {
                    Some(id) => Fate::Present { package, id, index },
                    None => Fate::WouldImport { package, index },
                });
            };
            let sent = self.client.upload(&format!("/api/v1/artifacts/{id}"), &ticket, path);
            match sent {
                Ok(ArtifactAnswer { .. }) => return Ok(Fate::Imported { package, id, index }),
                Err(failed) if failed.full => {
                    return Err(failed.problem.next("free some room, then start again: what is there is skipped"));
                }
                // the connection broke, or the ticket was forgotten by a restart
                Err(failed) if failed.again && tries < TRIES => std::thread::sleep(BETWEEN),
                Err(failed) => return Ok(Fate::Failed { package, reason: said(&failed.problem) }),
            }
        }
        Err(Problem::new("the controller does not take it"))
    }

    fn body(&self, file: &Inspected) -> ImportBody {
        ImportBody {
            sha256: file.sha256.clone(),
            size_bytes: file.size,
            package: file.cpv.to_string(),
            slot: file.main_slot().to_owned(),
            repository: file.repository.clone(),
            use_flags: file.use_flags(),
            chost: file.value("CHOST").to_owned(),
            build_time: file.value("BUILD_TIME").to_owned(),
            profile: Some(self.args.profile.clone()),
            arch: self.args.arch.clone().or_else(|| self.header.get("ARCH").cloned()),
            header: self.header.clone(),
            dry_run: self.args.dry_run,
        }
    }

    /// Everything taken is signed and listed before the command ends.
    fn wait_until_published(&mut self) -> Result<(), Problem> {
        for at in 0..self.files.len() {
            let Fate::Imported { package, id, .. } = &self.files[at].fate else { continue };
            self.bar.set_message(format!("publishing {package}"));
            let (package, id) = (package.clone(), *id);
            if let Err(reason) = self.until_published(id)? {
                self.files[at].fate = Fate::Failed { package, reason };
            }
        }
        Ok(())
    }

    fn until_published(&self, id: u64) -> Result<Result<(), String>, Problem> {
        for _ in 0..LOOKS {
            match self.client.get_patiently::<BinhostPackage>(&format!("/api/v1/binhost/packages/{id}")) {
                Ok(package) if package.state == "published" => return Ok(Ok(())),
                // by retention at once, or by a person
                Ok(package) if package.state == "retired" || package.state == "gone" => return Ok(Ok(())),
                Ok(_) => {}
                Err(problem) if problem.exit == Exit::Error => {
                    return Ok(Err("it could not be signed; `swarm events` says why".to_owned()));
                }
                Err(problem) => return Err(problem),
            }
            std::thread::sleep(LOOK);
        }
        Ok(Err("it is taken and not published yet; look again later".to_owned()))
    }
}

fn said(problem: &Problem) -> String {
    match &problem.next {
        Some(next) => format!("{}; {next}", problem.what),
        None => problem.what.clone(),
    }
}

fn below(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// All that looks like a package, in the order of paths, and the folder they are below.
fn look_around(path: &Path) -> Result<(Vec<Found>, PathBuf), Problem> {
    let kind = fs_err::metadata(path).map_err(|error| Problem::new("there is no such PKGDIR").with(error))?;
    if kind.is_file() {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        return Ok((vec![judged(path.to_owned(), &kind)], folder));
    }
    let (mut found, mut pending) = (Vec::new(), vec![(path.to_owned(), 0)]);
    while let Some((folder, depth)) = pending.pop() {
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            let (kind, at) = (entry.file_type()?, entry.path());
            if kind.is_dir() && depth < DEPTH {
                pending.push((at, depth + 1));
            } else if looks_like_one(&at) {
                found.push(if kind.is_file() {
                    judged(at, &entry.metadata()?)
                } else {
                    Found::Refused(at, "is a link or no regular file; name what it leads to")
                });
            }
        }
    }
    if found.is_empty() {
        return Err(Problem::new("there is no binary package below it").with(path.display()).next("name a PKGDIR"));
    }
    found.sort_by(|one, other| one.path().cmp(other.path()));
    Ok((found, path.to_owned()))
}

impl Found {
    fn path(&self) -> &Path {
        match self {
            Self::Package(path) | Self::Refused(path, _) => path,
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn looks_like_one(path: &Path) -> bool {
    let name = name_of(path);
    name.contains(".gpkg.tar") || name.ends_with(".tbz2") || name.ends_with(".xpak")
}

fn judged(path: PathBuf, metadata: &std::fs::Metadata) -> Found {
    let name = name_of(&path);
    if name.ends_with(".tbz2") || name.ends_with(".xpak") {
        return Found::Refused(
            path,
            "is an xpak package, which has no digests; make a gpkg of it, for example with quickpkg",
        );
    }
    if !name.ends_with(".gpkg.tar") {
        return Found::Refused(path, "is no whole package: a build that was broken off left it");
    }
    if metadata.len() == 0 {
        return Found::Refused(path, "is empty: the placeholder of a build that was broken off");
    }
    Found::Package(path)
}

/// The header of the folder's `Packages`, if there is one.
fn header_of(folder: &Path) -> Result<BTreeMap<String, String>, Problem> {
    let text = match fs_err::read_to_string(folder.join("Packages")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.into()),
    };
    let mut header = index::header_of(&text).map_err(|error| {
        Problem::new("the folder's Packages is damaged").with(error).next("run `emaint binhost --fix`, or move it away")
    })?;
    header.retain(|key, _| !NOT_TAKEN.contains(&key.as_str()));
    Ok(header)
}

fn summed(files: Vec<Outcome>) -> Summary {
    let count = |wanted: fn(&Fate) -> bool| files.iter().filter(|file| wanted(&file.fate)).count();
    Summary {
        imported: count(|fate| matches!(fate, Fate::Imported { .. })),
        would_import: count(|fate| matches!(fate, Fate::WouldImport { .. })),
        present: count(|fate| matches!(fate, Fate::Present { .. })),
        refused: count(|fate| matches!(fate, Fate::Refused { .. })),
        failed: count(|fate| matches!(fate, Fate::Failed { .. })),
        files,
    }
}

fn render(summary: &Summary) -> String {
    let mut text = String::new();
    for file in &summary.files {
        match &file.fate {
            Fate::Refused { reason } => text += &format!("refused  {}: {reason}\n", file.file),
            Fate::Failed { reason, .. } => text += &format!("failed   {}: {reason}\n", file.file),
            Fate::WouldImport { index, .. } => text += &format!("would go {} -> {index}\n", file.file),
            Fate::Imported { .. } | Fate::Present { .. } => {}
        }
    }
    let verb = if summary.would_import > 0 { "would be imported" } else { "imported" };
    text + &format!(
        "{} {verb}, {} there already, {} refused, {} failed\n",
        summary.imported + summary.would_import,
        summary.present,
        summary.refused,
        summary.failed
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_binhost::samples::sample;

    #[test]
    fn a_pkgdir_is_walked_in_order_and_what_is_no_package_is_named_or_left() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs_err::create_dir_all(at("app-misc/hello")).unwrap();
        for (name, content) in [
            ("Packages", "ARCH: amd64\nTIMESTAMP: 5\nURI: http://other\nUSE: a b\n\nCPV: x/y-1\n"),
            ("app-misc/hello/hello-1.1-2.gpkg.tar", "x"),
            ("app-misc/hello/hello-1.1-1.gpkg.tar", "x"),
            ("app-misc/hello/hello-1.1-3.gpkg.tar", ""),
            ("app-misc/hello/hello-1.1-3.gpkg.tarXyz.77", "x"),
            ("app-misc/old-1.tbz2", "x"),
            ("app-misc/old-1-1.xpak", "x"),
            ("notes.txt", "x"),
        ] {
            fs_err::write(at(name), content).unwrap();
        }
        fs_err::os::unix::fs::symlink("hello-1.1-1.gpkg.tar", at("app-misc/hello/hello-2-1.gpkg.tar")).unwrap();
        fs_err::os::unix::fs::symlink("..", at("app-misc/loop")).unwrap();
        let (found, folder) = look_around(dir.path()).unwrap();
        let shown: Vec<(String, &str)> = found
            .iter()
            .map(|one| match one {
                Found::Package(path) => (below(path, &folder), "take"),
                Found::Refused(path, reason) => (below(path, &folder), reason.split(':').next().unwrap()),
            })
            .collect();
        let hello = |name: &str| format!("app-misc/hello/hello-{name}");
        assert_eq!(
            shown[..6],
            [
                (hello("1.1-1.gpkg.tar"), "take"),
                (hello("1.1-2.gpkg.tar"), "take"),
                (hello("1.1-3.gpkg.tar"), "is empty"),
                (hello("1.1-3.gpkg.tarXyz.77"), "is no whole package"),
                (hello("2-1.gpkg.tar"), "is a link or no regular file; name what it leads to"),
                (
                    "app-misc/old-1-1.xpak".to_owned(),
                    "is an xpak package, which has no digests; make a gpkg of it, for example with quickpkg"
                ),
            ]
        );
        assert_eq!(shown.len(), 7);
        let header = header_of(&folder).unwrap();
        assert_eq!(header, [("ARCH".to_owned(), "amd64".to_owned()), ("USE".to_owned(), "a b".to_owned())].into());
    }

    #[test]
    fn one_file_an_empty_folder_and_no_folder() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look_around(dir.path()).unwrap_err().what, "there is no binary package below it");
        assert_eq!(look_around(&dir.path().join("none")).unwrap_err().what, "there is no such PKGDIR");
        let file = sample().write(dir.path());
        let (found, folder) = look_around(&file).unwrap();
        assert_eq!((found, folder.as_path()), (vec![Found::Package(file)], dir.path()));
        assert!(header_of(dir.path()).unwrap().is_empty());
        fs_err::write(dir.path().join("Packages"), "nonsense").unwrap();
        assert!(header_of(dir.path()).unwrap_err().next.is_some());
    }

    #[test]
    fn refusals_are_told_one_by_one_and_the_rest_is_counted() {
        let outcome = |file: &str, fate| Outcome { file: file.to_owned(), fate };
        let (package, index) = ("a/b-1".to_owned(), "amd64/x/y".to_owned());
        let summary = summed(vec![
            outcome("one", Fate::Imported { package: package.clone(), id: 1, index: index.clone() }),
            outcome("two", Fate::Present { package: package.clone(), id: 1, index }),
            outcome("three", Fate::Refused { reason: "why".to_owned() }),
            outcome("four", Fate::Failed { package, reason: "how".to_owned() }),
        ]);
        let text = render(&summary);
        assert_eq!(text, "refused  three: why\nfailed   four: how\n1 imported, 1 there already, 1 refused, 1 failed\n");
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!((&json["files"][2]["status"], &json["files"][2]["reason"]), (&"refused".into(), &"why".into()));
        assert_eq!((&json["files"][0]["status"], &json["files"][0]["id"]), (&"imported".into(), &1.into()));
    }
}
