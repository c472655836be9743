//! The SSH host keys a drone is known by: those it named when it joined, or those the operator gave. What it shows or says
//! later changes nothing; a person is told, once, and decides.

use swarm_protocol::DroneId;

use crate::core::Core;
use crate::rows::{EventKind, NoticeKind};

/// Keys kept of one drone; an SSH server has three or four.
const MAX_KEYS: usize = 8;
/// Longest key: RSA with 16,384 bits has 2,750 characters.
const MAX_KEY: usize = 4_096;

impl Core {
    /// The keys that count: the operator's, else those it joined with.
    pub(super) fn host_keys(&self, drone: &DroneId) -> Vec<String> {
        let given = self.rows.wishes.get(drone).and_then(|wishes| wishes.ssh_host_keys.clone());
        given.unwrap_or_else(|| self.rows.drones.get(drone).map(|row| row.ssh_host_keys.clone()).unwrap_or_default())
    }

    /// What a drone says of its keys in a hello. The first ones are pinned.
    pub(crate) fn learn_host_keys(&mut self, drone: &DroneId, named: &[String]) {
        let named: Vec<String> = named.iter().filter_map(|key| bare(key)).take(MAX_KEYS).collect();
        let known = self.host_keys(drone);
        let name = self.drone_name(drone);
        let offered =
            if !named.is_empty() && !known.is_empty() && !fit(&known, &named) { named.clone() } else { Vec::new() };
        let Some(row) = self.rows.drones.get(drone) else { return };
        if known.is_empty() && !named.is_empty() {
            let types: Vec<&str> = named.iter().filter_map(|key| key.split(' ').next()).collect();
            let text = format!("the SSH host keys of {name} are known from now on: {}", types.join(", "));
            if let Some(row) = self.rows.drones.change(drone) {
                row.ssh_host_keys = named;
            }
            return self.drone_event(EventKind::Audit, drone, text);
        }
        if row.ssh_host_keys_offered == offered {
            return;
        }
        let changed = !offered.is_empty();
        if let Some(row) = self.rows.drones.change(drone) {
            row.ssh_host_keys_offered = offered;
        }
        if changed {
            self.distrust(drone, "its hello names other SSH host keys than those it is known by");
        } else {
            self.trust(drone, "it names the keys it is known by again");
        }
    }

    /// The operator gave keys, or took theirs back.
    pub(super) fn given_host_keys(&mut self, actor: &str, drone: &DroneId) {
        if let Some(row) = self.rows.drones.change(drone) {
            row.ssh_host_keys_offered.clear();
        }
        self.trust(drone, &format!("{actor} gave the keys it is known by"));
    }

    /// It shows or names another key: a person is told once.
    pub(super) fn distrust(&mut self, drone: &DroneId, what: &str) {
        let mut row = self.healing_row(drone);
        if std::mem::replace(&mut row.distrusted, true) {
            return;
        }
        self.rows.healing.put(row);
        self.soft.view.touch(drone);
        let name = self.drone_name(drone);
        let subject = format!("the SSH host key of {name} is another than the one it is known by");
        self.drone_event(EventKind::Alert, drone, format!("{subject}: {what}"));
        let text = format!(
            "{what}\nIt is not used. Either {name} was installed anew, or somebody else answers in its place.\n\
             Next: compare `swarm drone ssh-key {name}` with /etc/ssh/ssh_host_*_key.pub on the machine itself; if they are \
             its own, `swarm drone ssh-key {name} --accept`.\n"
        );
        self.notify(&host_key(drone), NoticeKind::Alert, subject, text);
    }

    /// It is known again.
    pub(super) fn trust(&mut self, drone: &DroneId, why: &str) {
        let mut row = self.healing_row(drone);
        if !std::mem::take(&mut row.distrusted) {
            return;
        }
        self.rows.healing.put(row);
        self.soft.view.touch(drone);
        let subject = format!("the SSH host key of {} is known again: {why}", self.drone_name(drone));
        self.drone_event(EventKind::Heal, drone, subject.clone());
        self.notify(&host_key(drone), NoticeKind::Resolved, subject, String::new());
    }
}

/// Notices about one drone's keys are one story.
fn host_key(drone: &DroneId) -> String {
    format!("host-key/{drone}")
}

/// Whether what is named can be the same host: every type both have is the same key, and there is one.
fn fit(known: &[String], named: &[String]) -> bool {
    let same_type = |one: &str, other: &str| one.split(' ').next() == other.split(' ').next();
    let differs = named.iter().any(|key| !known.contains(key) && known.iter().any(|old| same_type(old, key)));
    !differs && named.iter().any(|key| known.contains(key))
}

/// Type and key, without a comment; `None` for what is no public key.
fn bare(key: &str) -> Option<String> {
    let mut words = key.split_ascii_whitespace();
    let key = format!("{} {}", words.next()?, words.next()?);
    is_host_key(&key).then_some(key)
}

/// Whether it is `type base64` and nothing else: it becomes a line of a file that decides whom to trust.
pub(super) fn is_host_key(text: &str) -> bool {
    let Some((kind, key)) = text.split_once(' ') else { return false };
    let kinds = ["ssh-", "ecdsa-", "sk-"];
    let word = |c: char| c.is_ascii_alphanumeric() || "-@.".contains(c);
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    text.len() <= MAX_KEY
        && kinds.iter().any(|prefix| kind.starts_with(prefix))
        && kind.chars().all(word)
        && key.len() >= 40
        && key.chars().all(base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMwkdS0xLyL9oUXJYnVWq6TD1xMKPyPMlS2bOYh6eUmd";

    #[test]
    fn only_a_type_and_base64_is_a_host_key() {
        assert!(is_host_key(ED25519));
        let long = format!("ssh-rsa {}", "A".repeat(MAX_KEY));
        for bad in ["", "ssh-ed25519", "@cert-authority AAAA", "ssh-rsa AAAA\nother ssh-rsa", "* ssh-rsa AAAA", &long] {
            assert!(!is_host_key(bad), "{bad:?}");
        }
        assert_eq!(bare(&format!("{ED25519}  root@rack-3\n")).as_deref(), Some(ED25519));
    }

    #[test]
    fn a_host_is_the_same_while_no_key_of_a_known_type_changes() {
        let keys = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let known = keys(&["a 1", "b 1"]);
        assert!(fit(&known, &keys(&["a 1"])));
        assert!(fit(&known, &keys(&["a 1", "c 1"])), "a further type beside a known key");
        assert!(!fit(&known, &keys(&["a 1", "b 2"])));
        assert!(!fit(&known, &keys(&["c 1"])));
    }
}
