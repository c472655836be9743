//! The binhost: signed packages and their index, as Portage clients install from them. Native code, no Portage and no gpg:
//! a gpkg is a tar, OpenPGP is a library.
//!
//! The way of a package (decision 15): [`upload::receive`] → [`gpkg::inspect`] → [`publish::sign_into`] → [`index::Index`].
//! The engine calls each step as an effect and keeps what it answers in its rows; nothing here decides what is published.
//!
//! On disk: `<arch>/<build profile>/<chost>/Packages[.gz]` and, beside it, `<cat>/<pn>/<pf>-<build_id>.gpkg.tar`; packages
//! the public may not have, and the index that lists them, lie in a second such tree ([`pair`], docs/adr/0008).
//! Everything but [`upload`] and [`serve`] blocks and belongs on a blocking thread.

mod chunks;
pub mod container;
pub mod durable;
pub mod gpkg;
pub mod index;
pub mod manifest;
pub mod metadata;
pub mod pair;
pub mod publish;
pub mod ranges;
pub mod reduce;
pub mod room;
pub mod scan;
pub mod secret;
pub mod serve;
pub mod service;
pub mod sign;
pub mod snippet;
pub mod stanza;
pub mod upload;
pub mod verify;
pub mod verifying;

#[cfg(test)]
mod emaint_tests;
#[cfg(test)]
pub(crate) mod samples;
