//! Dependencies that new plans do not name. Only what was asked for is planned anew; what it needed before may be another
//! version by now, or nothing at all. Decides which entries leave the queue for that; never takes what was asked for, what a
//! drone has, what is in the binhost or what a person blocked. `plan` calls it with each plan that it applies.

use std::collections::BTreeSet;

use swarm_protocol::plan::{Plan, PlannedPackage};
use swarm_protocol::{BuildId, Cpv};

use crate::core::Core;
use crate::rows::{BlockedBy, BuildRow, BuildState, EventKind, Origin};

impl Core {
    /// A plan took the place of older ones, by which its entries waited for `former`: what it does not keep, and what nobody
    /// else waits for, is not built any more.
    pub(super) fn drop_superseded(&mut self, former: BTreeSet<BuildId>, kept: &BTreeSet<BuildId>, plan: &Plan) {
        let mut open: Vec<BuildId> = former.into_iter().collect();
        while let Some(id) = open.pop() {
            if kept.contains(&id) || !self.is_left_over(id) {
                continue;
            }
            // what it waited for may have been for it alone
            open.extend(self.soft.queue.graph.unmet(id));
            let Some(row) = self.rows.builds.get(&id) else { continue };
            let message = format!("{} is superseded: {}", row.atom(), successor(row, plan));
            self.build_event(EventKind::Control, id, message, None);
            self.drop_build(id);
        }
    }

    /// A dependency that is not under way, and that nobody waits for any more.
    fn is_left_over(&self, id: BuildId) -> bool {
        let Some(row) = self.rows.builds.get(&id).filter(|row| row.origin == Origin::Dependency) else {
            return false;
        };
        let idle = match &row.state {
            BuildState::Needed { .. } | BuildState::Failed { .. } => true,
            BuildState::Blocked { by, .. } => !matches!(by, BlockedBy::Person { .. }),
            BuildState::Planning { .. } | BuildState::Delegated { .. } | BuildState::Received { .. } => false,
        };
        idle && self.soft.queue.graph.dependents(id).next().is_none()
    }

    /// A dependency was asked for by itself, since nobody who waits for it can be planned, and the resolver does not know it
    /// any more. Nobody asked for this version: whoever waited for it, and is tried again, has emerge build what it needs on the
    /// side.
    pub(super) fn drop_unknown(&mut self, id: BuildId, complaint: &str) {
        let Some(row) = self.rows.builds.get(&id) else { return };
        let message = format!("{} is superseded: it cannot be resolved any more: {complaint}", row.atom());
        self.build_event(EventKind::Control, id, message, None);
        self.drop_build(id);
    }
}

/// What a plan has instead of an entry, for people.
fn successor(row: &BuildRow, plan: &Plan) -> String {
    let cp = row.cp();
    let same_name = |package: &&PlannedPackage| package.cpv.parse::<Cpv>().ok().map(|cpv| cpv.cp()) == cp;
    let of_name = || plan.packages.iter().filter(same_name);
    match of_name().find(|package| package.slot == row.slot).or_else(|| of_name().next()) {
        Some(package) if Some(&package.cpv) == row.cpv.as_ref() => {
            format!("={} with other USE flags takes its place", package.cpv)
        }
        Some(package) => format!("={} takes its place", package.cpv),
        None => "what was asked for needs it no more".to_owned(),
    }
}
