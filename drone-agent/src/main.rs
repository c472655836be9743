//! The drone's agent. Here only the attempt process; the command line of the others comes with them.

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["attempt", dir] => drone_agent::attempt::run(Path::new(dir)),
        _ => anyhow::bail!("usage: drone-agent attempt DIR"),
    }
}
