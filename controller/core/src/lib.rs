//! The rules of Build Swarm. A synchronous state machine: `(rows, now, input) → (changed rows, effects)`. It knows no clock,
//! no randomness, no I/O and no runtime; everything around it is plumbing that carries inputs in and effects out.
//!
//! # Contract
//!
//! - [`Core::handle`] takes one [`Input`] and returns the [`Effect`]s it causes; [`Core::handle_all`] takes several that came
//!   together. [`Core::wake`] lets time pass; waking early
//!   or twice is harmless. [`Core::next_wake`] says when the next rule is due.
//! - After any number of calls, [`Core::drain`] hands every changed row to a [`Sink`]. **No effect may leave before those
//!   rows are on disk.** An input that changed no row needs no transaction.
//! - [`Core::load`] takes the rows back; [`Core::start`] then re-emits every order not yet taken, with the same fence.
//! - [`Core::view`] is what readers may see; publish it after the commit.
//!
//! # Map
//!
//! From below: `settings`, `names`, `now`, `place` (where an entry can be built), `timers` (what is due when), `sanity` (bounds of
//! what drones say) · `table`: tables that remember what changed · `rows`: what is stored · `files`: what a package's file says of
//! itself · `explanation`: why something is not built, as a value · `input` and `effect`: all that can happen, all we can do ·
//! `request`, `answer` and `ask`: what people ask, and the answer to each · `tell`: how the rooms around the core hand it inputs.
//!
//! Rooms, each with a `state` of its own (`medians` of `learned`); others ask it by what it means: `fleet`: who is there, leases,
//! orders, trees · `members`: who is let onto the bus · `queue`: requests, plans, graph, sessions, results · `publishing`: the way
//! of a binary into an index, packages people bring, what leaves the binhost · `learned`: what past builds taught · `placement`:
//! which drone builds what, and why not · `healing`: pings, and the ladder for drones that do not work · `view`: what readers see.
//!
//! `core` holds rows and states and knows no room's rules; those stand above it. Rooms without a state: `failure`: whose fault,
//! what next · `check` and `mend`: invariants, as notes with severity · `forecast`: when what will be built. At the top `turn`
//! takes inputs to their rooms (`dispatch`: requests), lets time pass, and says when the next rule is due.

pub mod answer;
pub mod ask;
pub mod check;
pub mod effect;
pub mod explanation;
pub mod files;
pub mod forecast;
pub mod healing;
pub mod input;
mod placement;
pub mod request;
pub mod rows;
pub mod settings;
pub mod table;
pub mod tell;
pub mod view;

mod core;
mod dispatch;
mod failure;
mod fleet;
mod learned;
mod members;
mod mend;
mod names;
mod now;
mod place;
mod publishing;
mod queue;
mod sanity;
mod timers;
mod turn;

pub use self::core::Core;
pub use answer::{Answer, ReplyTo};
pub use ask::Ask;
pub use effect::Effect;
pub use input::Input;
pub use members::Membership;
pub use names::{NAME_RULE, is_drone_name};
pub use now::Now;
pub use request::Request;
pub use settings::Settings;
pub use table::{Sink, Source};
pub use tell::Tell;
pub use turn::Work;
pub use view::{Roster, View};
