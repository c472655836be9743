//! Where values come from: the usual places of the file, the environment's variables, and which key a typo meant.

use std::path::PathBuf;

use super::ConfigError;

/// How a variable's text becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As it is.
    Text,
    /// A whole number.
    Number,
    /// Parted by commas.
    List,
}

/// Every key that is also a variable: `bus.url` is `BUILD_SWARM_BUS_URL`. `more_roots`, a list of tables, is in files only.
pub(super) const KEYS: [(&str, Kind); 31] = [
    ("name", Kind::Text),
    ("state_dir", Kind::Text),
    ("build_dir", Kind::Text),
    ("credentials", Kind::Text),
    ("slots", Kind::Number),
    ("cores_per_slot", Kind::Number),
    ("tags", Kind::List),
    ("log", Kind::Text),
    ("bus.url", Kind::Text),
    ("bus.prefix", Kind::Text),
    ("bus.ca", Kind::Text),
    ("watchdog.silence", Kind::Text),
    ("watchdog.grace", Kind::Text),
    ("limits.plan", Kind::Text),
    ("limits.end_grace", Kind::Text),
    ("limits.waiting", Kind::Number),
    ("healing.reboot", Kind::Text),
    ("healing.reboot_command", Kind::List),
    ("healing.service", Kind::Text),
    ("healing.service_command", Kind::List),
    ("sync.command", Kind::List),
    ("root.kind", Kind::Text),
    ("root.path", Kind::Text),
    ("root.venv", Kind::Text),
    ("root.repository", Kind::Text),
    ("root.profile", Kind::Text),
    ("root.distfiles", Kind::List),
    ("root.build_profile", Kind::Text),
    ("root.makeopts", Kind::Text),
    ("root.make_conf", Kind::List),
    ("root.emerge", Kind::Text),
];

/// The variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("BUILD_SWARM_{}", key.replace('.', "_").to_uppercase())
}

/// Puts the environment's values over the file's. An empty variable counts as not set.
pub(super) fn apply_environment(
    table: &mut toml::Table,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(), String> {
    for (key, kind) in KEYS {
        let name = variable(key);
        let Some(text) = environment(&name).filter(|text| !text.is_empty()) else { continue };
        let value = match kind {
            Kind::Text => toml::Value::String(text),
            Kind::Number => {
                toml::Value::Integer(text.parse().map_err(|_| format!("{name}: {text:?} is not a whole number"))?)
            }
            Kind::List => {
                toml::Value::Array(text.split(',').map(|part| toml::Value::String(part.trim().to_owned())).collect())
            }
        };
        match key.split_once('.') {
            None => {
                table.insert(key.to_owned(), value);
            }
            Some((section, key)) => {
                let section = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
                if let Some(section) = section.as_table_mut() {
                    section.insert(key.to_owned(), value);
                }
            }
        }
    }
    Ok(())
}

/// Turns serde's word about an unknown field into one about a key, with the nearest known one.
pub(super) fn explain(label: &str, error: &toml::de::Error) -> ConfigError {
    let text = error.message();
    let Some(key) = text.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) else {
        let whole = error.to_string().trim().replace('\n', " ");
        return ConfigError::Value { file: label.to_owned(), text: whole };
    };
    // "expected one of `a`, `b`": every other piece between backquotes after the field itself
    let known = text.split('`').skip(3).step_by(2);
    let nearest = known
        .map(|name| (strsim::damerau_levenshtein(key, name), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= name.len().max(3) / 2)
        .map(|(_, name)| name.to_owned());
    ConfigError::UnknownKey { file: label.to_owned(), key: key.to_owned(), nearest }
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// A user's directory by XDG: the variable, else below the home.
fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home))).map(|path| path.join("build-swarm"))
}

fn config_dirs() -> Vec<PathBuf> {
    let system = PathBuf::from("/etc/build-swarm");
    if is_root() { vec![system] } else { xdg("XDG_CONFIG_HOME", ".config").into_iter().chain([system]).collect() }
}

/// The file in the usual places: `BUILD_SWARM_CONFIG`, a user's configuration directory, `/etc/build-swarm`.
pub(super) fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("BUILD_SWARM_CONFIG").filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(path));
    }
    config_dirs().into_iter().map(|dir| dir.join("drone.toml")).find(|path| path.exists())
}

/// Where a drone that joins keeps its configuration.
pub(crate) fn own_dir() -> PathBuf {
    config_dirs().into_iter().next().unwrap_or_default()
}

/// Where the seed is expected.
pub(super) fn default_credentials() -> PathBuf {
    let dirs = config_dirs();
    let first = dirs.first().cloned().unwrap_or_default();
    dirs.into_iter().find(|dir| dir.join("drone.nk").exists()).unwrap_or(first).join("drone.nk")
}

/// Where the drone's memory is put.
pub(super) fn default_state_dir() -> PathBuf {
    let system = PathBuf::from("/var/lib/build-swarm-drone");
    if is_root() { system } else { xdg("XDG_STATE_HOME", ".local/state").map_or(system, |dir| dir.join("drone")) }
}
