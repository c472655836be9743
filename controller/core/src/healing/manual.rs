//! What people do: a rung by hand, the ladder's reset, a drone's type, their wishes for it.

use swarm_protocol::DroneId;
use swarm_protocol::machine::DroneType;
use swarm_protocol::order::Rung;

use super::brakes::Clearance;
use crate::answer::{Done, Healed, Refusal, RefusalKind};
use crate::core::Core;
use crate::request::{DroneWishes, HealAction};
use crate::rows::{DroneWishesRow, EventKind, OrderedBy};

/// Longest text of a wish.
const MAX_WISH: usize = 1_000;

impl Core {
    pub(crate) fn heal(&mut self, actor: &str, drone: &str, action: HealAction) -> Result<Healed, Refusal> {
        let id = self.find_drone(drone)?;
        let row = self.healing_row(&id);
        let healed = |generation| Healed {
            drone: id.clone(),
            name: self.drone_name(&id),
            previous_level: row.level(),
            generation,
        };
        let answer = healed(None);
        match action {
            HealAction::Reset => {
                self.reset_ladder(actor, &id);
                Ok(answer)
            }
            HealAction::SetType(kind) => {
                self.set_type(actor, &id, kind);
                Ok(answer)
            }
            HealAction::Restart => self.by_hand(actor, &id, Rung::RestartService, answer),
            HealAction::HardRestart => self.by_hand(actor, &id, Rung::HardRestart, answer),
            HealAction::Reboot => self.by_hand(actor, &id, Rung::RebootContainer, answer),
        }
    }

    /// What is wrong is judged anew, from the lowest rung.
    fn reset_ladder(&mut self, actor: &str, drone: &DroneId) {
        let mut row = self.healing_row(drone);
        let level = row.level();
        (row.incident, row.acting, row.recovered) = (None, None, None);
        self.rows.healing.put(row);
        self.soft.healing.probes.reset(drone);
        self.look_again(drone);
        self.soft.placement.work_may_be_given();
        self.soft.view.touch(drone);
        let name = self.drone_name(drone);
        self.drone_event(EventKind::Control, drone, format!("{actor} reset {name} from level {level} to 0"));
    }

    fn set_type(&mut self, actor: &str, drone: &DroneId, kind: Option<DroneType>) {
        if let Some(row) = self.rows.drones.change(drone) {
            row.type_override = kind;
        }
        self.soft.view.touch(drone);
        let name = self.drone_name(drone);
        let word = kind.map_or("what it says itself", DroneType::name);
        self.drone_event(EventKind::Control, drone, format!("{actor} set the type of {name} to {word}"));
    }

    fn by_hand(&mut self, actor: &str, drone: &DroneId, rung: Rung, answer: Healed) -> Result<Healed, Refusal> {
        let conflict =
            |error: String, hint: &str| Refusal { kind: RefusalKind::Conflict, error, hint: Some(hint.to_owned()) };
        let name = self.drone_name(drone);
        if let Some(acting) = self.healing_row(drone).acting {
            let doing = acting.rung.name();
            return Err(conflict(format!("{doing} of {name} is under way"), "wait for it to end"));
        }
        if rung == Rung::RebootContainer
            && let Some(row) = self.rows.drones.get(drone)
        {
            match self.reboot_clearance(row) {
                Clearance::Go => {}
                Clearance::Hold(reason) => {
                    return Err(conflict(format!("{name} is not rebooted now: {reason}"), "drain it, or try later"));
                }
                Clearance::Never(reason) => {
                    return Err(conflict(format!("{name} is not rebooted: {reason}"), "reboot it yourself"));
                }
            }
        }
        self.act(drone, rung, &OrderedBy::read(actor), "by hand");
        Ok(Healed { generation: Some(self.healing_row(drone).generation), ..answer })
    }

    pub(crate) fn wish(&mut self, actor: &str, drone: &str, wishes: DroneWishes) -> Result<Done, Refusal> {
        let id = self.find_drone(drone)?;
        let fresh = || DroneWishesRow { drone: id.clone(), ..DroneWishesRow::default() };
        let mut row = self.rows.wishes.get(&id).cloned().unwrap_or_else(fresh);
        let before = row.clone();
        row.protected = wishes.protected.unwrap_or(row.protected);
        row.auto_reboot = wishes.auto_reboot.unwrap_or(row.auto_reboot);
        row.ssh_port = wishes.ssh_port.unwrap_or(row.ssh_port);
        let keys_given = wishes.ssh_host_keys.is_some();
        if let Some(keys) = wishes.ssh_host_keys {
            for key in keys.iter().flatten() {
                well_said("ssh_host_keys", key)?;
            }
            row.ssh_host_keys = keys.filter(|keys| !keys.is_empty());
        }
        let texts = [
            ("vmid", &mut row.vmid, wishes.vmid),
            ("ssh_user", &mut row.ssh_user, wishes.ssh_user),
            ("ssh_host", &mut row.ssh_host, wishes.ssh_host),
            ("ssh_key_path", &mut row.ssh_key_path, wishes.ssh_key_path),
            ("display_name", &mut row.display_name, wishes.display_name),
            ("notes", &mut row.notes, wishes.notes),
        ];
        for (what, place, wish) in texts {
            let Some(text) = wish else { continue };
            if let Some(text) = &text {
                well_said(what, text)?;
            }
            *place = text.filter(|text| !text.is_empty());
        }
        let name = self.drone_name(&id);
        if row != before {
            row.updated_at = self.now.wall;
            self.rows.wishes.put(row);
            self.soft.view.touch(&id);
            self.drone_event(EventKind::Control, &id, format!("{actor} changed what is wished for {name}"));
        }
        if keys_given {
            self.given_host_keys(actor, &id);
        }
        Ok(Done { touched: 1, what: vec![name] })
    }
}

/// Words that reach command lines must not be taken for options, and none carries control characters.
fn well_said(what: &str, text: &str) -> Result<(), Refusal> {
    let invalid = |hint: &str| {
        Err(Refusal {
            kind: RefusalKind::Invalid,
            error: format!("{text:?} is no {what}"),
            hint: Some(hint.to_owned()),
        })
    };
    if text.len() > MAX_WISH || text.chars().any(|c| c.is_control() && !(what == "notes" && c == '\n')) {
        return invalid("at most 1000 characters, none of them a control character");
    }
    let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let fits = match what {
        "vmid" | "ssh_user" => !text.starts_with('-') && text.chars().all(word),
        "ssh_host" => !text.starts_with('-') && text.chars().all(|c| word(c) || ":[]%".contains(c)),
        "ssh_key_path" => text.is_empty() || text.starts_with('/'),
        "ssh_host_keys" => super::trust::is_host_key(text),
        _ => true,
    };
    if fits {
        Ok(())
    } else {
        invalid(match what {
            "ssh_host_keys" => "a public host key as in /etc/ssh/ssh_host_ed25519_key.pub: its type and its base64",
            _ => "letters, digits, dot, underscore and hyphen; a path begins with /",
        })
    }
}
