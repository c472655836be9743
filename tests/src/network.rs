//! A drone at the end of a cable that the test can pull: with root and iproute2 in a network namespace of its own, behind a
//! real link that is set down; elsewhere behind relays that stop passing anything on. Either way nothing is closed or
//! refused: packets just don't arrive.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How often a relay looks whether it was pulled, and whether somebody came.
const LOOK: Duration = Duration::from_millis(20);

/// A TCP relay: whoever connects to it is connected to its target.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<Option<SocketAddr>>,
    /// Nothing passes.
    pulled: AtomicBool,
    over: AtomicBool,
}

impl Relay {
    /// Listens on a free port of `address`. It passes nothing on before it has a target.
    ///
    /// # Errors
    /// When it can't listen.
    pub fn listen(address: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((address, 0)).with_context(|| format!("listen on {address}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (target, pulled, over) = (Mutex::new(None), AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { target, pulled, over });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            while !own.over.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let own = Arc::clone(&own);
                        std::thread::spawn(move || own.relay(&stream));
                    }
                    Err(_) => std::thread::sleep(LOOK),
                }
            }
        });
        Ok(Self { address, shared })
    }

    /// Where connections go from now on.
    pub fn aim(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
    }

    /// Lets nothing through, or again everything.
    pub fn pull(&self, pulled: bool) {
        self.shared.pulled.store(pulled, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    /// Waits while the cable is pulled; `false` when all is over.
    fn may_pass(&self) -> bool {
        while self.pulled.load(Ordering::SeqCst) && !self.over.load(Ordering::SeqCst) {
            std::thread::sleep(LOOK);
        }
        !self.over.load(Ordering::SeqCst)
    }

    fn relay(&self, near: &TcpStream) {
        let target = *self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(far) = target.filter(|_| self.may_pass()).and_then(|target| TcpStream::connect(target).ok()) else {
            return;
        };
        // accepted from a listener that does not block
        let _ = near.set_nonblocking(false);
        std::thread::scope(|scope| {
            scope.spawn(|| self.pass(near, &far));
            self.pass(&far, near);
        });
    }

    /// Passes on what comes, until one end is closed; then so is the other.
    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = from.read(&mut buffer).unwrap_or(0);
            if !self.may_pass() || count == 0 || to.write_all(&buffer[..count]).is_err() {
                let _ = to.shutdown(Shutdown::Write);
                let _ = from.shutdown(Shutdown::Read);
                return;
            }
        }
    }
}

/// A cable between the swarm and one drone. Lay it first, name [`Cable::url`] as the controller's public address, then
/// [`Cable::connect`] it and start the drone [`Cable::within`].
#[derive(Debug)]
pub struct Cable {
    /// The bus, as the drone reaches it.
    pub bus: Relay,
    /// The façade, as the drone reaches it.
    pub http: Relay,
    /// The network namespace, if there is one.
    namespace: Option<Namespace>,
}

#[derive(Debug)]
struct Namespace {
    name: String,
    /// The drone's end of the link.
    link: String,
}

impl Cable {
    /// Lays one.
    ///
    /// # Errors
    /// When it can't be laid.
    pub fn lay() -> Result<Self> {
        let number = std::process::id();
        let here = Ipv4Addr::new(10, 213, (number >> 6 & 0xff) as u8, ((number & 0x3f) << 2 | 1) as u8);
        let namespace = Namespace::make(number, here);
        if let Err(why) = &namespace {
            println!("no network namespace, so a relay is stopped instead of a link: {why:#}");
        }
        let namespace = namespace.ok();
        let address = IpAddr::V4(if namespace.is_some() { here } else { Ipv4Addr::LOCALHOST });
        Ok(Self { bus: Relay::listen(address)?, http: Relay::listen(address)?, namespace })
    }

    /// The façade's address for `http.public_url`: every drone reaches it there.
    pub fn url(&self) -> String {
        match &self.namespace {
            // nothing but the drone's end of the link goes down
            Some(_) => format!("http://{}", self.http.address),
            None => String::new(),
        }
    }

    /// Words before the drone's command line.
    pub fn within(&self) -> Vec<String> {
        let enter = |namespace: &Namespace| ["ip", "netns", "exec", &namespace.name].map(str::to_owned).to_vec();
        self.namespace.as_ref().map(enter).unwrap_or_default()
    }

    /// Connects it to a swarm.
    ///
    /// # Errors
    /// When an address makes no sense.
    pub fn connect(&self, bus: &str, http: &str) -> Result<()> {
        let address = |url: &str| -> Result<SocketAddr> {
            let place = url.split_once("://").map_or(url, |(_, place)| place).trim();
            place.parse().with_context(|| format!("{place:?} is an address and a port"))
        };
        self.bus.aim(address(bus)?);
        self.http.aim(address(http)?);
        Ok(())
    }

    /// Pulls it, or plugs it in again.
    ///
    /// # Errors
    /// When the link can't be set.
    pub fn pull(&self, pulled: bool) -> Result<()> {
        match &self.namespace {
            Some(Namespace { name, link }) => {
                let state = if pulled { "down" } else { "up" };
                ip(&["-n", name, "link", "set", link, state])
            }
            None => {
                // the other drones reach the façade without a relay
                self.bus.pull(pulled);
                Ok(())
            }
        }
    }
}

impl Namespace {
    fn make(number: u32, here: Ipv4Addr) -> Result<Self> {
        let made = Self { name: format!("swarm-{number}"), link: format!("swd{number}") };
        let (near, far) = (format!("swc{number}"), &made.link);
        let there = Ipv4Addr::from(u32::from(here) + 1);
        ip(&["netns", "add", &made.name])?;
        ip(&["link", "add", &near, "type", "veth", "peer", "name", far, "netns", &made.name])?;
        ip(&["addr", "add", &format!("{here}/30"), "dev", &near])?;
        ip(&["link", "set", &near, "up"])?;
        ip(&["-n", &made.name, "addr", "add", &format!("{there}/30"), "dev", far])?;
        ip(&["-n", &made.name, "link", "set", far, "up"])?;
        ip(&["-n", &made.name, "link", "set", "lo", "up"])?;
        Ok(made)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // both ends of the link go with it
        let _ = ip(&["-n", &self.name, "link", "del", &self.link]);
        let _ = ip(&["netns", "del", &self.name]);
    }
}

fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output().context("run ip; it comes with iproute2")?;
    if !output.status.success() {
        bail!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_pulled_relay_holds_everything_back_and_loses_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay::listen(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        relay.aim(listener.local_addr().unwrap());
        let mut near = TcpStream::connect(relay.address).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(b"one").unwrap();
        let mut three = [0; 3];
        far.read_exact(&mut three).unwrap();
        relay.pull(true);
        near.write_all(b"two").unwrap();
        far.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(far.read_exact(&mut three).is_err(), "nothing comes through");
        far.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let plugged = Instant::now();
        relay.pull(false);
        far.read_exact(&mut three).unwrap();
        assert_eq!(&three, b"two", "after {:?}", plugged.elapsed());
    }
}
