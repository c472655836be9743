//! What the screen shows, as a value: fed with the façade's answers ([`Screen::hear`]) and keys (`keys`), drawn by `draw`. It
//! knows no terminal, no network and no clock; what it wants done it says as [`Wish`].

use std::collections::VecDeque;

use jiff::tz::TimeZone;
use swarm_api::{ControlBody, Drone, Event, Status, Trouble, WhyAnswer};

use super::log::{Lines, Which};

/// Events kept.
const MAX_EVENTS: usize = 500;
/// Seconds a message stays.
const NOTICE_FOR: f64 = 6.0;
/// From this width on there is a second column.
pub const WIDE: u16 = 160;
/// From this height on the second column has room for a log, too.
pub const TALL: u16 = 40;

/// What came in.
#[derive(Debug, Clone)]
pub enum News {
    /// The façade answered.
    Answered(Box<Answered>),
    /// It did not.
    Silent(String),
    /// A piece of the log that is watched, and where it began.
    Log {
        /// What was asked for; another log may be watched by now.
        which: Which,
        /// The attempt it turned out to be.
        attempt: u32,
        /// Offset of the first byte.
        offset: u64,
        /// Bytes.
        bytes: Vec<u8>,
        /// Nothing will come any more.
        ended: bool,
    },
    /// There is no such log.
    NoLog(Which, String),
    /// Why a package is not building, or why nobody can say.
    Why(Result<WhyAnswer, String>),
    /// Something was done, or could not be.
    Done(Result<String, String>),
}

/// One round of answers.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The overview.
    pub status: Status,
    /// The drones, by name.
    pub drones: Vec<Drone>,
    /// New events, oldest first.
    pub events: Vec<Event>,
}

/// What the screen wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// Leave the screen; the swarm goes on.
    Leave,
    /// Leave the screen and end the swarm (`swarm up` only).
    End,
    /// Read this log from now on, or none.
    Watch(Option<Which>),
    /// Ask why a package is not building.
    Why(String),
    /// Ask the controller to do something.
    Control(ControlBody),
    /// Do something with a drone.
    Drone {
        /// Its name.
        name: String,
        /// `pause` or `resume`.
        action: &'static str,
    },
    /// Draw everything anew.
    Redraw,
}

/// Panels that can have the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Panel {
    /// The drones.
    Drones,
    /// The head of the line.
    Next,
    /// What is blocked or has failed.
    Troubles,
    /// What happened.
    Events,
}

impl Panel {
    /// All, in the order of Tab.
    pub const ALL: [Self; 4] = [Self::Drones, Self::Next, Self::Troubles, Self::Events];
}

/// What lies over the panels.
#[derive(Debug, Clone, PartialEq)]
pub enum Over {
    /// The keys; and the log behind, if one is open.
    Help(Option<LogView>),
    /// One event, whole.
    Event(Event),
    /// A question, and what follows a yes.
    Confirm {
        /// The question.
        question: String,
        /// What it means.
        detail: String,
        /// What to do on yes.
        wish: Wish,
    },
    /// Whether to end the swarm.
    Ending,
    /// Why a package is not building; the answer, once it is there.
    Why {
        /// The title of the frame.
        package: String,
        /// What was answered.
        answer: Option<Result<WhyAnswer, String>>,
        /// First line shown.
        top: usize,
    },
    /// The log that is watched.
    Log(LogView),
}

/// How a log is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogView {
    /// First line shown; `None` follows the end.
    pub top: Option<usize>,
    /// Columns to the right.
    pub left: usize,
    /// Long lines go on in the next row.
    pub wrap: bool,
}

/// A log that is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Watched {
    /// What is asked for, again and again; attempt 0 is the last one.
    pub which: Which,
    /// The attempt; 0 until it is known.
    pub attempt: u32,
    /// What it is about: package, drone.
    pub title: String,
    /// Its lines.
    pub lines: Lines,
    /// What went wrong with it.
    pub problem: Option<String>,
}

/// What it is opened for.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Where the controller is.
    pub address: String,
    /// In whose time moments are shown.
    pub zone: TimeZone,
    /// The admin key is at hand.
    pub may_act: bool,
    /// It is the screen of `swarm up`.
    pub is_up: bool,
}

/// The screen.
#[derive(Debug, Clone)]
pub struct Screen {
    /// What it was opened for.
    pub setting: Setting,
    /// Columns and rows.
    pub size: (u16, u16),
    /// The last overview.
    pub status: Option<Status>,
    /// The last list of drones.
    pub drones: Vec<Drone>,
    /// Oldest first.
    pub events: VecDeque<Event>,
    /// When the façade last answered, Unix seconds.
    pub heard_at: Option<f64>,
    /// Since when it does not, and what was said.
    pub silent: Option<(f64, String)>,
    /// Who has the focus.
    pub focus: Panel,
    /// The chosen drone, by name.
    pub drone: Option<String>,
    /// The chosen row of the line, of the troubles, of the events (from the newest).
    pub rows: [usize; 3],
    /// What lies over the panels.
    pub over: Option<Over>,
    /// The log that is read.
    pub watched: Option<Watched>,
    /// A message, and when it goes.
    pub notice: Option<(String, f64)>,
    /// Something was asked for and is not done.
    pub waits: bool,
}

impl Screen {
    /// An empty screen.
    pub fn new(setting: Setting, size: (u16, u16)) -> Self {
        Self {
            setting,
            size,
            status: None,
            drones: Vec::new(),
            events: VecDeque::new(),
            heard_at: None,
            silent: None,
            focus: Panel::Drones,
            drone: None,
            rows: [0; 3],
            over: None,
            watched: None,
            notice: None,
            waits: false,
        }
    }

    /// Takes what came in at `now` (Unix seconds); says what follows.
    pub fn hear(&mut self, news: News, now: f64) -> Vec<Wish> {
        match news {
            News::Answered(answered) => self.answered(*answered, now),
            News::Silent(problem) => {
                let since = self.silent.as_ref().map_or(now, |(since, _)| *since);
                self.silent = Some((since, problem));
            }
            News::Log { which, attempt, offset, bytes, ended } => {
                if let Some(watched) = self.watched.as_mut().filter(|watched| watched.which == which) {
                    if watched.lines.len() == 0 {
                        watched.lines.skipped = offset;
                    }
                    watched.lines.push(&bytes);
                    watched.lines.ended = ended;
                    watched.attempt = attempt;
                    watched.problem = None;
                }
            }
            News::NoLog(which, problem) => {
                if let Some(watched) = self.watched.as_mut().filter(|watched| watched.which == which) {
                    watched.problem = Some(problem);
                }
            }
            News::Why(found) => {
                if let Some(Over::Why { answer, .. }) = &mut self.over {
                    *answer = Some(found);
                }
            }
            News::Done(done) => {
                self.waits = false;
                self.say(done.unwrap_or_else(|problem| format!("not done: {problem}")), now);
            }
        }
        self.watch_chosen()
    }

    fn answered(&mut self, answered: Answered, now: f64) {
        let Answered { status, drones, events } = answered;
        if self.silent.take().is_some() && self.heard_at.is_some() {
            self.say("the controller is back".to_owned(), now);
        }
        self.heard_at = Some(now);
        // numbers that begin anew are those of another store
        let newest = self.events.back().map_or(0, |event| event.id);
        if events.first().is_some_and(|event| event.id <= newest) {
            self.events.clear();
        }
        let added = events.len();
        self.events.extend(events);
        while self.events.len() > MAX_EVENTS {
            self.events.pop_front();
        }
        // who reads an event keeps it
        if self.rows[2] > 0 {
            self.rows[2] += added;
        }
        self.status = Some(status);
        self.drones = drones;
        self.hold_selection();
    }

    /// Keeps what is chosen within what there is.
    pub fn hold_selection(&mut self) {
        let known = |name: &String| self.drones.iter().any(|drone| drone.name == *name);
        if !self.drone.as_ref().is_some_and(known) {
            self.drone = self.drones.first().map(|drone| drone.name.clone());
        }
        let lengths = [self.next().len(), self.troubles().len(), self.events.len()];
        for (row, length) in self.rows.iter_mut().zip(lengths) {
            *row = (*row).min(length.saturating_sub(1));
        }
    }

    /// The size has changed.
    pub fn resize(&mut self, size: (u16, u16)) -> Vec<Wish> {
        self.size = size;
        self.watch_chosen()
    }

    /// Whether a log is shown beside the panels.
    pub fn has_preview(&self) -> bool {
        self.size.0 >= WIDE && self.size.1 >= TALL
    }

    /// With room for it, the log of what the chosen drone builds is read, unless one is open.
    fn watch_chosen(&mut self) -> Vec<Wish> {
        if matches!(self.over, Some(Over::Log(_) | Over::Help(Some(_)))) {
            return Vec::new();
        }
        let wanted = self.chosen_drone().filter(|_| self.has_preview()).and_then(building);
        match wanted {
            Some((which, title)) => self.watch(which, title),
            // the end of a log stays until there is another
            None if self.has_preview() => Vec::new(),
            None => self.watched.take().map(|_| Wish::Watch(None)).into_iter().collect(),
        }
    }

    /// Reads a log from now on.
    pub fn watch(&mut self, which: Which, title: String) -> Vec<Wish> {
        if self.watched.as_ref().is_some_and(|watched| watched.which == which) {
            return Vec::new();
        }
        self.watched = Some(Watched { which, attempt: which.attempt, title, lines: Lines::default(), problem: None });
        vec![Wish::Watch(Some(which))]
    }

    /// A message at the bottom.
    pub fn say(&mut self, text: String, now: f64) {
        self.notice = Some((text, now + NOTICE_FOR));
    }

    /// The message that holds at `now`.
    pub fn notice(&self, now: f64) -> Option<&str> {
        self.notice.as_ref().filter(|(_, until)| now < *until).map(|(text, _)| text.as_str())
    }

    /// The chosen drone.
    pub fn chosen_drone(&self) -> Option<&Drone> {
        let name = self.drone.as_ref()?;
        self.drones.iter().find(|drone| drone.name == *name)
    }

    /// The head of the line.
    pub fn next(&self) -> &[String] {
        self.status.as_ref().map_or(&[], |status| &status.next)
    }

    /// What is blocked or has failed.
    pub fn troubles(&self) -> &[Trouble] {
        self.status.as_ref().map_or(&[], |status| &status.troubles)
    }

    /// What keeps the swarm from its work; what is known of a controller that answers.
    pub fn warnings(&self) -> Vec<String> {
        let (None, Some(status)) = (&self.silent, &self.status) else { return Vec::new() };
        let cut_off = status.cut_off.map(|_| "cut off: most drones fell silent at once, nobody is judged".to_owned());
        cut_off.into_iter().chain(status.warnings.iter().cloned()).collect()
    }

    /// The chosen event: rows count from the newest.
    pub fn chosen_event(&self) -> Option<&Event> {
        self.events.iter().rev().nth(self.rows[2])
    }

    /// Seconds since the shown answers came.
    pub fn age(&self, now: f64) -> f64 {
        self.heard_at.map_or(0.0, |at| (now - at).max(0.0))
    }
}

/// What a drone builds: the log to read, and its title.
pub fn building(drone: &Drone) -> Option<(Which, String)> {
    let progress = drone.build_progress.first()?;
    let which = Which { build: progress.build, attempt: progress.attempt };
    Some((which, format!("{} on {}", progress.package, drone.name)))
}
