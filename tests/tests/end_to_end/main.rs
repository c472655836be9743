//! Whole swarms of real processes, and what users do with them: one program, for each one links everything. A module is a
//! topic; `cargo nextest run -p swarm-tests kills::` runs one. `.config/nextest.toml` says how many run side by side.

mod bench;
mod binhost;
mod cluster;
mod command_line;
mod controller;
mod controls;
mod demo;
mod disks;
mod garbage;
mod healing;
mod hostile;
mod kills;
mod network;
mod packaging;
mod papers;
mod remote;
mod standing_in;
mod tappers;
mod terminal;
mod uploads;
