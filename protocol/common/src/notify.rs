//! systemd's notification protocol: readiness, the goodbye, and the feeding of its watchdog, as datagrams to the socket named in
//! the environment. Without one nothing is sent.
//!
//! Decides nothing: when to speak is the caller's to say, and what follows from silence the service manager's.

use std::io;
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

    /// One whose socket has this path, or with `@` before it this abstract name, and who waits so many microseconds for a word.
    /// What makes no sense counts as not there.
    pub fn new(socket: Option<&str>, watchdog_usec: Option<&str>) -> Self {
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

    /// How often `WATCHDOG=1` is due so that it comes `times` within what the manager waits; `None` where nobody waits for it.
    pub fn watchdog_period(&self, times: u32) -> Option<Duration> {
        self.socket.as_ref().and(self.watchdog).map(|within| within / times.max(1))
    }

    /// Says something: `READY=1`, `WATCHDOG=1`, `STOPPING=1`.
    ///
    /// # Errors
    /// When there is a manager and it can't be told.
    pub fn say(&self, word: &str) -> io::Result<()> {
        match &self.socket {
            Some((socket, address)) => socket.send_to_addr(word.as_bytes(), address).map(drop),
            None => Ok(()),
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
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let manager = Manager::new(Some(&name), Some("20000000"));
            assert_eq!(manager.watchdog_period(2), Some(Duration::from_secs(10)));
            assert_eq!(manager.watchdog_period(4), Some(Duration::from_secs(5)));
            manager.say("READY=1").unwrap();
            let mut buffer = [0; 64];
            let size = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..size], b"READY=1");
        }
    }

    #[test]
    fn without_a_manager_nothing_is_said_and_without_a_watchdog_nothing_is_due() {
        let nobody = Manager::new(None, Some("20000000"));
        nobody.say("READY=1").unwrap();
        assert_eq!(nobody.watchdog_period(2), None);
        for patience in [None, Some("0"), Some("soon")] {
            let manager = Manager::new(Some("/nowhere"), patience);
            assert_eq!(manager.watchdog_period(2), None, "{patience:?}");
            assert!(manager.say("READY=1").is_err(), "who calls says whether that matters");
        }
    }
}
