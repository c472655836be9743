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
//! `input` and `effect`: all that can happen, all we can do · `rows`: what is stored · `table`: tables that remember what
//! changed · `fleet`: who is there, leases, orders, trees · `members`: who is let onto the bus · `names`: what drones may be
//! called · `queue`: requests, plans, graph, sessions, results · `publish` and `generation`: the way of a binary into an index · `import`: packages people bring ·
//! `retention`: what leaves the binhost, and how · `learned`: what past builds taught · `placement`: which drone builds what,
//! and why not · `failure`: whose fault, what next · `healing`: pings, and the ladder for drones that do not work ·
//! `forecast`: when what will be built · `check`: invariants, as notes with severity · `tell`: how outcomes come back.

pub mod check;
pub mod effect;
pub mod forecast;
pub mod input;
pub mod placement;
pub mod rows;
pub mod settings;
pub mod table;
pub mod tell;
pub mod view;

mod core;
mod failure;
mod fleet;
mod healing;
mod learned;
mod members;
mod mend;
mod names;
mod publishing;
mod queue;
mod timers;
mod turn;

pub use self::core::Core;
pub use effect::{Answer, Effect};
pub use input::{Input, Now, ReplyTo, Request};
pub use members::{InviteRequest, Membership};
pub use names::{NAME_RULE, is_drone_name};
pub use settings::Settings;
pub use table::{Sink, Source};
pub use tell::Tell;
pub use turn::Work;
pub use view::{Roster, View};
