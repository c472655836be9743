//! systemd's notification protocol, by hand: datagrams to the socket named in the environment. Without one, nothing.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager, if there is one that wants to hear.
#[derive(Debug)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// From `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub fn from_environment() -> Self {
        let read = |name: &str| std::env::var(name).ok();
        Self::new(read("NOTIFY_SOCKET").as_deref(), read("WATCHDOG_USEC").as_deref())
    }

    fn new(socket: Option<&str>, watchdog_usec: Option<&str>) -> Self {
        let address = socket.and_then(|name| match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(name).ok(),
        });
        let watchdog = watchdog_usec.and_then(|text| text.parse().ok()).filter(|usec| *usec > 0);
        Self {
            socket: address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address))),
            watchdog: watchdog.map(Duration::from_micros),
        }
    }

    /// How often `WATCHDOG=1` is due: at half of what systemd waits.
    pub fn watchdog_period(&self) -> Option<Duration> {
        self.socket.as_ref().and(self.watchdog).map(|period| period / 2)
    }

    /// Says something: `READY=1`, `WATCHDOG=1`, `STOPPING=1`.
    pub fn say(&self, word: &str) {
        if let Some((socket, address)) = &self.socket {
            // a manager that does not listen has nothing to be told
            let _ = socket.send_to_addr(word.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_a_socket_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let abstract_name = format!("build-swarm-notify-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        for (socket, name) in [
            (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
            (UnixDatagram::bind_addr(&abstract_address).unwrap(), format!("@{abstract_name}")),
        ] {
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let manager = Manager::new(Some(&name), Some("20000000"));
            assert_eq!(manager.watchdog_period(), Some(Duration::from_secs(10)));
            manager.say("READY=1");
            let mut buffer = [0; 64];
            let size = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..size], b"READY=1");
        }
    }

    #[test]
    fn without_a_manager_nothing_is_said() {
        let manager = Manager::new(None, Some("20000000"));
        manager.say("READY=1");
        assert_eq!(manager.watchdog_period(), None);
    }
}
