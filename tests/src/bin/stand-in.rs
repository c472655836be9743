//! Stands in for emerge and Portage's Python; see `swarm_tests::standing_in`.

fn main() {
    std::process::exit(swarm_tests::standing_in::program::main());
}
