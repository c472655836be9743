//! `swarm why`.

use clap::Args;
use swarm_api::{WhyAnswer, WhyEntry};

use super::client::{package_path, segment};
use super::screen::{self, Screen};
use super::{Context, Problem, similar};

/// Which package.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// category/name or category/name-version
    package: String,
    /// Only this slot
    #[arg(long)]
    slot: Option<String>,
    /// Only from this repository
    #[arg(long)]
    repo: Option<String>,
    /// Only this build
    #[arg(long)]
    build: Option<u64>,
}

/// Runs the command.
pub fn run(context: &Context, args: &WhyArgs) -> Result<(), Problem> {
    let build = args.build.map(|build| build.to_string());
    let given = [("slot", &args.slot), ("repo", &args.repo), ("build", &build)];
    let query: Vec<String> =
        given.iter().filter_map(|(name, value)| Some(format!("{name}={}", segment(value.as_deref()?)))).collect();
    let path = format!("/api/v1/packages/{}/why?{}", package_path(&args.package)?, query.join("&"));
    let client = context.client()?;
    let answer: WhyAnswer = client.get(&path).map_err(|problem| similar::package(&client, problem, &args.package))?;
    context.screen.show(&answer, |answer| render(answer, &context.screen))
}

/// The answer as text.
pub fn render(answer: &WhyAnswer, screen: &Screen) -> String {
    answer.entries.iter().map(|entry| describe(entry, screen)).collect::<Vec<_>>().join("\n")
}

fn describe(entry: &WhyEntry, screen: &Screen) -> String {
    let flags =
        if entry.use_flags.is_empty() { String::new() } else { format!(" USE=\"{}\"", entry.use_flags.join(" ")) };
    let mut text = format!("{}{flags} is {}: {}\n", screen.bold(&entry.package), entry.status, entry.summary);
    for reason in &entry.reasons {
        text += &format!("  {reason}\n");
    }
    if entry.status == "needed" && entry.path_s > 0.0 {
        let usual = entry
            .usual_s
            .map_or("never built before".to_owned(), |usual| format!("takes about {}", screen::duration(usual)));
        let path = screen::duration(entry.path_s);
        text +=
            &format!("  {usual}; the longest chain of builds that waits for it, {path}; priority {}\n", entry.priority);
    }
    for waiting in &entry.waiting_for {
        text += &format!("  waits for {} ({})\n", waiting.package, waiting.status);
    }
    if entry.drones.is_empty() {
        return text + "  there are no drones\n";
    }
    if entry.status == "received" {
        return text;
    }
    let mut table = screen.table(&["DRONE", "MAY BUILD IT", "TAKES", "SCORE", "WHY NOT, OR WHY SO"]);
    for drone in &entry.drones {
        let against: Vec<_> = drone.against.iter().map(|reason| format!("{}: {}", reason.rule, reason.text)).collect();
        let points: Vec<_> = drone.points.iter().map(|points| format!("{} {:+}", points.rule, points.points)).collect();
        table.add_row([
            comfy_table::Cell::new(&drone.name),
            if drone.eligible { screen::state("yes") } else { screen::state("no") },
            comfy_table::Cell::new(screen::or_dash(drone.estimated_s.map(screen::duration))),
            comfy_table::Cell::new(drone.score),
            comfy_table::Cell::new(if drone.eligible { points.join(", ") } else { against.join("; ") }),
        ]);
    }
    format!("{text}\n{}", screen::text_of(&table))
}
