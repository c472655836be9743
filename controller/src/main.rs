//! The binary `swarm`: controller and command line in one.

use std::process::ExitCode;

fn main() -> ExitCode {
    swarm_controller::cli::main()
}
