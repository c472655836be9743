//! "Did you mean": names that are known, for one that is not.

use swarm_api::{Drone, QueueEntry};

use super::client::Client;
use super::problem::Problem;

/// Likeness from which on two names are taken for one with a typo.
const LIKE: f64 = 0.85;

/// The known name most like `asked`, if one is like it.
pub fn nearest<'a>(asked: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let best =
        known.map(|name| (strsim::jaro_winkler(asked, name), name)).max_by(|one, other| one.0.total_cmp(&other.0));
    best.filter(|(likeness, _)| *likeness >= LIKE).map(|(_, name)| name)
}

/// With the drone that may have been meant, if it is one that is not there.
pub fn drone(client: &Client, problem: Problem, asked: &str) -> Problem {
    if !problem.missing {
        return problem;
    }
    let drones: Vec<Drone> = client.get("/api/v1/nodes?all=true").unwrap_or_default();
    let names = drones.iter().map(|drone| drone.name.as_str());
    match nearest(asked, names.clone()) {
        Some(name) => problem.next(format!("did you mean {name}? `swarm fleet` shows all drones")),
        None if drones.is_empty() => problem.next("there are no drones yet"),
        None if drones.len() <= 8 => problem.next(format!("there are: {}", names.collect::<Vec<_>>().join(", "))),
        None => problem.next("`swarm fleet` shows all drones"),
    }
}

/// With the package that may have been meant, if it is one that is not there.
pub fn package(client: &Client, problem: Problem, asked: &str) -> Problem {
    if !problem.missing {
        return problem;
    }
    let queue: Vec<QueueEntry> = client.get("/api/v1/queue").unwrap_or_default();
    if queue.is_empty() {
        return problem.next("the queue is empty; `swarm queue add CATEGORY/NAME` fills it");
    }
    let known = names(queue.iter().map(|entry| entry.package.as_str()));
    match nearest_package(asked, &known) {
        Some(name) => problem.next(format!("did you mean {name}? `swarm queue list` shows what is in the queue")),
        None => problem.next("`swarm queue list` shows what is in the queue, `swarm history` what was"),
    }
}

/// The package most like `asked`. Its name must be like it, whatever the category is: within one category all packages
/// begin alike.
fn nearest_package<'a>(asked: &str, known: &'a [String]) -> Option<&'a str> {
    let asked = asked.trim_start_matches('=');
    let name = |package: &str| package.split_once('/').map_or(package.to_owned(), |(_, name)| name.to_owned());
    let like = |package: &&String| strsim::jaro_winkler(&name(asked), &name(package)) >= LIKE;
    nearest(asked, known.iter().filter(like).map(String::as_str))
}

/// What packages can be called: with and without their versions.
fn names<'a>(atoms: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names = Vec::new();
    for atom in atoms {
        let bare = atom.trim_start_matches('=');
        names.push(bare.to_owned());
        names.extend(bare.parse::<swarm_protocol::Cpv>().ok().map(|cpv| cpv.cp()));
    }
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_name_and_something_else_none() {
        let known = names(["=app-misc/waggle-1.1", "=app-misc/wasp-1.0"].into_iter());
        let near = |asked: &str| nearest_package(asked, &known);
        assert_eq!(near("app-misc/wagle"), Some("app-misc/waggle"));
        assert_eq!(near("app-misc/waggle-1.2"), Some("app-misc/waggle-1.1"));
        assert_eq!(near("ap-misc/wasp"), Some("app-misc/wasp"));
        assert_eq!(near("app-misc/nothing"), None, "the same category is no likeness");
        assert_eq!(near("sys-libs/glibc"), None);
        assert_eq!(nearest("x", std::iter::empty()), None);
    }
}
