//! The command line as scripts and people rely on it: exit statuses, JSON that parses, words where there is nothing to show,
//! suggestions for typos, and streams that survive the controller.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use swarm_tests::{Setup, Swarm, processes, tools, until};

/// How long anything may take that is waited for.
const SOON: Duration = Duration::from_secs(60);
/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

/// The program with nothing of this shell's settings.
fn program(name: &str) -> Result<Command> {
    let mut command = Command::new(tools::program(name)?);
    for name in ["ADMIN_KEY", "SWARM_URL", "SWARM_DATA", "NO_COLOR", "USER"] {
        command.env_remove(name);
    }
    // no .swarm of somebody's lies there
    command.current_dir("/").stdin(Stdio::null());
    Ok(command)
}

fn run(arguments: &[&str]) -> Result<Output> {
    Ok(program("swarm")?.args(arguments).output()?)
}

/// Runs a command line of words without spaces against a swarm, with its key.
fn at(swarm: &Swarm, line: &str) -> Result<Output> {
    let data = swarm.data();
    let mut command = program("swarm")?;
    command.args(["--url", &swarm.http.url, "--data"]).arg(data).args(line.split_whitespace());
    Ok(command.output()?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn ends(output: &Output, status: i32, what: &str) -> Result<()> {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    ensure!(output.status.code() == Some(status), "{what}: {} instead of {status}\n{out}{err}", output.status);
    Ok(())
}

/// Commands that only ask.
const READING: [&str; 9] = [
    "status",
    "fleet",
    "queue list",
    "session list",
    "history",
    "events",
    "binhost show",
    "fleet --online",
    "events --type complete",
];

#[test]
fn an_absent_controller_ends_every_command_with_3_and_a_next_step() -> Result<()> {
    let more =
        ["wait", "log 1", "log a/b", "why a/b", "queue add a/b", "queue remove a/b", "fresh a/b", "drone pause d1"];
    for line in READING.into_iter().chain(more).chain(["control pause", "events --follow", "session show 1"]) {
        let words: Vec<&str> = ["--url", NOWHERE].into_iter().chain(line.split_whitespace()).collect();
        let output = run(&words)?;
        ends(&output, 3, line)?;
        let error = text(&output.stderr);
        ensure!(
            output.stdout.is_empty() && error.starts_with("error: ") && error.contains("next: "),
            "{line}: {error}"
        );
        ensure!(error.contains(NOWHERE), "{line} does not say where it looked: {error}");
        let json = run(&[&["--json"], words.as_slice()].concat())?;
        ends(&json, 3, line)?;
        let error: Value = serde_json::from_slice(&json.stderr).with_context(|| format!("--json {line}"))?;
        ensure!(error["error"].is_string() && error["hint"].is_string(), "--json {line}: {error}");
    }
    Ok(())
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_2() -> Result<()> {
    for (line, says) in [
        ("statu", "'status'"),
        ("queue ad x/y", "'add'"),
        ("status --jsn", "'--json'"),
        ("history --status lost", "success"),
        ("control block", "<PACKAGE>"),
        ("log", "<PACKAGE|BUILD>"),
        ("log wasp", "category/name"),
        ("why wasp", "category"),
        ("queue add", "<ATOM>"),
        ("--url ftp://x status", "http://"),
        ("monitor", "needs a terminal"),
        ("--json monitor", "no JSON"),
        ("completions bsh", "'bash'"),
        ("config check /nonexistent", "/nonexistent"),
        ("up --repository /nonexistent", "no ebuild repository"),
        ("up --detach --events", "cannot be used with"),
        ("fresh @system", "@world"),
    ] {
        let output = run(&line.split_whitespace().collect::<Vec<_>>())?;
        ends(&output, 2, line)?;
        ensure!(text(&output.stderr).contains(says), "{line}: no {says} in\n{}", text(&output.stderr));
    }
    for quiet in ["", "--help", "--version", "queue --help"] {
        let output = run(&quiet.split_whitespace().collect::<Vec<_>>())?;
        ends(&output, if quiet.is_empty() { 2 } else { 0 }, quiet)?;
    }
    Ok(())
}

#[test]
fn completions_and_manual_pages_are_made_for_both_programs() -> Result<()> {
    for name in ["swarm", "drone-agent"] {
        for shell in ["bash", "zsh", "fish"] {
            let script = program(name)?.args(["completions", shell]).output()?;
            ends(&script, 0, shell)?;
            let (script, names) = (text(&script.stdout), if name == "swarm" { "monitor" } else { "root" });
            ensure!(script.contains(name) && script.contains(names), "{name} {shell}: {script}");
            ensure!(!script.contains("attempt's directory"), "what the agent starts for itself is offered");
        }
        let page = program(name)?.arg("man").output()?;
        ensure!(text(&page.stdout).contains(".TH"), "{name} man: {}", text(&page.stdout));
        let dir = tempfile::tempdir()?;
        ends(&program(name)?.args(["man", "--dir"]).arg(dir.path().join("man1")).output()?, 0, name)?;
        let pages: Vec<String> = fs_err::read_dir(dir.path().join("man1"))?
            .map(|page| Ok(page?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        let wanted: &[&str] = match name {
            "swarm" => &["swarm.1", "swarm-queue-add.1", "swarm-monitor.1"],
            _ => &["drone-agent.1", "drone-agent-root-create.1"],
        };
        for page in wanted {
            ensure!(pages.iter().any(|name| name == page), "{page} is not among {pages:?}");
        }
        ensure!(!pages.iter().any(|page| page.contains("attempt")), "{pages:?}");
    }
    Ok(())
}

#[test]
fn an_empty_swarm_says_so_in_words_and_in_json() -> Result<()> {
    let swarm = Swarm::start(0, "")?;
    for line in READING {
        let output = at(&swarm, line)?;
        ends(&output, 0, line)?;
        let out = text(&output.stdout);
        ensure!(
            !out.trim().is_empty() && output.stderr.is_empty(),
            "{line} says nothing: {out}{}",
            text(&output.stderr)
        );
        ensure!(!out.contains('\x1b'), "{line} has colours where nobody sees them");
        let json = at(&swarm, &format!("--json {line}"))?;
        ends(&json, 0, line)?;
        serde_json::from_slice::<Value>(&json.stdout).with_context(|| format!("--json {line}"))?;
    }
    for (line, says) in [
        ("queue list", "the queue is empty"),
        ("fleet", "no drones yet"),
        ("session list", "no session yet"),
        ("history", "no attempt has ended yet"),
        ("events", "nothing has happened yet"),
        ("binhost show", "nothing is published yet"),
        ("events --type complete", "nothing of that kind"),
        ("history --drone d9", "no attempt fits"),
        ("settings list", "rules.ground_for"),
        ("log --controller -n 5", "swarm_controller"),
    ] {
        let output = at(&swarm, line)?;
        ends(&output, 0, line)?;
        ensure!(text(&output.stdout).contains(says), "{line}: {}", text(&output.stdout));
    }
    for (line, says) in [("session show", "no session yet"), ("wait", "no session yet"), ("log 7", "no build 7")] {
        let output = at(&swarm, line)?;
        ends(&output, 1, line)?;
        ensure!(text(&output.stderr).contains(says), "{line}: {}", text(&output.stderr));
    }
    Ok(())
}

#[test]
fn without_the_right_key_writing_ends_with_4_and_changes_nothing() -> Result<()> {
    let swarm = Swarm::start(0, "")?;
    let writes =
        ["control pause", "queue add a/b", "queue remove a/b", "drone pause d1", "settings list", "log --controller"];
    for line in writes {
        for key in [None, Some("wrong")] {
            let mut command = program("swarm")?;
            command.args(["--url", &swarm.http.url]).args(line.split_whitespace());
            if let Some(key) = key {
                command.env("ADMIN_KEY", key);
            }
            let output = command.output()?;
            ends(&output, 4, line)?;
            let error = text(&output.stderr);
            ensure!(error.contains("--admin-key-file") && !error.contains("wrong"), "{line}: {error}");
        }
    }
    let file = at(&swarm, "--admin-key-file /nonexistent control pause")?;
    ends(&file, 4, "a key file that is not there")?;
    ensure!(swarm.http.get("/api/v1/status")?["paused"] == false, "nothing was changed");
    ensure!(swarm.events("control")?.is_empty());

    let admin = swarm.admin()?;
    ensure!(admin.get("/admin/api/auth/check").is_err(), "reading there needs the key, which this client sends not");
    ensure!(admin.text("/")?.contains("X-Admin-Key"), "the door says how to come in");
    Ok(())
}

#[test]
fn the_world_of_a_machine_is_queued_with_its_flags_each_package_once() -> Result<()> {
    let swarm = Swarm::start(0, "")?;
    let root = tempfile::tempdir()?;
    let at = |line: &str| at(&swarm, &format!("{line} --root {}", root.path().display()));
    let none = at("fresh @world")?;
    ends(&none, 1, "no world file")?;
    let error = text(&none.stderr);
    ensure!(error.contains("can't read the world file") && error.contains("next: name packages, or"), "{error}");
    for (path, content) in [
        ("var/lib/portage/world", "app-misc/waggle\n@live-rebuild\ndev-libs/libcomb\n"),
        ("etc/portage/package.use", "app-misc/waggle\ttest\n"),
    ] {
        let path = root.path().join(path);
        fs_err::create_dir_all(path.parent().context("a folder")?)?;
        fs_err::write(path, content)?;
    }
    let queued = at("--json fresh dev-libs/libcomb @world app-misc/waggle")?;
    ends(&queued, 0, "fresh")?;
    let answer: Value = serde_json::from_slice(&queued.stdout)?;
    ensure!(answer["packages"] == serde_json::json!(["dev-libs/libcomb", "app-misc/waggle"]), "{answer}");
    ensure!(answer["duplicates"] == serde_json::json!([]), "none was asked for twice: {answer}");
    fs_err::write(root.path().join("etc/portage/package.use"), "app-misc/waggle\n")?;
    let refused = at("fresh @world")?;
    ends(&refused, 1, "a line without flags")?;
    ensure!(text(&refused.stderr).contains("package.use: app-misc/waggle"), "{}", text(&refused.stderr));
    ensure!(swarm.http.get("/api/v1/queue")?.as_array().map(Vec::len) == Some(2), "nothing more was queued");
    Ok(())
}

/// A write with this ADMIN_KEY in the environment and no other way to a key, unless `more` names one.
fn pause_with(swarm: &Swarm, key: &str, more: &[&str]) -> Result<Output> {
    let mut command = program("swarm")?;
    command.args(["--url", &swarm.http.url]).args(more).args(["control", "pause"]).env("ADMIN_KEY", key);
    Ok(command.output()?)
}

#[test]
fn the_key_may_come_by_the_environment_an_empty_one_is_none_and_no_log_has_it() -> Result<()> {
    // the most is logged that can be
    let tables = "[log]\nlevel = \"trace\"".to_owned();
    let environment = vec![("ADMIN_KEY".to_owned(), " ".to_owned())];
    let mut swarm = Setup { drones: 0, tables, environment, ..Setup::default() }.start()?;
    let made = fs_err::read_to_string(swarm.data().join("admin.key"))?.trim().to_owned();
    ensure!(made.len() == 48, "a controller whose ADMIN_KEY is empty makes a key");
    let data = swarm.data().display().to_string();
    let mut said = String::new();
    let mut tell = |output: Output, status: i32, words: &str| -> Result<()> {
        ends(&output, status, words)?;
        let text = text(&output.stdout) + &text(&output.stderr);
        ensure!(text.contains(words), "no {words:?} in {text}");
        said += &text;
        Ok(())
    };
    for empty in ["", "  "] {
        tell(pause_with(&swarm, empty, &[])?, 4, "this needs the admin key")?;
        tell(pause_with(&swarm, empty, &["--data", &data])?, 0, "the swarm is paused")?;
    }
    tell(pause_with(&swarm, "wrong-from-here", &[])?, 4, "the admin key is not the controller's")?;
    tell(pause_with(&swarm, &made, &[])?, 0, "the swarm is paused")?;
    tell(pause_with(&swarm, &format!(" {made}\n"), &["--json"])?, 0, "\"paused\"")?;
    let nobody = tempfile::tempdir()?.path().display().to_string();
    tell(pause_with(&swarm, &made, &["--data", &nobody])?, 0, "the swarm is paused")?;

    // one that is configured is the only one
    let given = "a-key-of-the-environment-3b1f";
    swarm.kill_controller()?;
    swarm.set("ADMIN_KEY", given);
    swarm.start_controller()?;
    tell(pause_with(&swarm, &made, &[])?, 4, "the admin key is not the controller's")?;
    tell(pause_with(&swarm, given, &[])?, 0, "the swarm is paused")?;
    tell(pause_with(&swarm, "", &["--data", &data])?, 4, "the admin key is not the controller's")?;
    ensure!(!said.contains(&made) && !said.contains(given) && !said.contains("wrong-from-here"), "{said}");

    let log = fs_err::read_to_string(swarm.controller_log())?;
    ensure!(log.contains("TRACE"), "what is searched is the log of everything");
    for (key, places) in [(made.as_str(), vec![swarm.data().join("admin.key")]), (given, Vec::new())] {
        let found = Command::new("grep").args(["-rlFsa", key]).arg(swarm.dir()).output()?;
        let found: Vec<PathBuf> = text(&found.stdout).lines().map(PathBuf::from).collect();
        ensure!(found == places, "the key stands in {found:?}");
    }
    // what it starts has no business with it
    let server = fs_err::read(format!("/proc/{}/environ", swarm.nats_pid()?))?;
    ensure!(!text(&server).contains("ADMIN_KEY"), "the bus's server was handed the key");
    Ok(())
}

#[test]
fn what_is_not_there_ends_with_1_and_names_what_was_meant() -> Result<()> {
    let swarm = Swarm::start(0, "")?;
    let queued = at(&swarm, "--json queue add app-misc/waggle")?;
    ends(&queued, 0, "queue add")?;
    let answer: Value = serde_json::from_slice(&queued.stdout)?;
    ensure!(answer["queued"] == 1 && answer["session_id"] == 1, "{answer}");
    for (line, status, says) in [
        ("why app-misc/wagle", 1, "did you mean app-misc/waggle?"),
        ("queue remove app-misc/wagle", 1, "did you mean app-misc/waggle?"),
        ("control unblock app-misc/wagle", 1, "did you mean app-misc/waggle?"),
        ("log app-misc/wagle", 1, "did you mean app-misc/waggle?"),
        ("log app-misc/waggle", 1, "has not been tried yet"),
        ("drone pause d1", 1, "there are no drones yet"),
        ("session show 9", 1, "swarm session list"),
        ("wait 9", 1, "swarm session list"),
        ("settings set rules.gruond_for 1m", 1, "did you mean rules.ground_for?"),
        ("settings set http.port 1", 1, "can't change while the controller runs"),
        ("settings set rules.ground_for soon", 2, "is not a duration"),
        ("queue add waggle", 2, "category/name"),
    ] {
        let output = at(&swarm, line)?;
        ends(&output, status, line)?;
        ensure!(text(&output.stderr).contains(says), "{line}: {}", text(&output.stderr));
    }
    let why = at(&swarm, "why app-misc/waggle")?;
    ends(&why, 0, "why")?;
    ends(&at(&swarm, "queue remove app-misc/waggle")?, 0, "queue remove")?;
    Ok(())
}

#[test]
fn a_setting_that_was_changed_holds_at_once_and_after_a_crash() -> Result<()> {
    let mut swarm = Swarm::start(0, "")?;
    let name =
        |swarm: &Swarm| -> Result<Value> { Ok(swarm.http.get("/api/v1/versions")?["control_plane"]["name"].clone()) };
    ensure!(name(&swarm)? == "build-swarm");
    ends(&at(&swarm, "settings set name hive")?, 0, "settings set")?;
    ends(&at(&swarm, "settings set log.level debug")?, 0, "settings set")?;
    ensure!(name(&swarm)? == "hive", "it holds at once");
    let told = swarm.events("audit")?;
    ensure!(told.len() == 2 && told[0]["details"]["after"] == "hive", "{told:?}");
    let debug = || Ok(text(&at(&swarm, "log --controller -n 1000")?.stdout).contains(" DEBUG ").then_some(()));
    until("the log to have more in it", SOON, debug)?;

    swarm.kill_controller()?;
    swarm.start_controller()?;
    ensure!(name(&swarm)? == "hive", "and after a crash");
    let listed: Value = serde_json::from_slice(&at(&swarm, "--json settings list")?.stdout)?;
    ensure!(listed["name"]["value"] == "hive" && listed["name"]["updated_at"].is_number(), "{listed}");
    ensure!(listed["log.level"]["value"] == "debug" && listed["paused"]["value"] == "false", "{listed}");
    ends(&at(&swarm, "settings reset name")?, 0, "settings reset")?;
    ensure!(name(&swarm)? == "build-swarm", "given back");
    Ok(())
}

/// A command that goes on, and the lines it prints.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn start(swarm: &Swarm, line: &str) -> Result<Self> {
        let mut command = program("swarm")?;
        command.args(["--url", &swarm.http.url, "--data"]).arg(swarm.data()).args(line.split_whitespace());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (tell, lines) = channel();
        let out = child.stdout.take().context("its output")?;
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).for_each(|line| drop(tell.send(line)));
        });
        Ok(Self { child, lines })
    }

    /// Lines up to and with one that contains `word`.
    fn until(&self, word: &str) -> Result<Vec<String>> {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(SOON) {
                Ok(line) => {
                    let found = line.contains(word);
                    seen.push(line);
                    if found {
                        return Ok(seen);
                    }
                }
                Err(_) => bail!("waited for {word}; there were {seen:?}"),
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn events_are_followed_over_a_crash_of_the_controller_each_once() -> Result<()> {
    let mut swarm = Swarm::start(0, "")?;
    let following = Following::start(&swarm, "--json events --follow")?;
    let mut seen = Vec::new();
    for (round, word) in ["paused", "resumed", "paused", "resumed"].into_iter().enumerate() {
        if round == 2 {
            swarm.kill_controller()?;
            swarm.start_controller()?;
        }
        ends(&at(&swarm, if word == "paused" { "control pause" } else { "control resume" })?, 0, word)?;
        seen.extend(following.until(word)?);
    }
    let ids: Vec<u64> = seen
        .iter()
        .map(|line| serde_json::from_str::<Value>(line)?["id"].as_u64().context("a number"))
        .collect::<Result<_>>()?;
    ensure!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "each once, none left out: {ids:?}");
    Ok(())
}

#[test]
fn the_controllers_log_is_followed_and_streams_end_with_it() -> Result<()> {
    let mut swarm = Swarm::start(0, "")?;
    let following = Following::start(&swarm, "log --controller --follow -n 1000")?;
    following.until("the controller is up")?;
    // what happened before it began is shown, too: nobody knows when it has begun
    let events = Following::start(&swarm, "events --follow")?;
    ends(&at(&swarm, "control pause")?, 0, "control pause")?;
    events.until("paused the swarm")?;
    // open streams do not keep the controller from ending
    let pid = swarm.controller_pid().context("the controller runs")?;
    processes::signal(pid, Signal::SIGTERM)?;
    until("the controller to end", SOON, || Ok((!processes::lives(pid)).then_some(())))?;
    swarm.kill_controller().ok();
    swarm.start_controller()?;
    following.until("the controller is up")?;
    Ok(())
}

#[test]
fn an_output_nobody_reads_any_more_is_no_error() -> Result<()> {
    let swarm = Swarm::start(0, "")?;
    let mut command = program("swarm")?;
    command.args(["--url", &swarm.http.url, "--json", "status"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    ends(&output, 0, "status | true")?;
    ensure!(output.stderr.is_empty(), "{}", text(&output.stderr));
    Ok(())
}

#[test]
fn what_up_left_in_this_directory_is_found_unless_a_key_comes_from_elsewhere() -> Result<()> {
    let dir = tempfile::tempdir()?;
    fs_err::create_dir(dir.path().join(".swarm"))?;
    let state = serde_json::json!({ "url": "http://127.0.0.1:2", "processes": [] }).to_string();
    fs_err::write(dir.path().join(".swarm/up.json"), state)?;
    let looked = |dir: &Path, key: Option<&str>| -> Result<String> {
        let mut command = program("swarm")?;
        command.arg("status").current_dir(dir);
        if let Some(key) = key {
            command.env("ADMIN_KEY", key);
        }
        Ok(text(&command.output()?.stderr))
    };
    ensure!(looked(dir.path(), None)?.contains("http://127.0.0.1:2"), "the swarm of this directory");
    ensure!(!looked(dir.path(), Some("k"))?.contains("http://127.0.0.1:2"), "no directory chooses where a key goes");
    Ok(())
}
