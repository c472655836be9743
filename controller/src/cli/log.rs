//! `swarm log`.

use std::io::{Read, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::Value;
use swarm_api::{BuildAnswer, BuildAttempt, Drone, History, OwnLogAnswer, QueueEntry};

use super::client::Client;
use super::problem::Exit;
use super::progress::{left, style};
use super::screen::{self, CLOSED, Screen};
use super::{Context, Problem, similar};

/// Between two looks at how the build goes.
const LOOK: Duration = Duration::from_secs(2);
/// Before a stream that broke off is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// Which log.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// A package (category/name or category/name-version), or the number of a build
    #[arg(value_name = "PACKAGE|BUILD", required_unless_present = "controller")]
    what: Option<String>,
    /// The attempt; the newest if none is named
    attempt: Option<u32>,
    /// Go on until the attempt has ended
    #[arg(long, short)]
    follow: bool,
    /// The controller's own log instead; needs the admin key
    #[arg(long, conflicts_with_all = ["what", "attempt"])]
    controller: bool,
    /// Lines of the controller's log
    #[arg(long, short = 'n', default_value_t = 200, value_name = "COUNT", requires = "controller")]
    lines: usize,
}

/// Runs the command.
pub fn run(context: &Context, args: &LogArgs) -> Result<(), Problem> {
    let client = context.client()?;
    let Some(what) = args.what.as_deref() else { return of_controller(context, &client.admin()?, args) };
    let build = match what.parse::<u64>() {
        Ok(build) => build,
        Err(_) => find(&client, what)?,
    };
    let answer: BuildAnswer = client
        .get(&format!("/api/v1/builds/{build}"))
        .map_err(|problem| problem.if_missing("`swarm queue list` and `swarm history` show numbers under BUILD"))?;
    let attempt = choose(&answer, args.attempt)?;
    if context.screen.json {
        return context.screen.show(attempt, |_| String::new());
    }
    if args.follow {
        return follow(context, &client, build, attempt, &answer.package);
    }
    copy(client.stream(&format!("/api/v1/builds/{build}/{}/log", attempt.attempt))?)
}

/// The controller's own log; followed until Ctrl-C, also over its restarts.
fn of_controller(context: &Context, client: &Client, args: &LogArgs) -> Result<(), Problem> {
    let path = format!("/admin/api/logs/control-plane?lines={}", args.lines);
    if !args.follow {
        let log: OwnLogAnswer = client.get(&path)?;
        return context.screen.show(&log, |log| log.lines.join("\n"));
    }
    let (mut at, mut away) = (None, false);
    loop {
        match client.told(&format!("{path}&follow=true"), at) {
            Ok(stream) => {
                // a controller that was restarted counts anew, and shows its last lines again
                away = false;
                for told in stream.map_while(Result::ok) {
                    at = told.id.or(at);
                    context.screen.line(&told.data)?;
                }
            }
            Err(problem) if problem.exit == Exit::Unreachable && at.is_some() => {
                if !std::mem::replace(&mut away, true) {
                    context.screen.note(&format!("{}; waiting for it", problem.what));
                }
            }
            Err(problem) => return Err(problem),
        }
        sleep(AGAIN);
    }
}

/// The attempt that is wanted, or the newest.
fn choose(answer: &BuildAnswer, wanted: Option<u32>) -> Result<&BuildAttempt, Problem> {
    let Some(newest) = answer.attempts.last() else {
        return Err(Problem::new(format!("{} has not been tried yet", answer.package))
            .next(format!("`swarm why {}` says what it waits for", answer.package)));
    };
    let Some(wanted) = wanted else { return Ok(newest) };
    answer.attempts.iter().find(|attempt| attempt.attempt == wanted).ok_or_else(|| {
        let known: Vec<String> = answer.attempts.iter().map(|attempt| attempt.attempt.to_string()).collect();
        Problem::new(format!("there is no attempt {wanted} of build {}", answer.build))
            .with(&answer.package)
            .next(format!("there are: {}", known.join(", ")))
    })
}

/// The newest build of a package: in the queue, else in the history.
fn find(client: &Client, package: &str) -> Result<u64, Problem> {
    if !package.contains('/') {
        return Err(Problem::usage(format!("{package:?} is neither a package nor the number of a build"))
            .next("write category/name, category/name-version, or the number `swarm queue list` shows under BUILD"));
    }
    let queue: Vec<QueueEntry> = client.get("/api/v1/queue")?;
    let queued = queue.iter().filter(|entry| means(package, &entry.package)).map(|entry| entry.id).max();
    if let Some(build) = queued {
        return Ok(build);
    }
    let history: History = client.get("/api/v1/history?limit=2000")?;
    let past = history.history.iter().find(|entry| means(package, &entry.package)).map(|entry| entry.build);
    past.ok_or_else(|| {
        let problem = Problem { missing: true, ..Problem::new(format!("nothing is known of {package}")) };
        similar::package(client, problem, package)
    })
}

/// Whether `asked` (name or exact version) means the atom `known`.
pub fn means(asked: &str, known: &str) -> bool {
    let (asked, known) = (asked.trim_start_matches('='), known.trim_start_matches('='));
    asked == known || known.parse::<swarm_protocol::Cpv>().is_ok_and(|cpv| cpv.cp() == asked)
}

fn copy(mut log: impl Read) -> Result<(), Problem> {
    let mut out = std::io::stdout().lock();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = log
            .read(&mut buffer)
            .map_err(|error| Problem::new("the log broke off").with(error).next("run this again"))?;
        if read == 0 {
            return Ok(());
        }
        out.write_all(&buffer[..read]).and_then(|()| out.flush()).map_err(|_| Problem::new(CLOSED))?;
    }
}

/// Prints the log until the attempt has ended. A stream that breaks off goes on where it was.
fn follow(
    context: &Context,
    client: &Client,
    build: u64,
    attempt: &BuildAttempt,
    package: &str,
) -> Result<(), Problem> {
    let path = format!("/api/v1/builds/{build}/{}/log?follow=true", attempt.attempt);
    let mut below = Below::new(context, client, (build, attempt.attempt), package);
    let (mut at, mut away) = (0, false);
    loop {
        match client.told(&path, (at > 0).then_some(at)) {
            Ok(stream) => {
                away = false;
                let mut any = false;
                for told in stream.map_while(Result::ok) {
                    any = true;
                    at = told.id.unwrap_or(at);
                    let said: Value = serde_json::from_str(&told.data).unwrap_or_default();
                    match told.kind.as_str() {
                        "" => below.print(said["text"].as_str().unwrap_or_default())?,
                        "cut" => below.print(&format!("\n[{} bytes of the log were cut out here]\n", said["bytes"]))?,
                        _ => return below.end(said["complete"] == false),
                    }
                }
                // an answer without anything: there is nothing more to come
                if !any && at > 0 {
                    return below.end(false);
                }
            }
            Err(problem) if problem.exit == Exit::Unreachable && at > 0 => {
                if !std::mem::replace(&mut away, true) {
                    context.screen.note(&format!("{}; waiting for it", problem.what));
                }
            }
            Err(problem) => return Err(problem),
        }
        sleep(AGAIN);
    }
}

/// A log on standard output, and below it, where somebody looks, how the build goes.
struct Below {
    bar: Option<ProgressBar>,
    client: Client,
    which: (u64, u32),
    looked: Option<Instant>,
    begun: String,
}

impl Below {
    fn new(context: &Context, client: &Client, which: (u64, u32), package: &str) -> Self {
        let Screen { live, moves, .. } = context.screen;
        let bar = (live && moves).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style("{spinner} {wide_msg}"));
            bar.set_message(package.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, client: client.clone(), which, looked: None, begun: String::new() }
    }

    fn print(&mut self, text: &str) -> Result<(), Problem> {
        let write = |text: &str| {
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| Problem::new(CLOSED))
        };
        let Some(bar) = &self.bar else { return write(text) };
        // the moving line stands below whole lines only
        self.begun.push_str(text);
        if let Some(end) = self.begun.rfind('\n') {
            let rest = self.begun.split_off(end + 1);
            let lines = std::mem::replace(&mut self.begun, rest);
            bar.suspend(|| write(&lines))?;
        }
        self.look();
        Ok(())
    }

    /// Asks now and then how far it is.
    fn look(&mut self) {
        let Some(bar) = &self.bar else { return };
        if self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        // the log goes on without it
        let Ok(drones) = self.client.get::<Vec<Drone>>("/api/v1/nodes") else { return };
        let (build, attempt) = self.which;
        let building = drones.iter().flat_map(|drone| drone.build_progress.iter().map(move |p| (drone, p)));
        for (drone, progress) in building.filter(|(_, p)| p.build == build && p.attempt == attempt) {
            let left = left(progress);
            let elapsed = screen::duration(progress.elapsed_s);
            bar.set_message(format!("{} on {}: {}, {elapsed}{left}", progress.package, drone.name, progress.phase));
        }
    }

    /// The log is over; says how the attempt ended.
    fn end(self, incomplete: bool) -> Result<(), Problem> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            let mut out = std::io::stdout().lock();
            out.write_all(self.begun.as_bytes()).map_err(|_| Problem::new(CLOSED))?;
        }
        if incomplete {
            eprintln!("(the end of this log could not be had)");
        }
        let (build, attempt) = self.which;
        let answer = self.client.get::<BuildAnswer>(&format!("/api/v1/builds/{build}"));
        let known = answer.ok().and_then(|answer| answer.attempts.into_iter().find(|one| one.attempt == attempt));
        if let Some(ended) = known.filter(|one| one.status != "running") {
            let why = ended.error_message.map(|why| format!(": {why}")).unwrap_or_default();
            let took = ended.duration_seconds.map(|took| format!(" after {}", screen::duration(took)));
            eprintln!(
                "build {build}, attempt {attempt} on {}: {}{}{why}",
                ended.drone,
                ended.status,
                took.unwrap_or_default()
            );
        }
        Ok(())
    }
}
