//! The ebuilds of the simulated world: a random graph of packages, each with its temper.

use std::collections::BTreeMap;

use swarm_protocol::plan::{Complaint, ComplaintKind, Plan, PlannedEdge, PlannedPackage};

use super::chance::Chance;
use super::{Millis, SECOND};

/// How a package behaves when it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Temper {
    /// It builds.
    Good,
    /// It fails in a phase, always.
    Broken,
    /// Its sources can't be had, three times in ten.
    Flaky,
    /// It takes more memory than small drones have.
    Large,
    /// It builds as a dependency of its dependents, too, and leaves two packages.
    Twin,
}

/// An ebuild.
#[derive(Debug, Clone)]
pub(super) struct Ebuild {
    pub cpv: String,
    pub needs: Vec<usize>,
    pub temper: Temper,
    pub takes: Millis,
    pub use_flags: Vec<String>,
}

/// All of them.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub ebuilds: Vec<Ebuild>,
    by_name: BTreeMap<String, usize>,
}

/// Memory a large package takes, bytes.
pub(super) const LARGE: u64 = 12 << 30;

impl Tree {
    /// A tree of `count` packages; each needs at most four earlier ones.
    pub(super) fn grown(chance: &mut Chance, count: usize, tempers: bool) -> Self {
        let mut ebuilds = Vec::new();
        for index in 0..count {
            let mut needs: Vec<usize> = Vec::new();
            if index > 0 {
                for _ in 0..chance.below(4) {
                    needs.push(usize::try_from(chance.below(index as u64)).unwrap_or(0));
                }
            }
            needs.sort_unstable();
            needs.dedup();
            let temper = match chance.below(100) {
                _ if !tempers => Temper::Good,
                0..3 => Temper::Broken,
                3..8 => Temper::Flaky,
                8..11 => Temper::Large,
                11..14 => Temper::Twin,
                _ => Temper::Good,
            };
            let category = ["app-misc", "dev-libs", "dev-util", "sys-apps"][index % 4];
            ebuilds.push(Ebuild {
                cpv: format!("{category}/p{index}-1.{}", index % 3),
                needs,
                temper,
                takes: chance.spread(4 * SECOND, 900 * SECOND),
                use_flags: if index % 5 == 0 { vec!["nls".to_owned()] } else { Vec::new() },
            });
        }
        let by_name =
            ebuilds.iter().enumerate().map(|(index, ebuild)| (name_of(&ebuild.cpv).to_owned(), index)).collect();
        Self { ebuilds, by_name }
    }

    /// An ebuild by `category/name-version`.
    pub(super) fn find(&self, cpv: &str) -> Option<&Ebuild> {
        self.ebuilds.iter().find(|ebuild| ebuild.cpv == cpv)
    }

    /// What a planner makes of atoms.
    pub(super) fn plan(&self, atoms: &[String]) -> Plan {
        let index_of = |atom: &String| {
            let bare = atom.trim_start_matches('=');
            self.by_name.get(bare).or_else(|| self.by_name.get(name_of(bare))).copied()
        };
        let mut wanted = Vec::new();
        for atom in atoms {
            let Some(index) = index_of(atom) else {
                let text = format!("there are no ebuilds to satisfy {atom}");
                let complaint = Complaint { kind: ComplaintKind::NotFound, text, ..Complaint::default() };
                return Plan { complaint: Some(complaint), ..Plan::default() };
            };
            wanted.push(index);
        }
        let mut all: Vec<usize> = Vec::new();
        let mut open = wanted.clone();
        while let Some(next) = open.pop() {
            if !all.contains(&next) {
                all.push(next);
                open.extend(&self.ebuilds[next].needs);
            }
        }
        // earlier ones are needed by later ones, so numbers are a merge order
        all.sort_unstable();
        let place = |index: usize| u32::try_from(all.binary_search(&index).unwrap_or(0)).unwrap_or(0);
        Plan {
            portage: "3.0.83".to_owned(),
            packages: all.iter().map(|index| planned(&self.ebuilds[*index])).collect(),
            edges: all
                .iter()
                .flat_map(|from| self.ebuilds[*from].needs.iter().map(move |to| (*from, *to)))
                .map(|(from, to)| PlannedEdge {
                    from: place(from),
                    to: place(to),
                    build_time: true,
                    run_time: to % 2 == 0,
                })
                .collect(),
            order: (0..u32::try_from(all.len()).unwrap_or(0)).collect(),
            targets: wanted.iter().map(|index| Some(place(*index))).collect(),
            duration_ms: 900,
            complaint: None,
        }
    }
}

fn planned(ebuild: &Ebuild) -> PlannedPackage {
    PlannedPackage {
        cpv: ebuild.cpv.clone(),
        slot: "0".to_owned(),
        subslot: "0".to_owned(),
        repository: "gentoo".to_owned(),
        use_flags: ebuild.use_flags.clone(),
        ..PlannedPackage::default()
    }
}

fn name_of(cpv: &str) -> &str {
    cpv.rsplit_once('-').map_or(
        cpv,
        |(name, version)| {
            if version.starts_with(|c: char| c.is_ascii_digit()) { name } else { cpv }
        },
    )
}
