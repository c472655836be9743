//! The program behind `bin/emerge` and `bin/python` of a stand-in environment. It does what the agent sees of either, and
//! nothing else: the agent runs emerge with one target, and Python with one of its own scripts, a question and an answer.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use serde::Deserialize;
use serde_json::{Value, json};
use swarm_protocol::{Atom, Cpv};

use super::gpkg::Gpkg;
use super::{Behaviour, CHOST, End, PROFILE, REPOSITORY, Settings, read_settings};

/// Gentoo's name of this machine's architecture, for the index.
const ARCH: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

/// Acts as the name it was called by; the exit status.
pub fn main() -> i32 {
    let words: Vec<String> = std::env::args().collect();
    let done = match words.split_first() {
        Some((own, rest)) => act(Path::new(own), rest),
        None => Err(anyhow::anyhow!("called without a name")),
    };
    done.unwrap_or_else(|error| {
        eprintln!("stand-in: {error:#}");
        70
    })
}

fn act(own: &Path, words: &[String]) -> Result<i32> {
    let place = own.parent().and_then(Path::parent).context("called by its path in a stand-in environment")?;
    match own.file_name().and_then(|name| name.to_str()) {
        Some("emerge") => emerge(place, words),
        Some("python") => python(place, words),
        _ => bail!("called as {}; it stands in for emerge and python", own.display()),
    }
}

/// `python plan.py QUESTION ANSWER`, `python state.py QUESTION ANSWER`, or `python -c` and a program that asks by its exit
/// status whether binaries are verified by binhost: it is a Portage that does.
fn python(place: &Path, words: &[String]) -> Result<i32> {
    if let [flag, program] = words
        && flag == "-c"
        && program.contains("verify_signature")
    {
        return Ok(0);
    }
    let [script, question, answer] = words else { bail!("{} words for python, not 3", words.len()) };
    let question: Value = serde_json::from_slice(&fs::read(question)?)?;
    let said = match Path::new(script).file_name().and_then(|name| name.to_str()) {
        Some("plan.py") => plan(&read_settings(place)?, &question)?,
        Some("state.py") if question["what"] == "state" => state(),
        Some("state.py") => json!([]),
        _ => bail!("{script} is not known"),
    };
    fs::write(answer, serde_json::to_vec(&said)?)?;
    Ok(0)
}

fn state() -> Value {
    json!({
        "version": "stand-in", "profile": PROFILE, "chost": CHOST, "cflags": "",
        "index_header": { "ARCH": ARCH, "CHOST": CHOST, "PROFILE": PROFILE, "VERSION": "0" },
    })
}

#[derive(Deserialize)]
struct Question {
    atoms: Vec<String>,
}

/// Every atom is a package; what it needs comes before it.
fn plan(settings: &Settings, question: &Value) -> Result<Value> {
    let question: Question = serde_json::from_value(question.clone())?;
    let mut plan = Planning { settings, numbers: BTreeMap::new(), packages: Vec::new(), edges: Vec::new() };
    let mut targets = Vec::new();
    for atom in &question.atoms {
        match plan.add(atom, 0)? {
            Ok(number) => targets.push(number),
            Err(complaint) => return Ok(json!({ "portage": "stand-in", "complaint": complaint })),
        }
    }
    let order: Vec<usize> = (0..plan.packages.len()).collect();
    Ok(json!({
        "portage": "stand-in", "complaint": null, "packages": plan.packages, "edges": plan.edges, "order": order,
        "targets": targets,
    }))
}

struct Planning<'a> {
    settings: &'a Settings,
    numbers: BTreeMap<String, usize>,
    packages: Vec<Value>,
    edges: Vec<Value>,
}

impl Planning<'_> {
    /// The package's number, or the resolver's complaint.
    fn add(&mut self, text: &str, depth: usize) -> Result<Result<usize, Value>> {
        let complaint = |kind: &str, text: String| Ok(Err(json!({ "kind": kind, "text": text, "use_changes": {} })));
        let Ok(atom) = text.parse::<Atom>() else {
            return complaint("bad_atom", format!("{text:?} is not a package atom"));
        };
        let cpv = match atom.exact() {
            Some(cpv) => cpv,
            None => format!("{}-1", atom.cp()).parse().with_context(|| format!("a version for {text:?}"))?,
        };
        if let Some(number) = self.numbers.get(&cpv.to_string()) {
            return Ok(Ok(*number));
        }
        let behaviour = self.settings.of(&cpv.cp());
        if behaviour.end == End::Masked {
            return complaint("masked", format!("!!! All ebuilds that could satisfy {text:?} have been masked."));
        }
        if depth > 100 {
            return complaint("circular", format!("{text:?} needs itself"));
        }
        let mut needed = Vec::new();
        for need in &behaviour.needs {
            match self.add(need, depth + 1)? {
                Ok(number) => needed.push(number),
                Err(complaint) => return Ok(Err(complaint)),
            }
        }
        let number = self.packages.len();
        self.packages.push(json!({ "cpv": cpv.to_string(), "slot": "0", "subslot": "0", "repository": REPOSITORY }));
        self.numbers.insert(cpv.to_string(), number);
        for to in needed {
            self.edges.push(json!({ "from": number, "to": to, "build_time": true, "run_time": true }));
        }
        Ok(Ok(number))
    }
}

/// One emerge of one package.
struct Emerge {
    place: PathBuf,
    cpv: Cpv,
    drone: String,
    fence: String,
    behaviour: Behaviour,
}

/// `emerge [options] =category/name-version:slot::repository`.
fn emerge(place: &Path, words: &[String]) -> Result<i32> {
    let target = words.last().context("no target")?;
    let atom: Atom = target.parse().with_context(|| format!("target {target:?}"))?;
    let cpv = atom.exact().with_context(|| format!("target {target:?} has no version"))?;
    let last = |variable: &str| -> Result<String> {
        let path = std::env::var(variable).with_context(|| format!("{variable} is not set"))?;
        Ok(Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned())
    };
    let (drone, fence) = (last("PORTAGE_OVERRIDE_EPREFIX")?, last("BUILD_SWARM_ATTEMPT")?);
    let mut behaviour = read_settings(place)?.of(&cpv.cp());
    if !behaviour.only_on.is_empty() && !behaviour.only_on.contains(&drone) {
        behaviour.end = End::Built;
    }
    let emerge = Emerge { place: place.to_owned(), cpv, drone, fence, behaviour };
    emerge.note("began")?;
    let status = emerge.run()?;
    emerge.note(&status.to_string())?;
    Ok(status)
}

impl Emerge {
    /// Appends to the journal; one write, so that lines of many drones never mix.
    fn note(&self, what: &str) -> Result<()> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let Self { drone, fence, cpv, .. } = self;
        let line = format!("{at} {what} {drone} {fence} {cpv} {}\n", std::process::id());
        let mut journal = fs::OpenOptions::new().create(true).append(true).open(self.place.join("journal"))?;
        Ok(journal.write_all(line.as_bytes())?)
    }

    fn run(&self) -> Result<i32> {
        let Self { cpv, behaviour, .. } = self;
        let part = Duration::from_millis(behaviour.ms / 5);
        println!("Calculating dependencies ... done!\n>>> Emerging (1 of 1) {cpv}::{REPOSITORY}");
        if behaviour.end == End::NoFetch {
            println!("!!! Couldn't download '{}.tar'. Aborting.\n>>> Failed to emerge {cpv}", cpv.pf());
            return Ok(1);
        }
        for phase in ["Unpacking source...", "Preparing source in /stand-in ...", "Configuring source in /stand-in ..."]
        {
            println!(">>> {phase}");
            sleep(part);
        }
        println!(">>> Compiling source in /stand-in ...");
        for line in 0..behaviour.lines {
            println!("[{line}/{}] stand-in -c {cpv} -o {line}.o", behaviour.lines);
        }
        sleep(part);
        match behaviour.end {
            End::Fails => return Ok(self.fail("x.c:1:2: error: it was to fail")),
            End::Killed => return Ok(self.fail("cc1: fatal error: Killed signal terminated program cc1")),
            End::NoSpace => return Ok(self.fail("x.c: write error: No space left on device")),
            End::Hangs => loop {
                sleep(Duration::from_secs(3600));
            },
            End::Built | End::NoFetch | End::NoBinary | End::Masked => {}
        }
        println!(">>> Source compiled.\n>>> Install {cpv} into /stand-in/image");
        sleep(part);
        println!(">>> Creating binpkg");
        if behaviour.end != End::NoBinary {
            self.pack()?;
        }
        println!(">>> Done.\n>>> Installing (1 of 1) {cpv}::{REPOSITORY}\n>>> Completed (1 of 1) {cpv}::{REPOSITORY}");
        Ok(0)
    }

    fn fail(&self, why: &str) -> i32 {
        let cpv = &self.cpv;
        println!(
            "{why}\n * ERROR: {cpv}::{REPOSITORY} failed (compile phase):\n *   emake failed\n>>> Failed to emerge {cpv}"
        );
        1
    }

    fn pack(&self) -> Result<()> {
        let packages = PathBuf::from(std::env::var("PKGDIR").context("PKGDIR is not set")?).join(self.cpv.cp());
        fs::create_dir_all(&packages)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let seed = u64::from(now.subsec_nanos()) << 32 | u64::from(std::process::id());
        let gpkg = Gpkg { cpv: self.cpv.clone(), bytes: self.behaviour.bytes, seed, build_time: now.as_secs() };
        Ok(fs::write(packages.join(format!("{}-1.gpkg.tar", self.cpv.pf())), gpkg.encode()?)?)
    }
}
