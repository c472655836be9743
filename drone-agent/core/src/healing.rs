//! Which rungs of the ladder a drone lets be done to it, whoever asks and by whichever way. It goes by what it
//! detected itself and by its own configuration, so that controller and drone must both agree to a reboot.
//!
//! Decides; the supervisor writes down and acts. Called by the supervisor, and by `drone-agent escalate` where no supervisor
//! answers.

use serde::{Deserialize, Serialize};
use swarm_protocol::StoreId;
use swarm_protocol::machine::{DroneType, RebootPolicy};
use swarm_protocol::order::{self, Escalated, EscalationRefusal};

/// The rungs this version can carry out. On disk and for people they have the wire's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// The worker is asked to end, and started.
    RestartService,
    /// The worker is killed, what it left half-made removed, and it is started.
    HardRestart,
    /// The machine reboots through its init system.
    RebootContainer,
}

impl Rung {
    /// The rung of an order.
    ///
    /// # Errors
    /// With the answer, when it is one of a later version.
    pub fn of(wanted: order::Rung) -> Result<Self, Escalated> {
        match wanted {
            order::Rung::RestartService => Ok(Self::RestartService),
            order::Rung::HardRestart => Ok(Self::HardRestart),
            order::Rung::RebootContainer => Ok(Self::RebootContainer),
            order::Rung::Unknown => Err(Escalated::Refused {
                why: EscalationRefusal::Failed,
                detail: "this version of the agent does not know that rung".to_owned(),
            }),
        }
    }

    /// The public name.
    pub fn name(self) -> &'static str {
        order::Rung::from(self).name()
    }
}

impl From<Rung> for order::Rung {
    fn from(rung: Rung) -> Self {
        match rung {
            Rung::RestartService => Self::RestartService,
            Rung::HardRestart => Self::HardRestart,
            Rung::RebootContainer => Self::RebootContainer,
        }
    }
}

/// What the drone is, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Its detected type; no override counts here.
    pub detected: DroneType,
    /// What its configuration says of reboots.
    pub reboot: RebootPolicy,
}

/// An order as it was carried out; kept on disk, so that a restarted supervisor does not do it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The store that gave it.
    pub store_id: StoreId,
    /// Its generation.
    pub generation: u64,
    /// What it was.
    pub rung: Rung,
    /// What was answered.
    pub outcome: Escalated,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The store that gives it; empty for a person at the drone itself.
    pub store_id: StoreId,
    /// Its generation; 0 for a person at the drone itself, whose order is always new.
    pub generation: u64,
    /// The rung that is ordered.
    pub rung: Rung,
    /// Attempts whose process runs.
    pub running: usize,
}

/// What follows.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing but the answer.
    Answer(Escalated),
    /// Write `done` down durably, then do it and answer `done.outcome`; a reboot is answered before it is done.
    Act {
        /// What will have been done.
        done: Done,
        /// Where it can't be written down it is not done, and said so: doing it twice would harm.
        only_if_kept: bool,
    },
}

/// Decides about orders to a drone that does not work.
#[derive(Debug, Clone)]
pub struct Healing {
    own: Own,
    last: Option<Done>,
    /// The store that welcomed this run; another one's orders are not ours.
    store: Option<StoreId>,
}

impl Healing {
    /// Of a drone that remembers `last`.
    pub fn new(own: Own, last: Option<Done>) -> Self {
        Self { own, last, store: None }
    }

    /// The controller's welcome came.
    pub fn welcomed(&mut self, store_id: StoreId) {
        self.store = Some(store_id);
    }

    /// What follows from an order.
    pub fn decide(&self, asked: &Asked) -> Decision {
        if let Some(answer) = self.known(asked) {
            return Decision::Answer(answer);
        }
        let done = |outcome, only_if_kept| {
            let Asked { store_id, generation, rung, .. } = asked.clone();
            Decision::Act { done: Done { store_id, generation, rung, outcome }, only_if_kept }
        };
        let text = |detail: &str| detail.to_owned();
        match asked.rung {
            Rung::RestartService => {
                let detail = text("the worker is asked to end and started; running builds live on");
                done(Escalated::Done { detail }, false)
            }
            Rung::HardRestart => {
                let detail =
                    text("the worker is killed, what it left half-made removed, and started; running builds live on");
                done(Escalated::Done { detail }, false)
            }
            Rung::RebootContainer => match self.against_reboot(asked.running) {
                Some((why, detail)) => Decision::Answer(Escalated::Refused { why, detail }),
                None if self.own.reboot == RebootPolicy::DryRun => {
                    let detail = format!("this {} would be rebooted through its init system", self.own.detected.name());
                    Decision::Answer(Escalated::DryRun { detail })
                }
                None => {
                    let detail = format!("this {} reboots through its init system", self.own.detected.name());
                    done(Escalated::Done { detail }, true)
                }
            },
        }
    }

    /// It is on disk, or that failed and it is done all the same.
    pub fn did(&mut self, done: Done) {
        if done.generation > 0 {
            self.last = Some(done);
        }
    }

    /// The answer to an order that was seen before, or is not for us.
    fn known(&self, asked: &Asked) -> Option<Escalated> {
        if asked.generation == 0 {
            return None;
        }
        let old = |detail: String| Some(Escalated::Refused { why: EscalationRefusal::Old, detail });
        if self.store.as_ref().is_some_and(|store| *store != asked.store_id) {
            return old("the order is of another store than the one that welcomed this drone".to_owned());
        }
        let last = self.last.as_ref().filter(|last| last.store_id == asked.store_id)?;
        if asked.generation < last.generation || (asked.generation == last.generation && asked.rung != last.rung) {
            return old(format!("order {} is older than {}, which was carried out", asked.generation, last.generation));
        }
        (asked.generation == last.generation).then(|| last.outcome.clone())
    }

    fn against_reboot(&self, running: usize) -> Option<(EscalationRefusal, String)> {
        let Own { detected, reboot } = self.own;
        if !matches!(detected, DroneType::Lxc | DroneType::Qemu) {
            let detail = format!("by its own detection this machine is {}; only lxc and qemu reboot", detected.name());
            return Some((EscalationRefusal::Type, detail));
        }
        match reboot {
            RebootPolicy::Auto | RebootPolicy::DryRun => {}
            RebootPolicy::Never | RebootPolicy::Unknown => {
                let detail = "healing.reboot of this drone is \"never\"".to_owned();
                return Some((EscalationRefusal::Protected, detail));
            }
        }
        (running > 0)
            .then(|| (EscalationRefusal::Building, format!("{running} build(s) run, and a reboot would end them")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(detected: DroneType, reboot: RebootPolicy) -> Own {
        Own { detected, reboot }
    }

    fn asked(rung: Rung, generation: u64, running: usize) -> Asked {
        Asked { store_id: StoreId::from("s"), generation, rung, running }
    }

    #[test]
    fn a_rung_of_a_later_version_is_refused_and_the_others_keep_their_names() {
        for known in [Rung::RestartService, Rung::HardRestart, Rung::RebootContainer] {
            assert_eq!(Rung::of(known.into()), Ok(known));
        }
        let Err(Escalated::Refused { why, .. }) = Rung::of(order::Rung::Unknown) else { panic!("known") };
        assert_eq!(why, EscalationRefusal::Failed);
    }

    fn acts(decision: &Decision) -> bool {
        matches!(decision, Decision::Act { .. })
    }

    #[test]
    fn the_lower_rungs_are_done_on_any_machine_whatever_it_builds() {
        for detected in [DroneType::Lxc, DroneType::Qemu, DroneType::BareMetal, DroneType::Unknown] {
            let healing = Healing::new(own(detected, RebootPolicy::Never), None);
            for rung in [Rung::RestartService, Rung::HardRestart] {
                assert!(acts(&healing.decide(&asked(rung, 1, 3))), "{detected:?} {rung:?}");
            }
        }
    }

    #[test]
    fn a_reboot_needs_the_type_the_configuration_and_no_build() {
        use EscalationRefusal::{Building, Protected, Type};
        use RebootPolicy::{Auto, DryRun, Never, Unknown};
        for detected in [DroneType::Lxc, DroneType::Qemu, DroneType::BareMetal, DroneType::Unknown] {
            for reboot in [Auto, Never, DryRun, Unknown] {
                for running in [0, 1] {
                    let decision =
                        Healing::new(own(detected, reboot), None).decide(&asked(Rung::RebootContainer, 1, running));
                    let container = matches!(detected, DroneType::Lxc | DroneType::Qemu);
                    let refused = match (container, reboot, running) {
                        (false, _, _) => Some(Type),
                        (true, Never | Unknown, _) => Some(Protected),
                        (true, Auto | DryRun, 1..) => Some(Building),
                        (true, Auto | DryRun, 0) => None,
                    };
                    let case = format!("{detected:?} {reboot:?} {running}: {decision:?}");
                    match (refused, reboot, &decision) {
                        (Some(why), _, Decision::Answer(Escalated::Refused { why: told, .. })) => {
                            assert_eq!(why, *told, "{case}");
                        }
                        (None, DryRun, Decision::Answer(Escalated::DryRun { .. })) => {}
                        (None, Auto, Decision::Act { only_if_kept: true, .. }) => {}
                        _ => panic!("{case}"),
                    }
                }
            }
        }
    }

    #[test]
    fn an_order_is_carried_out_once_and_an_older_one_never() {
        let mut healing = Healing::new(own(DroneType::Lxc, RebootPolicy::Auto), None);
        let Decision::Act { done, .. } = healing.decide(&asked(Rung::RebootContainer, 4, 0)) else { panic!("acts") };
        healing.did(done.clone());
        let mut again = Healing::new(own(DroneType::Lxc, RebootPolicy::Auto), Some(done.clone()));
        for healing in [&healing, &again] {
            assert_eq!(healing.decide(&asked(Rung::RebootContainer, 4, 0)), Decision::Answer(done.outcome.clone()));
            for old in [asked(Rung::RestartService, 3, 0), asked(Rung::RestartService, 4, 0)] {
                let Decision::Answer(Escalated::Refused { why, .. }) = healing.decide(&old) else { panic!("{old:?}") };
                assert_eq!(why, EscalationRefusal::Old);
            }
            assert!(acts(&healing.decide(&asked(Rung::RestartService, 5, 0))));
        }
        // a restored controller counts anew; its former life's orders are not taken any more
        again.welcomed(StoreId::from("t"));
        let anew = Asked { store_id: StoreId::from("t"), ..asked(Rung::RestartService, 1, 0) };
        assert!(acts(&again.decide(&anew)));
        assert!(!acts(&again.decide(&asked(Rung::RestartService, 9, 0))));
    }

    #[test]
    fn a_person_at_the_drone_counts_no_generations_and_obeys_the_same_rules() {
        let mut healing = Healing::new(own(DroneType::BareMetal, RebootPolicy::Auto), None);
        let by_hand = |rung| Asked { store_id: StoreId::default(), ..asked(rung, 0, 0) };
        for _ in 0..2 {
            let Decision::Act { done, .. } = healing.decide(&by_hand(Rung::RestartService)) else { panic!("acts") };
            healing.did(done);
        }
        assert!(!acts(&healing.decide(&by_hand(Rung::RebootContainer))));
    }
}
