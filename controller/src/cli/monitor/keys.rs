//! What each key does. What the help says of the keys stands in `help`: change both together.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use swarm_api::{ControlBody, Event};

use super::log::Which;
use super::reason::why_rows;
use super::screen::{LogView, Over, Panel, Screen, Wish, building};

/// Rows a page moves.
const PAGE: usize = 10;
/// Columns an arrow moves a log.
const STEP: usize = 8;

impl Screen {
    /// A key was pressed at `now`.
    pub fn press(&mut self, key: KeyEvent, now: f64) -> Vec<Wish> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            // in `swarm up` it ends the swarm, as it ends any program
            KeyCode::Char('c') if control => return vec![if self.setting.is_up { Wish::End } else { Wish::Leave }],
            KeyCode::Char('l') if control => return vec![Wish::Redraw],
            _ if control => return Vec::new(),
            _ => {}
        }
        match self.over.take() {
            None => self.press_panel(key.code, now),
            Some(over) => self.press_over(over, key.code, now),
        }
    }

    fn press_over(&mut self, over: Over, key: KeyCode, now: f64) -> Vec<Wish> {
        match (over, key) {
            (Over::Confirm { wish, .. }, KeyCode::Char('y' | 'Y') | KeyCode::Enter) => {
                self.waits = true;
                return vec![wish];
            }
            (Over::Ending, KeyCode::Char('e' | 'E' | 'y' | 'Y')) => return vec![Wish::End],
            (Over::Ending, KeyCode::Char('l' | 'L')) => return vec![Wish::Leave],
            // any other key is a no
            (Over::Confirm { .. }, _) => self.say("nothing was changed".to_owned(), now),
            (Over::Help(behind), _) => self.over = behind.map(Over::Log),
            (Over::Event(event), KeyCode::Char('l')) => {
                let log = log_of(&event);
                self.over = Some(Over::Event(event));
                return self.open_this_log(log, now);
            }
            (Over::Event(_) | Over::Ending, _)
            | (Over::Why { .. } | Over::Log(_), KeyCode::Esc | KeyCode::Char('q')) => {}
            (Over::Why { package, answer, top }, key) => {
                let (_, most) = why_rows(answer.as_ref(), self.size);
                let top = moved(top, key, most + 1).unwrap_or(top);
                self.over = Some(Over::Why { package, answer, top });
            }
            (Over::Log(view), key) => self.press_log(view, key),
        }
        // a log that was closed makes room for another
        self.resize(self.size)
    }

    fn press_log(&mut self, mut view: LogView, key: KeyCode) {
        let lines = self.watched.as_ref().map_or(0, |watched| watched.lines.len());
        let page = usize::from(self.size.1.saturating_sub(2)).max(1);
        let last = lines.saturating_sub(page);
        let top = view.top.unwrap_or(last).min(last);
        let to = match key {
            KeyCode::Char('f' | 'G') | KeyCode::End => {
                view.top = None;
                None
            }
            KeyCode::PageUp | KeyCode::Char('b') => Some(top.saturating_sub(page)),
            KeyCode::PageDown | KeyCode::Char(' ') => Some(top + page),
            other => moved(top, other, lines),
        };
        if let Some(to) = to {
            // at its end the log is followed again
            view.top = (to < last).then_some(to);
        }
        match key {
            KeyCode::Left | KeyCode::Char('h') => view.left = view.left.saturating_sub(STEP),
            KeyCode::Right => view.left += STEP,
            KeyCode::Char('v') => (view.wrap, view.left) = (!view.wrap, 0),
            KeyCode::Char('?') => return self.over = Some(Over::Help(Some(view))),
            _ => {}
        }
        self.over = Some(Over::Log(view));
    }

    fn press_panel(&mut self, key: KeyCode, now: f64) -> Vec<Wish> {
        match key {
            KeyCode::Char('q') if self.setting.is_up => self.over = Some(Over::Ending),
            KeyCode::Char('q') => return vec![Wish::Leave],
            KeyCode::Char('?') | KeyCode::F(1) => self.over = Some(Over::Help(None)),
            KeyCode::Tab => self.focus_on(1),
            KeyCode::BackTab => self.focus_on(Panel::ALL.len() - 1),
            KeyCode::Enter => return self.open(now),
            KeyCode::Char('l') => return self.open_log(now),
            KeyCode::Char('w') => return self.open_why(now),
            KeyCode::Char('p') => self.ask_pause(now),
            KeyCode::Char('d') => self.ask_drone(now),
            KeyCode::Char('u') => self.ask_unblock(now),
            other => self.choose(other),
        }
        // another drone may be chosen now
        self.resize(self.size)
    }

    fn focus_on(&mut self, by: usize) {
        let at = Panel::ALL.iter().position(|panel| *panel == self.focus).unwrap_or(0);
        self.focus = Panel::ALL[(at + by) % Panel::ALL.len()];
    }

    fn choose(&mut self, key: KeyCode) {
        match self.focus {
            Panel::Drones => {
                let at = self.drones.iter().position(|drone| Some(&drone.name) == self.drone.as_ref()).unwrap_or(0);
                if let Some(to) = moved(at, key, self.drones.len()) {
                    let to = to.min(self.drones.len().saturating_sub(1));
                    self.drone = self.drones.get(to).map(|drone| drone.name.clone());
                }
            }
            Panel::Next | Panel::Troubles | Panel::Events => {
                let (index, length) = match self.focus {
                    Panel::Next => (0, self.next().len()),
                    Panel::Troubles => (1, self.troubles().len()),
                    _ => (2, self.events.len()),
                };
                if let Some(to) = moved(self.rows[index], key, length) {
                    self.rows[index] = to;
                }
            }
        }
        self.hold_selection();
    }

    fn open(&mut self, now: f64) -> Vec<Wish> {
        match self.focus {
            Panel::Drones => self.open_log(now),
            Panel::Events => {
                self.over = self.chosen_event().cloned().map(Over::Event);
                Vec::new()
            }
            Panel::Next | Panel::Troubles => self.open_why(now),
        }
    }

    /// The package that is chosen, in whichever panel.
    fn chosen_package(&self) -> Option<String> {
        match self.focus {
            Panel::Drones => self.chosen_drone()?.assigned_packages.first().cloned(),
            Panel::Next => self.next().get(self.rows[0]).cloned(),
            Panel::Troubles => self.troubles().get(self.rows[1]).map(|trouble| trouble.package.clone()),
            Panel::Events => self.chosen_event()?.details.get("package")?.as_str().map(str::to_owned),
        }
    }

    /// The log that belongs to what is chosen; of a build without a known attempt the last one's (attempt 0).
    fn chosen_log(&self) -> Option<(Which, String)> {
        match self.focus {
            Panel::Drones => building(self.chosen_drone()?),
            Panel::Next => None,
            Panel::Troubles => {
                let trouble = self.troubles().get(self.rows[1])?;
                Some((Which { build: trouble.build, attempt: 0 }, trouble.package.clone()))
            }
            Panel::Events => log_of(self.chosen_event()?),
        }
    }

    fn open_log(&mut self, now: f64) -> Vec<Wish> {
        self.open_this_log(self.chosen_log(), now)
    }

    fn open_this_log(&mut self, log: Option<(Which, String)>, now: f64) -> Vec<Wish> {
        let Some((which, title)) = log else {
            let text = match self.focus {
                Panel::Drones => "this drone builds nothing now",
                Panel::Next => "it has not been tried yet; w says why it waits",
                Panel::Troubles | Panel::Events => "no log belongs to this",
            };
            self.say(text.to_owned(), now);
            return Vec::new();
        };
        self.over = Some(Over::Log(LogView { top: None, left: 0, wrap: false }));
        self.watch(which, title)
    }

    fn open_why(&mut self, now: f64) -> Vec<Wish> {
        let Some(package) = self.chosen_package() else {
            self.say("choose a package first".to_owned(), now);
            return Vec::new();
        };
        self.over = Some(Over::Why { package: package.clone(), answer: None, top: 0 });
        vec![Wish::Why(package)]
    }

    /// Whether something may be changed; says why not.
    fn may_act(&mut self, now: f64) -> bool {
        let problem = if !self.setting.may_act {
            "this needs the admin key: --admin-key-file FILE, ADMIN_KEY, or --data DIR"
        } else if self.silent.is_some() {
            "the controller can't be reached"
        } else if self.waits {
            "the one before is not done yet"
        } else {
            return true;
        };
        self.say(problem.to_owned(), now);
        false
    }

    fn confirm(&mut self, question: String, detail: &str, wish: Wish) {
        self.over = Some(Over::Confirm { question, detail: detail.to_owned(), wish });
    }

    fn ask_pause(&mut self, now: f64) {
        if !self.may_act(now) {
            return;
        }
        let paused = self.status.as_ref().is_some_and(|status| status.paused);
        let control = |action: &str| Wish::Control(ControlBody { action: action.to_owned(), ..ControlBody::default() });
        if paused {
            self.confirm("Resume the swarm?".to_owned(), "Work is given out again.", control("resume"));
        } else {
            let detail = "No more work is given out; what is being built goes on.";
            self.confirm("Pause the swarm?".to_owned(), detail, control("pause"));
        }
    }

    fn ask_drone(&mut self, now: f64) {
        let Some(drone) = self.chosen_drone() else { return };
        let facts = &drone.facts;
        let held = facts.paused.is_some() || facts.draining.is_some() || facts.drained.is_some();
        let name = drone.name.clone();
        if !self.may_act(now) {
            return;
        }
        if held {
            let question = format!("Resume {name}?");
            self.confirm(question, "It is given work again.", Wish::Drone { name, action: "resume" });
        } else {
            let detail = "It is given no new work; what it builds goes on.";
            self.confirm(format!("Pause {name}?"), detail, Wish::Drone { name, action: "pause" });
        }
    }

    fn ask_unblock(&mut self, now: f64) {
        if self.focus != Panel::Troubles {
            return self.say("choose a blocked package first (Tab)".to_owned(), now);
        }
        let Some(package) = self.chosen_package() else { return };
        if self.may_act(now) {
            let body =
                ControlBody { action: "unblock".to_owned(), package: Some(package.clone()), ..ControlBody::default() };
            let detail = "Its failures are forgotten and it is tried again.";
            self.confirm(format!("Unblock {package}?"), detail, Wish::Control(body));
        }
    }
}

/// The log of the attempt an event is about.
fn log_of(event: &Event) -> Option<(Which, String)> {
    let details = &event.details;
    let build = details.get("build")?.as_u64()?;
    let attempt = details.get("attempt").and_then(serde_json::Value::as_u64).unwrap_or(0);
    let package = details.get("package").and_then(|package| package.as_str()).unwrap_or_default();
    let on = details.get("drone").and_then(|drone| drone.as_str());
    let title = on.map_or_else(|| package.to_owned(), |on| format!("{package} on {on}"));
    Some((Which { build, attempt: u32::try_from(attempt).ok()? }, title))
}

/// Where a key moves to within a list of `length`; `None` for a key that does not move.
fn moved(at: usize, key: KeyCode, length: usize) -> Option<usize> {
    let last = length.saturating_sub(1);
    let to = match key {
        KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => at.saturating_add(1),
        KeyCode::PageUp => at.saturating_sub(PAGE),
        KeyCode::PageDown => at.saturating_add(PAGE),
        KeyCode::Home | KeyCode::Char('g') => 0,
        KeyCode::End | KeyCode::Char('G') => last,
        _ => return None,
    };
    Some(to.min(last))
}
