//! The ways to a drone, in order: its supervisor over the bus, SSH, the operator's command on the hypervisor.

use swarm_protocol::DroneId;
use swarm_protocol::machine::RebootPolicy;
use swarm_protocol::order::Rung;

use crate::core::Core;
use crate::effect::Route;

impl Core {
    /// Every way that is open for a rung.
    pub(super) fn routes(&self, drone: &DroneId, rung: Rung) -> Vec<Route> {
        let Some(row) = self.rows.drones.get(drone) else { return Vec::new() };
        let wishes = self.rows.wishes.get(drone);
        let mut routes = vec![Route::Bus {}];
        if let Some((wishes, user)) = wishes.and_then(|wishes| Some((wishes, wishes.ssh_user.clone()?))) {
            routes.push(Route::Ssh {
                user,
                host: wishes.ssh_host.clone().unwrap_or_else(|| row.address.clone()),
                port: wishes.ssh_port.unwrap_or(22),
                key: wishes.ssh_key_path.clone(),
                host_keys: self.host_keys(drone),
            });
        }
        // the hypervisor does not ask the drone, so what the drone itself forbids is kept to here
        if rung == Rung::RebootContainer && !matches!(row.own_reboot, RebootPolicy::Auto | RebootPolicy::Unknown) {
            return routes;
        }
        let vmid = wishes.and_then(|wishes| wishes.vmid.as_deref());
        let command = self.settings.healing.hypervisor.get(&rung).and_then(|words| filled(words, vmid, &row.name));
        routes.extend(command.map(|command| Route::Hypervisor { command }));
        routes
    }
}

/// The command for one drone; `None` if it asks for a number on the hypervisor and none is known.
fn filled(words: &[String], vmid: Option<&str>, name: &str) -> Option<Vec<String>> {
    let fill = |word: &String| {
        let word = word.replace("{name}", name);
        match (word.contains("{vmid}"), vmid) {
            (true, Some(vmid)) => Some(word.replace("{vmid}", vmid)),
            (true, None) => None,
            (false, _) => Some(word),
        }
    };
    words.iter().map(fill).collect::<Option<Vec<_>>>().filter(|command| !command.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn placeholders_are_filled_and_stay_one_word_each() {
        let command = words(&["pct", "reboot", "{vmid}"]);
        assert_eq!(filled(&command, Some("104"), "d1"), Some(words(&["pct", "reboot", "104"])));
        assert_eq!(filled(&command, None, "d1"), None, "without a number there is no such command");
        assert_eq!(filled(&command, Some("1; rm -rf /"), "d1").unwrap()[2], "1; rm -rf /", "no shell looks at it");
        let by_name = words(&["incus", "restart", "{name}"]);
        assert_eq!(filled(&by_name, None, "d1"), Some(words(&["incus", "restart", "d1"])));
        assert_eq!(filled(&[], Some("1"), "d1"), None);
    }
}
