//! The JSON of the HTTP contract: answers, bodies of requests and refusals, as types of their own, never rows. Times are Unix
//! seconds with fraction, `null` where unknown. Field names are those of 0.4 and stay; fields may be added.
//!
//! Made from rows and the view of the core, without deciding anything, by the façade's handlers; read by the command line and
//! its screen. Parameters of a path stand with their handlers: nobody else reads them.

mod admin;
mod artifact;
mod binhost;
mod build;
mod control;
mod error;
mod event;
mod fleet;
mod healing;
mod history;
mod life;
mod member;
mod metrics;
mod notice;
mod number;
mod ping;
mod queue;
mod session;
mod status;
mod why;
mod wishes;

// all that is public in a topic is the contract; what topics lend each other is `pub(crate)`
pub use admin::*;
pub use artifact::*;
pub use binhost::*;
pub use build::*;
pub use control::*;
pub use error::*;
pub use event::*;
pub use fleet::*;
pub use healing::*;
pub use history::*;
pub use life::*;
pub use member::*;
pub use metrics::*;
pub use notice::*;
pub use number::*;
pub use ping::*;
pub use queue::*;
pub use session::*;
pub use status::*;
pub use why::*;
pub use wishes::*;
