//! A tiny ebuild tree and a planner for it: enough to make real plans without Portage.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::plan::{Complaint, ComplaintKind, Plan, PlannedEdge, PlannedPackage};
use swarm_protocol::{Atom, Cpv};

/// A package of the tree.
#[derive(Debug, Clone, Default)]
pub struct Ebuild {
    pub cpv: &'static str,
    /// `category/name` needed to build it.
    pub build: &'static [&'static str],
    /// `category/name` needed to run it.
    pub run: &'static [&'static str],
    /// Flags it knows; none is on by default.
    pub flags: &'static [&'static str],
    /// Names of its source files, hashed.
    pub sources: &'static [u32],
    /// The resolver's words, if it cannot be had.
    pub complaint: Option<(ComplaintKind, &'static str)>,
}

pub type Tree = BTreeMap<String, Ebuild>;

/// The tree most scenarios use.
pub fn tree() -> Tree {
    let plain = |cpv| Ebuild { cpv, ..Ebuild::default() };
    let ebuilds = [
        plain("app-misc/hello-1.0"),
        plain("app-misc/other-2"),
        plain("dev-libs/libcalc-3"),
        Ebuild {
            cpv: "app-misc/calc-3.1",
            build: &["dev-libs/libcalc"],
            run: &["dev-libs/libcalc"],
            ..Ebuild::default()
        },
        Ebuild { cpv: "app-misc/abacus-0.9", build: &["dev-libs/libcalc"], ..Ebuild::default() },
        Ebuild { cpv: "app-misc/fancy-1", flags: &["greet", "ssl"], ..Ebuild::default() },
        plain("app-misc/broken-1"),
        Ebuild { cpv: "app-misc/on-broken-1", build: &["app-misc/broken"], ..Ebuild::default() },
        Ebuild {
            cpv: "app-misc/masked-9",
            complaint: Some((ComplaintKind::Masked, "app-misc/masked-9 is masked by: ~amd64 keyword")),
            ..Ebuild::default()
        },
        // two that need each other: Portage builds the first without the second
        Ebuild { cpv: "dev-libs/ring-a-1", build: &["dev-libs/ring-b"], ..Ebuild::default() },
        Ebuild { cpv: "dev-libs/ring-b-1", build: &["dev-libs/ring-a"], ..Ebuild::default() },
    ];
    ebuilds.into_iter().map(|ebuild| (cp(ebuild.cpv), ebuild)).collect()
}

pub fn cp(cpv: &str) -> String {
    cpv.parse::<Cpv>().expect("a test's cpv is one").cp()
}

struct Planner<'a> {
    tree: &'a Tree,
    package_use: &'a [String],
    plan: Plan,
    places: BTreeMap<String, u32>,
    open: BTreeSet<String>,
}

/// Resolves atoms as Portage would: dependencies first, cycles cut where they close.
pub fn plan(tree: &Tree, atoms: &[String], package_use: &[String]) -> Plan {
    let plan = Plan { portage: "3.0.83".to_owned(), ..Plan::default() };
    let mut planner = Planner { tree, package_use, plan, places: BTreeMap::new(), open: BTreeSet::new() };
    for text in atoms {
        let atom: Atom = text.parse().expect("the controller sends atoms");
        let known =
            tree.get(&atom.cp()).filter(|ebuild| atom.exact().is_none_or(|exact| exact.to_string() == ebuild.cpv));
        let complaint = match known {
            None => Some((ComplaintKind::NotFound, "there are no ebuilds to satisfy it")),
            Some(ebuild) => ebuild.complaint,
        };
        if let Some((kind, words)) = complaint {
            let complaint = Complaint { kind, text: format!("{words}\nasked for: {text}"), ..Complaint::default() };
            return Plan { complaint: Some(complaint), ..Plan::default() };
        }
        let place = planner.visit(&atom.cp());
        planner.plan.targets.push(place);
    }
    let Planner { tree, mut plan, places, .. } = planner;
    for (name, from) in &places {
        let ebuild = &tree[name];
        for (needs, build_time) in [(ebuild.build, true), (ebuild.run, false)] {
            for need in needs.iter().filter_map(|need| places.get(*need)) {
                plan.edges.push(PlannedEdge { from: *from, to: *need, build_time, run_time: !build_time });
            }
        }
    }
    plan
}

impl Planner<'_> {
    fn visit(&mut self, name: &str) -> Option<u32> {
        if let Some(place) = self.places.get(name) {
            return Some(*place);
        }
        if !self.open.insert(name.to_owned()) {
            return None;
        }
        let ebuild = self.tree[name].clone();
        for need in ebuild.build.iter().chain(ebuild.run) {
            self.visit(need);
        }
        let place = self.plan.packages.len() as u32;
        let wanted = |flag: &str| {
            self.package_use.iter().any(|line| {
                let mut words = line.split_whitespace();
                let of = words.next().unwrap_or_default();
                (of == name || of.strip_prefix('=') == Some(ebuild.cpv)) && words.any(|word| word == flag)
            })
        };
        self.plan.packages.push(PlannedPackage {
            cpv: ebuild.cpv.to_owned(),
            slot: "0".to_owned(),
            repository: "demo".to_owned(),
            sources: ebuild.sources.to_vec(),
            use_flags: ebuild.flags.iter().filter(|flag| wanted(flag)).map(|flag| (*flag).to_owned()).collect(),
            ..PlannedPackage::default()
        });
        self.plan.order.push(place);
        self.places.insert(name.to_owned(), place);
        Some(place)
    }
}
