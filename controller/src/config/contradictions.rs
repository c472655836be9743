//! What no single key can tell: values that contradict each other. All of it is said, in the order of the checks.

use swarm_core::{NAME_RULE, is_drone_name};

use super::reading::ConfigError;
use super::sections::Config;
use super::value::{host_of, is_host};

impl Config {
    /// Adds what contradicts itself.
    pub(super) fn contradictions(&self, errors: &mut Vec<ConfigError>) {
        let mut wrong = |is: bool, text: String| {
            if is {
                errors.push(ConfigError::Conflict(text));
            }
        };
        self.bus_contradictions(&mut wrong);
        self.time_contradictions(&mut wrong);
        self.notify.contradictions(&mut wrong);
        self.bounds(&mut wrong);
        self.names(&mut wrong);
    }

    /// Ports, and whose bus it is.
    fn bus_contradictions(&self, wrong: &mut impl FnMut(bool, String)) {
        let (bus, http) = (&self.bus, &self.http);
        wrong(
            http.port != 0 && http.port == http.admin_port,
            format!("http.port and http.admin_port are both {}: give them different ports", http.port),
        );
        let own = bus.server.is_some() || bus.port.is_some() || !bus.names.is_empty() || !bus.listen.is_loopback();
        wrong(
            bus.url.is_some() && own,
            "bus.url names a server somebody else runs; bus.server, bus.listen, bus.port and bus.names are for one of our \
             own: drop one or the other"
                .to_owned(),
        );
        wrong(
            bus.url.is_none() && bus.ca.is_some(),
            "bus.ca is the authority of a server somebody else runs, named by bus.url; our own makes one itself"
                .to_owned(),
        );
        wrong(
            bus.url.is_none() && self.events.replicas > 1,
            format!(
                "events.replicas is {}: our own bus is one server; name a cluster in bus.url",
                self.events.replicas
            ),
        );
        wrong(
            !(1..=5).contains(&self.events.replicas),
            format!("events.replicas is {}: 1 to 5 servers can hold a stream", self.events.replicas),
        );
        if let Some(bad) = bus.names.iter().find(|name| !is_host(name)) {
            wrong(true, format!("bus.names: {bad:?} is neither a host name nor an IP address"));
        }
        let reached = bus.public_url.iter().flat_map(|urls| urls.split(',')).map(str::trim);
        if let Some(bad) = reached.into_iter().find(|url| host_of(url).is_none_or(|host| !is_host(&host))) {
            wrong(true, format!("bus.public_url: {bad:?} is no address such as tls://swarm.example.org:4222"));
        }
        wrong(
            bus.url.as_ref().is_some_and(|url| url.contains('@')),
            "bus.url contains a user or password: put an nkey seed into a file and name it in bus.credentials"
                .to_owned(),
        );
    }

    /// Spans that belong together, of leases and of healing.
    fn time_contradictions(&self, wrong: &mut impl FnMut(bool, String)) {
        let (rules, healing) = (&self.rules, &self.rules.healing);
        wrong(
            rules.heartbeat == 0 || rules.offline_after < 2 * rules.heartbeat,
            "rules.offline_after must be at least two rules.heartbeat, and that more than nothing".to_owned(),
        );
        wrong(
            rules.lease < rules.offline_after,
            "rules.lease must not be shorter than rules.offline_after, or work is taken from drones that are online"
                .to_owned(),
        );
        wrong(
            healing.ping_every < 100 || healing.ping_within == 0 || healing.ping_within >= healing.ping_every,
            "healing.ping_within must be shorter than healing.ping_every, and that at least 100ms".to_owned(),
        );
        wrong(
            healing.misses == 0 || healing.good_pongs == 0,
            "healing.misses and healing.good_pongs are at least 1".to_owned(),
        );
        wrong(self.healing.ssh_command.is_empty(), "healing.ssh_command names no program".to_owned());
    }

    /// Numbers beyond what makes sense.
    fn bounds(&self, wrong: &mut impl FnMut(bool, String)) {
        let rules = &self.rules;
        wrong(
            rules.keep_builds == 0,
            "binhost.keep is 0: at least the newest package of each identity stays".to_owned(),
        );
        wrong(
            rules.prefetch > 64,
            format!("rules.prefetch is {}: more than 64 orders wait better in the controller's line", rules.prefetch),
        );
        wrong(
            rules.sync && rules.sync_timeout == 0,
            "rules.sync_timeout is nothing: no tree is synced in that".to_owned(),
        );
        wrong(self.binhost.min_free_percent > 100, "binhost.min_free_percent is more than 100".to_owned());
    }

    /// Addresses and names of others.
    fn names(&self, wrong: &mut impl FnMut(bool, String)) {
        let url = self.http.public_url.as_deref().unwrap_or("http://");
        wrong(
            !(url.starts_with("http://") || url.starts_with("https://")),
            format!("http.public_url is {url:?}: it begins with http:// or https://"),
        );
        for name in &self.local_drones {
            wrong(!is_drone_name(name), format!("local_drones: {name:?} is no name for a drone: {NAME_RULE}"));
        }
    }
}
