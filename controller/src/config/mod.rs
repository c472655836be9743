//! The controller's configuration: one TOML file, every key also an environment variable, flags above both. Precedence is
//! flag > environment > file > default. Reading it has no side effects, and tells everything that is wrong at once.
//!
//! `keys` is the list everything is made from; `value` says how durations, sizes and the like are written; `sections` is the
//! configuration as a value, `notify` one of them; `reading` makes it, `contradictions` judges it; `derived` says what follows
//! from it; `pages` is for people; `runtime` which settings may change while the controller runs. Called by `main`.

mod contradictions;
mod derived;
mod keys;
mod notify;
mod packages;
mod pages;
mod reading;
pub mod runtime;
mod sections;
#[cfg(test)]
mod tests;
mod value;

pub use derived::{SYSTEM_FILE, default_file};
pub use notify::Notify;
pub use pages::{example, reference};
pub use reading::{ConfigError, ConfigErrors, Sources};
pub use sections::{Binhost, Bus, Config, Events, Healing, History, Http, Log, Logs};
pub use value::{LogLevel, host_of, is_host};
