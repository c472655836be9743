//! The binhost: signed packages and their index, as Portage clients install from them. Native code, no Portage and no gpg:
//! a gpkg is a tar, OpenPGP is a library.
//!
//! It decides how things look on disk and on the wire: the layout of a package, its signatures, its block in the index, the
//! bytes of the index, which files a stranger may see. It never decides what is published, under which BUILD_ID and path, or
//! when something goes: `swarm-core` does, and its [`BinhostWork`](swarm_core::effect::BinhostWork) is carried out here.
//! What became of it goes back through a [`Tell`](swarm_core::Tell). The crate knows no engine, no store and no bus; the
//! controller wires it up.
//!
//! The way of a package: [`upload::receive`] → [`gpkg::inspect`] → [`publish::sign_into`] → [`index::Index`].
//!
//! On disk: `<arch>/<build profile>/<chost>/Packages[.gz]` and, beside it, `<cat>/<pn>/<pf>-<build_id>.gpkg.tar`; packages
//! the public may not have, and the index that lists them, lie in a second such tree ([`pair`], docs/adr/0008).
//! Everything but [`upload`] and [`serve`] blocks and belongs on a blocking thread.
//!
//! # Map
//!
//! A package: `container` (the tar) · `manifest` and `metadata` (in it) · `gpkg` (read and checked) · `sign` and `publish` (made
//! ready for clients). An index: `reduce` (USE conditionals) · `stanza` (one block) · `index` and `chunks` (all of them) · `pair`
//! (public and restricted) · `scan` (from files nobody's rows know). Files: `durable` · `room` (free disk) · `service` (the
//! one writer) · `verify` and `verifying` (are they what the rows say) · `samples` (packages for tests). Doors: `upload` (in) ·
//! `serve` and `ranges` (out) · `secret` (of the restricted part) · `snippet` (what a client is told).

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
#[doc(hidden)]
pub mod samples;
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
