//! Asks the façade for the screen: one thread for the answers every second, one for the log that is watched, one for each
//! thing somebody wants done. Nothing here is shown or decided; what comes in goes to the screen as [`News`].

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use swarm_api::{BuildAnswer, ControlBody, Drone, DroneDone, Events, Status, WhyAnswer};
use tokio::sync::mpsc;

use super::log::Which;
use super::screen::{Answered, News, Wish};
use crate::cli::client::{Client, package_path, segment};
use crate::cli::control;
use crate::cli::problem::{Exit, Problem};

/// Between two rounds of questions.
const EVERY: Duration = Duration::from_secs(1);
/// The same while there is no answer.
const SILENT: Duration = Duration::from_secs(2);
/// Between two looks at a log.
const LOG_EVERY: Duration = Duration::from_millis(500);
/// Bytes of a log's end that are read first.
const TAIL: u64 = 1 << 20;
/// Events asked for at first.
const EVENTS: usize = 200;

/// The threads; they end when this is dropped.
pub struct Feed {
    client: Arc<Client>,
    news: mpsc::Sender<News>,
    wake: Sender<()>,
    watch: Sender<Option<Which>>,
}

impl Feed {
    /// Starts asking.
    pub fn start(client: Client, news: mpsc::Sender<News>) -> Self {
        let client = Arc::new(client);
        let (wake, woken) = channel();
        let (watch, watched) = channel();
        let (asks, tells) = (client.clone(), news.clone());
        std::thread::spawn(move || rounds(&asks, &tells, &woken));
        let (asks, tells) = (client.clone(), news.clone());
        std::thread::spawn(move || logs(&asks, &tells, &watched));
        Self { client, news, wake, watch }
    }

    /// Does what the screen wants of the façade.
    pub fn carry_out(&self, wish: Wish) {
        match wish {
            // a thread that is gone has nobody to tell either
            Wish::Watch(which) => drop(self.watch.send(which)),
            Wish::Why(package) => self.spawn(move |client| News::Why(why(client, &package).map_err(short))),
            Wish::Control(body) => self.spawn(move |client| News::Done(control_it(client, &body).map_err(short))),
            Wish::Drone { name, action } => self.spawn(move |client| {
                let done = client.post::<DroneDone>(&format!("/api/v1/nodes/{}/{action}", segment(&name)), &());
                News::Done(done.map(|done| format!("{} is {}", done.name, done.status)).map_err(short))
            }),
            Wish::Leave | Wish::End | Wish::Redraw => {}
        }
    }

    fn spawn(&self, ask: impl FnOnce(&Client) -> News + Send + 'static) {
        let (client, news, wake) = (self.client.clone(), self.news.clone(), self.wake.clone());
        std::thread::spawn(move || {
            let told = ask(&client);
            // both are gone when the screen is
            drop(news.blocking_send(told));
            let _ = wake.send(());
        });
    }
}

fn why(client: &Client, package: &str) -> Result<WhyAnswer, Problem> {
    client.get(&format!("/api/v1/packages/{}/why", package_path(package)?))
}

fn control_it(client: &Client, body: &ControlBody) -> Result<String, Problem> {
    let answer: serde_json::Value = client.post("/api/v1/control", body)?;
    Ok(control::render(body, &answer))
}

/// A problem in a line.
fn short(problem: Problem) -> String {
    match problem.with {
        Some(with) => format!("{} ({with})", problem.what),
        None => problem.what,
    }
}

fn rounds(client: &Client, news: &mpsc::Sender<News>, woken: &Receiver<()>) {
    let mut seen = None;
    loop {
        let (told, pause) = match round(client, &mut seen) {
            Ok(answered) => (News::Answered(Box::new(answered)), EVERY),
            Err(problem) => (News::Silent(short(problem)), SILENT),
        };
        if news.blocking_send(told).is_err() || woken.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn round(client: &Client, seen: &mut Option<u64>) -> Result<Answered, Problem> {
    let status: Status = client.get("/api/v1/status")?;
    let drones: Vec<Drone> = client.get("/api/v1/nodes?all=true")?;
    let mut events = ask_events(client, *seen)?;
    // numbers that went back are those of another store: begin anew
    if seen.is_some_and(|seen| events.latest_id < seen) {
        events = ask_events(client, None)?;
    }
    *seen = Some(events.latest_id);
    Ok(Answered { status, drones, events: events.events })
}

fn ask_events(client: &Client, seen: Option<u64>) -> Result<Events, Problem> {
    match seen {
        Some(seen) if seen > 0 => client.get(&format!("/api/v1/events?since={seen}&limit={EVENTS}")),
        _ => client.get(&format!("/api/v1/events?limit={EVENTS}")),
    }
}

/// Where the reading of a log stands.
struct Reading {
    which: Which,
    /// The attempt, once it is known.
    attempt: Option<u32>,
    /// The next byte; `None` before the first piece.
    offset: Option<u64>,
    ended: bool,
}

fn logs(client: &Client, news: &mpsc::Sender<News>, watched: &Receiver<Option<Which>>) {
    let mut reading: Option<Reading> = None;
    loop {
        let told = match &reading {
            Some(Reading { ended: false, .. }) => watched.recv_timeout(LOG_EVERY),
            _ => watched.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match told {
            Ok(which) => {
                let attempt = which.and_then(|which| (which.attempt > 0).then_some(which.attempt));
                reading = which.map(|which| Reading { which, attempt, offset: None, ended: false });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(reading) = &mut reading else { continue };
        match read(client, reading) {
            Ok(Some(piece)) => {
                if news.blocking_send(piece).is_err() {
                    return;
                }
            }
            Ok(None) => {}
            // the rounds say so
            Err(problem) if problem.exit == Exit::Unreachable => {}
            Err(problem) => {
                if news.blocking_send(News::NoLog(reading.which, problem.what)).is_err() {
                    return;
                }
            }
        }
    }
}

/// The next piece; `None` when nothing is new.
fn read(client: &Client, reading: &mut Reading) -> Result<Option<News>, Problem> {
    let Which { build, .. } = reading.which;
    let attempt = match reading.attempt {
        Some(attempt) => attempt,
        None => {
            let answer: BuildAnswer = client.get(&format!("/api/v1/builds/{build}"))?;
            let newest = answer.attempts.last().map(|attempt| attempt.attempt);
            newest.ok_or_else(|| Problem::new("It has not been tried yet."))?
        }
    };
    reading.attempt = Some(attempt);
    let range = reading.offset.map_or_else(|| format!("bytes=-{TAIL}"), |offset| format!("bytes={offset}-"));
    let piece = client.log_part(build, attempt, &range)?;
    let news = reading.offset.is_none() || !piece.bytes.is_empty() || piece.ended;
    reading.offset = Some(piece.offset + piece.bytes.len() as u64);
    reading.ended = piece.ended && piece.offset + piece.bytes.len() as u64 >= piece.total;
    let (which, offset, ended) = (reading.which, piece.offset, reading.ended);
    Ok(news.then_some(News::Log { which, attempt, offset, bytes: piece.bytes, ended }))
}
