//! `swarm wait`: a session's progress as it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use swarm_api::{Drone, SessionDetail, SessionPackage};

use super::client::Client;
use super::problem::Exit;
use super::progress::{left, style};
use super::screen;
use super::session::{newest, render, unknown};
use super::{Context, Problem};

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// A controller that does not answer is waited for this many looks: it may be starting anew.
pub(super) const MAX_SILENT: u32 = 120;

/// After so many that is said.
const SAY_SILENT: u32 = 3;

/// `swarm wait`
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Number of the session; the newest if none is named
    session: Option<u64>,
}

/// Runs the command.
pub fn run(context: &Context, args: &WaitArgs) -> Result<ExitCode, Problem> {
    let client = context.client()?;
    let session = args.session.map_or_else(|| newest(&client), Ok)?;
    wait_for(context, &client, session)
}

/// Waits until a session has ended and shows what became of it. The exit status is 1 if packages are blocked or failed.
///
/// # Errors
/// When the controller can't be reached for two minutes, or refuses.
pub fn wait_for(context: &Context, client: &Client, session: u64) -> Result<ExitCode, Problem> {
    let mut shown = Shown::new(context.screen.moves);
    let (mut silent, mut first) = (0, None);
    let detail = loop {
        match look(client, session) {
            Ok((detail, drones)) => {
                if std::mem::take(&mut silent) >= SAY_SILENT {
                    shown.line("the controller is back");
                }
                // what had ended before we came is told below
                let news = first.is_some() || detail.session.completed_at.is_none();
                first = Some(());
                if news && !context.screen.json {
                    shown.update(&detail, &drones);
                }
                if detail.session.completed_at.is_some() {
                    break detail;
                }
            }
            Err(problem) if problem.exit == Exit::Unreachable && silent < MAX_SILENT => {
                silent += 1;
                if silent == SAY_SILENT && !context.screen.json {
                    shown.line("the controller does not answer; waiting for it, two minutes at most");
                }
            }
            Err(problem) => return Err(problem),
        }
        std::thread::sleep(LOOK);
    };
    shown.end();
    context.screen.show(&detail, |detail| render(detail, &context.screen))?;
    let well = detail.packages.iter().all(|package| package.status == "received");
    Ok(if well { ExitCode::SUCCESS } else { Exit::Error.into() })
}

fn look(client: &Client, session: u64) -> Result<(SessionDetail, Vec<Drone>), Problem> {
    let detail = client.get(&format!("/api/v1/sessions/{session}")).map_err(unknown)?;
    Ok((detail, client.get("/api/v1/nodes")?))
}

/// What was shown so far: bars on a terminal, a line for each change elsewhere.
struct Shown {
    live: Option<Bars>,
    states: BTreeMap<u64, String>,
}

struct Bars {
    all: MultiProgress,
    session: ProgressBar,
    drones: BTreeMap<String, ProgressBar>,
}

impl Shown {
    fn new(live: bool) -> Self {
        let bars = live.then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            let session = all.add(ProgressBar::new(0));
            session.set_style(style("{bar:24} {pos}/{len} {wide_msg} {elapsed}"));
            session.enable_steady_tick(LOOK);
            Bars { all, session, drones: BTreeMap::new() }
        });
        Self { live: bars, states: BTreeMap::new() }
    }

    fn update(&mut self, detail: &SessionDetail, drones: &[Drone]) {
        let news = !self.states.is_empty();
        for line in changes(detail, &mut self.states, news) {
            self.line(&line);
        }
        if let Some(bars) = &mut self.live {
            bars.update(detail, drones);
        }
    }

    fn line(&self, text: &str) {
        match &self.live {
            // a terminal that went away does not end the wait
            Some(bars) => drop(bars.all.println(text)),
            None => eprintln!("{text}"),
        }
    }

    fn end(&self) {
        if let Some(bars) = &self.live {
            // as above
            drop(bars.all.clear());
        }
    }
}

/// A line for each package whose state is another than in `states`, which are brought up to date. Of packages seen for the
/// first time, `news` says whether what is received, blocked or given up has become so while somebody waited.
pub fn changes(detail: &SessionDetail, states: &mut BTreeMap<u64, String>, news: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for package in &detail.packages {
        let known = states.insert(package.id, package.status.clone());
        let old = match known.as_deref() {
            Some(known) => known == package.status,
            None => package.status == "needed" || (!news && package.status != "delegated"),
        };
        if !old {
            lines.push(line(package));
        }
    }
    lines
}

fn line(package: &SessionPackage) -> String {
    let drone = package.drone.as_deref().map(|drone| format!(" on {drone}")).unwrap_or_default();
    let took = package.duration_s.filter(|seconds| *seconds > 0.0);
    let took = took.map(|seconds| format!(" in {}", screen::duration(seconds))).unwrap_or_default();
    let how = match package.how.as_deref() {
        Some("already_present") => " (already present)",
        Some("on_the_side") => " (on the side)",
        _ => "",
    };
    let failed = matches!(package.status.as_str(), "needed" | "blocked" | "failed");
    let why = package.reasons.last().filter(|_| failed).map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{:<9}  {}{drone}{took}{how}{why}", package.status, package.package)
}

impl Bars {
    fn update(&mut self, detail: &SessionDetail, drones: &[Drone]) {
        let session = &detail.session;
        self.session.set_length(session.total_packages);
        self.session.set_position(session.received + session.blocked + session.failed);
        let bad = session.blocked + session.failed;
        let note = if bad > 0 { format!(", {bad} blocked or failed") } else { String::new() };
        let left = session.eta_s.map(|left| format!(", about {} left", screen::duration(left))).unwrap_or_default();
        self.session.set_message(format!("\"{}\"{note}{left}", session.name));
        let mut busy = BTreeSet::new();
        for drone in drones.iter().filter(|drone| !drone.assigned_packages.is_empty()) {
            busy.insert(drone.name.clone());
            let bar = self.drones.entry(drone.name.clone()).or_insert_with(|| {
                let bar = self.all.add(ProgressBar::new(100));
                bar.set_style(style("{bar:24} {prefix}: {wide_msg}"));
                bar.set_prefix(drone.name.clone());
                bar
            });
            let (percent, text) = describe(drone);
            bar.set_position(percent);
            bar.set_message(text);
        }
        self.drones.retain(|name, bar| {
            let keep = busy.contains(name);
            if !keep {
                bar.finish_and_clear();
                self.all.remove(bar);
            }
            keep
        });
    }
}

/// A drone's percent and line.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage")]
fn describe(drone: &Drone) -> (u64, String) {
    let Some(progress) = drone.build_progress.first() else {
        return (0, format!("{} waits there", drone.assigned_packages.join(", ")));
    };
    let left = left(progress);
    let elapsed = screen::duration(progress.elapsed_s);
    (progress.progress_pct as u64, format!("{} {} {elapsed}{left}", progress.package, progress.phase))
}
