//! Makes the configuration from its sources: file, then environment, then flags. Everything that is wrong is told at once.

use std::path::{Path, PathBuf};

use super::derived::default_file;
use super::keys::{KEYS, Key, PREFIX};
use super::sections::Config;
use super::value::Raw;

/// What a configuration is made from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file and its text.
    pub file: Option<(PathBuf, String)>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// Flags of the command line: key and value.
    pub flags: Vec<(String, String)>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{place}: {why}")]
    Unreadable {
        /// The file.
        place: String,
        /// What the system or the parser says of it.
        why: String,
    },
    /// No such key.
    #[error("{place}: there is no key {key}{}", nearest.as_ref().map_or(String::new(), |near| format!("; did you mean {near}?")))]
    Unknown {
        /// Where it stands.
        place: String,
        /// The key.
        key: String,
        /// The nearest there is.
        nearest: Option<String>,
    },
    /// The value does not fit the key.
    #[error("{place}: {key}: {why}")]
    Value {
        /// Where it stands.
        place: String,
        /// The key.
        key: String,
        /// What it should be.
        why: String,
    },
    /// Values that contradict each other.
    #[error("{0}")]
    Conflict(String),
}

/// Everything that is wrong, at least one thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigErrors(pub Vec<ConfigError>);

fn lines(errors: &[ConfigError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Config {
    /// Reads file and environment of this process. Without `file` it is [`default_file`], if that exists.
    ///
    /// # Errors
    /// Everything that is wrong, together.
    pub fn load(file: Option<&Path>, flags: Vec<(String, String)>) -> Result<Self, ConfigErrors> {
        let path = file.map(Path::to_owned).or_else(default_file);
        let file = path.map(|path| {
            let read = fs_err::read_to_string(&path);
            read.map(|text| (path.clone(), text)).map_err(|error| {
                ConfigErrors(vec![ConfigError::Unreadable {
                    place: path.display().to_string(),
                    why: error.to_string(),
                }])
            })
        });
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::from_sources(&Sources { file: file.transpose()?, environment, flags })
    }

    /// Makes the configuration; touches nothing else.
    ///
    /// # Errors
    /// Everything that is wrong, together.
    pub fn from_sources(sources: &Sources) -> Result<Self, ConfigErrors> {
        let (mut config, mut errors) = (Self::default(), Vec::new());
        if let Some((path, text)) = &sources.file {
            config.take_file(&path.display().to_string(), text, &mut errors);
        }
        config.take_environment(&sources.environment, &mut errors);
        for (name, value) in &sources.flags {
            config.take("command line", name, Raw::Text(value), &mut errors);
        }
        config.contradictions(&mut errors);
        if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
    }

    fn take_file(&mut self, place: &str, text: &str, errors: &mut Vec<ConfigError>) {
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                let why = error.to_string();
                return errors
                    .push(ConfigError::Unreadable { place: place.to_owned(), why: why.trim_end().to_owned() });
            }
        };
        let sections: Vec<&str> = KEYS.iter().filter_map(|key| Some(key.name.split_once('.')?.0)).collect();
        for (name, value) in &table {
            match value {
                toml::Value::Table(section) if sections.contains(&name.as_str()) => {
                    for (key, value) in section {
                        self.take(place, &format!("{name}.{key}"), Raw::File(value), errors);
                    }
                }
                _ => self.take(place, name, Raw::File(value), errors),
            }
        }
    }

    fn take_environment(&mut self, environment: &[(String, String)], errors: &mut Vec<ConfigError>) {
        for key in KEYS {
            let variable = key.variable();
            let found = environment.iter().find(|(name, value)| *name == variable && !value.is_empty());
            if let Some((_, value)) = found {
                self.take(&variable, key.name, Raw::Text(value), errors);
            }
        }
        // Other programs of the swarm read variables of this kind, too, so an unknown one is no error.
        let variables: Vec<String> = KEYS.iter().map(Key::variable).collect();
        for (name, _) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            if !variables.contains(name)
                && let Some(near) = nearest(name, variables.iter().map(String::as_str))
            {
                self.warnings.push(format!("the environment variable {name} means nothing here; {near} would"));
            }
        }
    }

    fn take(&mut self, place: &str, name: &str, raw: Raw<'_>, errors: &mut Vec<ConfigError>) {
        let (place, name) = (place.to_owned(), name.to_owned());
        match KEYS.iter().find(|key| key.name == name) {
            Some(key) => {
                if let Err(why) = (key.set)(self, raw) {
                    errors.push(ConfigError::Value { place, key: name, why });
                }
            }
            None => {
                let nearest = nearest(&name, KEYS.iter().map(|key| key.name));
                errors.push(ConfigError::Unknown { place, key: name, nearest });
            }
        }
    }
}

/// The known name most like an unknown one; its last part counts too, so that `prot` finds `http.port`.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let likeness = |candidate: &str| {
        let last = candidate.rsplit('.').next().unwrap_or(candidate);
        strsim::jaro_winkler(name, candidate).max(strsim::jaro_winkler(name, last))
    };
    // of equals the first, which stands first in the example
    let best = known.map(|candidate| (likeness(candidate), candidate)).min_by(|a, b| b.0.total_cmp(&a.0));
    best.filter(|(likeness, _)| *likeness > 0.75).map(|(_, candidate)| candidate.to_owned())
}
