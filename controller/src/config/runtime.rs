//! Settings that change while the controller runs: which ones may, what a new value makes of the whole configuration, and
//! who feels it. A change stands above flag, environment and file, is kept in the store, and is taken back by giving the key
//! back to the configuration.
//!
//! Says what would hold; the core keeps the change, and only then [`Runtime::hold`] lets it hold. Called by `serve` at the
//! start and by the façade's admin port.

use std::sync::{Arc, Mutex, PoisonError};

use swarm_core::request::ConfigChange;
use swarm_core::rows::ConfigRow;

use super::keys::{KEYS, Key};
use super::reading::nearest;
use super::{Config, ConfigError};
use crate::config::value::Raw;

/// Keys that may change while the controller runs. Not among them: what is used once, at the start (addresses, the bus,
/// directories, `rules.start_grace`); what drones were told in their welcome (`rules.heartbeat`, `rules.lease`); and what
/// another part took over at the start (`rules.log_wait`, `logs.keep`, the stream's bounds), or is woven into the order of the
/// line (`rules.priority_step`, `rules.age_weight`, `rules.default_duration`).
const CHANGEABLE: &[&str] = &[
    "name",
    "log.level",
    "events.json",
    "binhost.keep",
    "rules.offline_after",
    "rules.resend_order",
    "rules.plan_timeout",
    "rules.min_free_disk",
    "rules.failures_to_block",
    "rules.retry_blocked_after",
    "rules.max_auto_retries",
    "rules.fleet_backoff",
    "rules.fleet_backoff_max",
    "rules.fleet_failures_to_block",
    "rules.drone_retry_after",
    "rules.drone_failures_to_block",
    "rules.failures_to_ground",
    "rules.ground_for",
    "rules.uploads_to_impair",
    "rules.impair_for",
    "rules.unplaceable_after",
    "rules.ticket_life",
    "rules.keep_sessions",
    "rules.max_queue",
    "rules.prefetch",
    "rules.prefetch_within",
    "rules.steal_after",
    "rules.cut_off_hold",
    "rules.sync",
    "rules.sync_timeout",
    "rules.sync_again",
    "rules.build_timeout",
    "rules.build_silence",
    "rules.build_log",
];

/// Whoever acts on settings outside the core; called at the start and after each change.
pub type Feel = Box<dyn Fn(&Held) + Send + Sync>;

/// The configuration as it holds now.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The configuration.
    pub config: Config,
    /// The level of the log, if it was changed at run time: it stands above the environment then.
    pub level: Option<super::LogLevel>,
}

/// A key that may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeKey {
    /// `section.key`.
    pub name: &'static str,
    /// Its value now, as text.
    pub value: String,
    /// What it does.
    pub description: String,
}

/// Why a change was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is no such key, or it can't change while the controller runs.
    #[error("{error}")]
    Key {
        /// What is wrong.
        error: String,
        /// What to do.
        hint: String,
    },
    /// The value does not fit, or contradicts others.
    #[error("{0}")]
    Value(String),
}

/// The configuration and what was changed of it.
pub struct Runtime {
    configured: Config,
    held: Mutex<Arc<Held>>,
    feel: Vec<Feel>,
}

impl Runtime {
    /// What was configured, with what was changed at run time on top. A kept change that does not fit any more (after an
    /// upgrade, or beside a new configuration file) is left out, with a warning each.
    pub fn new(configured: Config, kept: &[ConfigRow], feel: Vec<Feel>) -> (Self, Vec<String>) {
        let mut warnings = Vec::new();
        let mut held = Held { config: configured.clone(), level: None };
        for row in kept {
            match changed(&held, &row.key, &row.value) {
                Ok(next) => held = next,
                Err(error) => warnings.push(format!(
                    "{} was changed to {} at run time, which does not hold any more: {error}",
                    row.key, row.value
                )),
            }
        }
        let runtime = Self { configured, held: Mutex::new(Arc::new(held.clone())), feel };
        runtime.hold(held);
        (runtime, warnings)
    }

    /// What holds now.
    pub fn held(&self) -> Arc<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every key that may change, with its value now.
    pub fn list(&self) -> Vec<RuntimeKey> {
        let held = self.held();
        let shown =
            |key: &Key| RuntimeKey { name: key.name, value: shown(key, &held.config), description: key.doc.join(" ") };
        KEYS.iter().filter(|key| CHANGEABLE.contains(&key.name)).map(shown).collect()
    }

    /// What a change would make: the change for the core, and what holds once the core has kept it. `kept` are the changes
    /// so far; `None` as value gives the key back to the configuration.
    ///
    /// # Errors
    /// When there is no such key, it can't change, or the value does not fit.
    pub fn plan(
        &self,
        name: &str,
        value: Option<&str>,
        kept: &[ConfigRow],
    ) -> Result<(ConfigChange, Held), ChangeError> {
        let key = changeable(name)?;
        let mut held = Held { config: self.configured.clone(), level: None };
        for row in kept.iter().filter(|row| row.key != name) {
            // one that does not fit was left out at the start, too
            held = changed(&held, &row.key, &row.value).unwrap_or(held);
        }
        if let Some(value) = value {
            held = changed(&held, name, value)?;
        }
        let after = shown(key, &held.config);
        let change = ConfigChange {
            key: name.to_owned(),
            value: value.map(|_| after.clone()),
            before: shown(key, &self.held().config),
            after,
            settings: Box::new(held.config.rules.clone()),
        };
        Ok((change, held))
    }

    /// Lets a planned change hold; the core has kept it.
    pub fn hold(&self, held: Held) {
        for feel in &self.feel {
            feel(&held);
        }
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(held);
    }
}

fn changeable(name: &str) -> Result<&'static Key, ChangeError> {
    let wrong = |error: String, hint: String| ChangeError::Key { error, hint };
    let shown: String = name.chars().take(60).collect();
    match KEYS.iter().find(|key| key.name == name) {
        Some(key) if CHANGEABLE.contains(&key.name) => Ok(key),
        Some(key) => Err(wrong(
            format!("{} can't change while the controller runs", key.name),
            format!("set it in the configuration file or as {}, and start the controller anew", key.variable()),
        )),
        None => {
            let hint = match nearest(name, CHANGEABLE.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => "GET the same address for the keys there are".to_owned(),
            };
            Err(wrong(format!("there is no setting {shown:?}"), hint))
        }
    }
}

/// The same with one value changed.
fn changed(held: &Held, name: &str, value: &str) -> Result<Held, ChangeError> {
    let key = changeable(name)?;
    let mut next = held.clone();
    (key.set)(&mut next.config, Raw::Text(value)).map_err(|why| ChangeError::Value(format!("{name}: {why}")))?;
    let mut errors: Vec<ConfigError> = Vec::new();
    next.config.contradictions(&mut errors);
    if let Some(error) = errors.first() {
        return Err(ChangeError::Value(error.to_string()));
    }
    if name == "name" && !(1..=64).contains(&value.trim().chars().count()) {
        return Err(ChangeError::Value("name: 1 to 64 characters".to_owned()));
    }
    if name == "log.level" {
        next.level = Some(next.config.log.level);
    }
    Ok(next)
}

/// A value as text, without the quotes TOML would have.
fn shown(key: &Key, config: &Config) -> String {
    let toml = (key.show)(config).unwrap_or_default();
    match format!("v = {toml}").parse::<toml::Table>() {
        Ok(table) => match table.get("v") {
            Some(toml::Value::String(text)) => text.clone(),
            _ => toml,
        },
        Err(_) => toml,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::config::LogLevel;

    fn row(key: &str, value: &str) -> ConfigRow {
        ConfigRow { key: key.to_owned(), value: value.to_owned(), at: 0, by: "ada".to_owned() }
    }

    fn runtime(kept: &[ConfigRow]) -> (Runtime, Vec<String>) {
        Runtime::new(Config::default(), kept, Vec::new())
    }

    #[test]
    fn every_changeable_key_is_a_key_and_takes_its_own_value() {
        let (runtime, _) = runtime(&[]);
        assert_eq!(runtime.list().len(), CHANGEABLE.len());
        for key in runtime.list() {
            let (change, held) = runtime.plan(key.name, Some(&key.value), &[]).unwrap();
            assert_eq!((change.after, held.config), (key.value, Config::default()), "{}", key.name);
        }
    }

    #[test]
    fn a_change_says_what_was_and_what_will_be_and_holds_when_it_is_let() {
        let (runtime, _) = runtime(&[]);
        let (change, held) = runtime.plan("rules.ground_for", Some("90s"), &[]).unwrap();
        assert_eq!((change.before.as_str(), change.after.as_str()), ("5m", "1m 30s"));
        assert_eq!(change.settings.ground_for, 90_000);
        assert_eq!(runtime.held().config.rules.ground_for, 300_000, "not before it is kept");
        runtime.hold(held);
        assert_eq!(runtime.held().config.rules.ground_for, 90_000);
        let kept = [row("rules.ground_for", "1m 30s")];
        let (back, _) = runtime.plan("rules.ground_for", None, &kept).unwrap();
        assert_eq!((back.value, back.before.as_str(), back.after.as_str()), (None, "1m 30s", "5m"));
        let (other, _) = runtime.plan("rules.max_queue", Some("7"), &kept).unwrap();
        assert_eq!((other.settings.ground_for, other.settings.max_queue), (90_000, 7), "changes add up");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let (runtime, _) = runtime(&[]);
        for (key, value, says) in [
            ("rules.offline_after", "1s", "at least two rules.heartbeat"),
            ("rules.offline_after", "soon", "is not a duration"),
            ("rules.max_queue", "-1", "is not a whole number"),
            ("log.level", "loud", "none of error, warn"),
            ("name", " ", "1 to 64"),
            ("http.port", "1", "can't change while the controller runs"),
            ("rules.gruond_for", "1m", "there is no setting"),
        ] {
            let error = runtime.plan(key, Some(value), &[]).unwrap_err();
            assert!(error.to_string().contains(says), "{key}: {error}");
        }
        let Err(ChangeError::Key { hint, .. }) = runtime.plan("rules.gruond_for", None, &[]) else { panic!() };
        assert_eq!(hint, "did you mean rules.ground_for?");
    }

    #[test]
    fn kept_changes_hold_after_a_start_and_those_that_fit_no_more_are_told() {
        let felt: Arc<Mutex<Vec<Held>>> = Arc::default();
        let ear = felt.clone();
        let feel: Feel = Box::new(move |held| ear.lock().unwrap().push(held.clone()));
        let kept =
            [row("log.level", "debug"), row("rules.of_old", "1"), row("events.json", "true"), row("name", "hive")];
        let (runtime, warnings) = Runtime::new(Config::default(), &kept, vec![feel]);
        let held = runtime.held();
        assert_eq!((held.level, held.config.events.json), (Some(LogLevel::Debug), true));
        assert_eq!(held.config.name, "hive");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("rules.of_old"));
        assert_eq!(felt.lock().unwrap().as_slice(), [(*held).clone()]);
    }
}
