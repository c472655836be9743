//! The binhost: signed packages and their index, as Portage clients install from them. Native code, no Portage and no gpg:
//! a gpkg is a tar, OpenPGP is a library.
//!
//! The way of a package (decision 15): [`upload::receive`] → [`gpkg::inspect`] → [`publish::sign_into`] → [`index::Index`].
//! The engine calls each step as an effect and keeps what it answers in its rows; nothing here decides what is published.
//!
//! On disk: `<arch>/<build profile>/<chost>/Packages[.gz]` and, beside it, `<cat>/<pn>/<pf>-<build_id>.gpkg.tar`.
//! Everything but [`upload`] and [`serve`] blocks and belongs on a blocking thread.

mod chunks;
pub mod container;
pub mod durable;
pub mod gpkg;
pub mod index;
pub mod manifest;
pub mod metadata;
pub mod publish;
pub mod ranges;
pub mod reduce;
pub mod scan;
pub mod serve;
pub mod service;
pub mod sign;
pub mod snippet;
pub mod stanza;
pub mod upload;

#[cfg(test)]
pub(crate) mod samples;
