//! `swarm fleet`.

use clap::Args;
use comfy_table::Cell;
use swarm_api::{Drone, DroneFact};

use super::screen::{self, Screen};
use super::{Context, Problem};

/// Which drones.
#[derive(Debug, Args)]
pub struct FleetArgs {
    /// Only those online
    #[arg(long)]
    online: bool,
}

/// Runs the command.
pub fn run(context: &Context, args: &FleetArgs) -> Result<(), Problem> {
    let path = if args.online { "/api/v1/nodes" } else { "/api/v1/nodes?all=true" };
    let drones: Vec<Drone> = context.client()?.get(path)?;
    context.screen.show(&drones, |drones| render(drones, &context.screen))
}

/// The word for a drone's state, and what stands behind it.
pub fn standing(drone: &Drone) -> (&'static str, Option<&DroneFact>) {
    let facts = &drone.facts;
    match () {
        () if !drone.online => ("offline", None),
        () if facts.grounded.is_some() => ("grounded", facts.grounded.as_ref()),
        () if facts.upload_impaired.is_some() => ("impaired", facts.upload_impaired.as_ref()),
        () if facts.draining.is_some() => ("draining", facts.draining.as_ref()),
        () if facts.drained.is_some() => ("drained", facts.drained.as_ref()),
        () if facts.paused.is_some() => ("paused", facts.paused.as_ref()),
        () => ("online", None),
    }
}

/// The fleet as text.
pub fn render(drones: &[Drone], screen: &Screen) -> String {
    if drones.is_empty() {
        return "no drones yet; `swarm up` starts some on this machine, `swarm drone invite NAME` lets others join\n"
            .to_owned();
    }
    let mut table =
        screen.table(&["NAME", "STATE", "TYPE", "CPUS", "SPEED", "LOAD", "MEMORY", "DISK FREE", "OK/FAILED", "HAS"]);
    let mut notes = String::new();
    for drone in drones {
        let (word, fact) = standing(drone);
        if let Some(fact) = fact {
            notes +=
                &format!("{}: {word} by {} since {}: {}\n", drone.name, fact.by, screen::time(fact.since), fact.reason);
        }
        if drone.online && drone.worker != "alive" {
            notes += &format!("{}: its worker is {}\n", drone.name, drone.worker);
        }
        if let Some(since) = drone.syncing_since {
            notes += &format!("{}: brings its ebuild tree up to date since {}\n", drone.name, screen::time(since));
        }
        table.add_row([
            Cell::new(&drone.name),
            screen::state(word),
            Cell::new(&drone.drone_type),
            Cell::new(drone.cores),
            Cell::new(screen::or_dash(drone.speed.map(|speed| format!("{speed:.2}")))),
            Cell::new(format!("{:.2}", drone.metrics.load_1m)),
            Cell::new(format!("{:.0} % of {:.0} GiB", drone.ram_percent, drone.ram_gb)),
            Cell::new(format!("{} GiB", drone.metrics.disk_free_gb)),
            Cell::new(format!("{}/{}", drone.builds_completed, drone.builds_failed)),
            Cell::new(if drone.assigned_packages.is_empty() {
                "-".to_owned()
            } else {
                drone.assigned_packages.join(", ")
            }),
        ]);
    }
    let table = screen::text_of(&table);
    if notes.is_empty() { table } else { format!("{table}\n{notes}") }
}
