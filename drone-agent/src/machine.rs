//! What a hello says of the machine. Readings that fail are empty or 0; nothing here decides anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use swarm_protocol::machine::{Machine, RebootPolicy};

use crate::machine_type::{self, ThisMachine};

/// Most addresses named.
const MAX_ADDRESSES: usize = 16;
/// How long a name of the bus may take to be resolved; what is not known then is not told.
const RESOLVED_WITHIN: Duration = Duration::from_secs(2);

/// Most SSH host keys named, and the largest file read for one.
const MAX_HOST_KEYS: usize = 8;
const MAX_HOST_KEY: u64 = 16 << 10;
/// Where an SSH server keeps its host keys.
const SSH_DIR: &str = "/etc/ssh";

/// Describes this machine; `bus_url` tells which of its addresses the swarm sees, `reboot` is the configuration's word.
pub fn describe(bus_url: &str, reboot: RebootPolicy) -> Machine {
    let detected = machine_type::detect(&ThisMachine);
    Machine {
        hostname: hostname(),
        arch: gentoo_arch(std::env::consts::ARCH).to_owned(),
        cores: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
        ram_bytes: memory_total(&read("/proc/meminfo")),
        drone_type: detected.drone_type,
        evidence: detected.evidence,
        boot_id: read("/proc/sys/kernel/random/boot_id").trim().to_owned(),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        addresses: addresses(bus_url, &read("/proc/net/fib_trie"), &read("/proc/net/if_inet6")),
        reboot,
        ssh_host_keys: ssh_host_keys(Path::new(SSH_DIR)),
    }
}

/// The host's name.
pub fn hostname() -> String {
    let name = read("/proc/sys/kernel/hostname").trim().to_owned();
    if name.is_empty() { "drone".to_owned() } else { name }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Public host keys, so that the swarm knows them from the drone itself before it ever logs in.
fn ssh_host_keys(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let is_key = |name: &str| name.starts_with("ssh_host_") && name.ends_with("_key.pub");
    let mut paths: Vec<_> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_key))
        .filter(|entry| entry.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_HOST_KEY))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    let key = |text: String| {
        let mut words = text.split_ascii_whitespace();
        Some(format!("{} {}", words.next()?, words.next()?))
    };
    paths.into_iter().filter_map(|path| key(fs::read_to_string(path).ok()?)).take(MAX_HOST_KEYS).collect()
}

/// Gentoo's ARCH for Rust's name of an architecture.
fn gentoo_arch(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "riscv64" | "riscv32" => "riscv",
        "powerpc64" => "ppc64",
        "powerpc" => "ppc",
        "loongarch64" => "loong",
        "s390x" => "s390",
        "sparc64" => "sparc",
        other => other,
    }
}

fn memory_total(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Every address but loopback and link-local ones; the one that reaches the bus first.
fn addresses(bus_url: &str, fib_trie: &str, if_inet6: &str) -> Vec<String> {
    let mut found: Vec<IpAddr> = towards(bus_url).into_iter().collect();
    found.extend(ipv4_of(fib_trie).map(IpAddr::V4));
    found.extend(ipv6_of(if_inet6).map(IpAddr::V6));
    let mut named = Vec::new();
    for address in found.into_iter().filter(|a| !a.is_loopback() && !a.is_unspecified()) {
        let text = address.to_string();
        if !named.contains(&text) && named.len() < MAX_ADDRESSES {
            named.push(text);
        }
    }
    named
}

/// The own address on the way to the bus. Connecting a datagram socket sends nothing.
fn towards(bus_url: &str) -> Option<IpAddr> {
    // of a cluster the first server will do
    let first = bus_url.split(',').next().unwrap_or_default().trim();
    let place = first.split_once("://").map_or(first, |(_, rest)| rest);
    let target = resolved(place.to_owned())?;
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The first address of a place. In a thread of its own: a resolver that does not answer keeps whoever asks for half a minute,
/// and a worker that says nothing for so long is taken for hung.
fn resolved(place: String) -> Option<SocketAddr> {
    let (tell, told) = std::sync::mpsc::channel();
    let resolve = move || {
        let _ = tell.send(place.to_socket_addrs().ok().and_then(|mut found| found.next()));
    };
    std::thread::Builder::new().name("resolver".to_owned()).spawn(resolve).ok()?;
    told.recv_timeout(RESOLVED_WITHIN).ok()?
}

/// Local addresses of the kernel's routing table: the address line before each `/32 host LOCAL`.
fn ipv4_of(fib_trie: &str) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let lines = fib_trie.lines().map(str::trim);
    lines
        .clone()
        .zip(lines.skip(1))
        .filter(|(_, next)| *next == "/32 host LOCAL")
        .filter_map(|(line, _)| line.strip_prefix("|-- ")?.parse().ok())
}

/// Global addresses (scope 00) of `/proc/net/if_inet6`.
fn ipv6_of(if_inet6: &str) -> impl Iterator<Item = Ipv6Addr> + '_ {
    if_inet6.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let bits = u128::from_str_radix(words.next()?, 16).ok()?;
        (words.nth(2)? == "00").then(|| Ipv6Addr::from(bits))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_the_kernel_calls_local_without_loopback() {
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     +-- 10.0.3.0/24 2 0 2\n        |-- 10.0.3.0\n           /24 link UNICAST\n\
                    \x20       |-- 10.0.3.15\n           /32 host LOCAL\n        |-- 127.0.0.1\n           /32 host LOCAL\n";
        let inet6 = "fe800000000000000000000000000001 02 40 20 80 eth0\n20010db8000000000000000000000007 02 40 00 80 eth0\n\
                     00000000000000000000000000000001 01 80 10 80 lo\n";
        assert_eq!(addresses("nats://127.0.0.1:4222", trie, inet6), ["10.0.3.15", "2001:db8::7"]);
    }

    #[test]
    fn this_machine_describes_itself() {
        let machine = describe("nats://127.0.0.1:4222", RebootPolicy::Never);
        assert!(machine.cores > 0 && machine.ram_bytes > 1 << 20, "{machine:?}");
        assert!(!machine.arch.is_empty() && !machine.boot_id.is_empty() && !machine.evidence.is_empty(), "{machine:?}");
    }

    #[test]
    fn host_keys_are_named_without_their_comments_and_private_ones_never() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("ssh_host_rsa_key.pub", "ssh-rsa AAAAB3 root@box\n"),
            ("ssh_host_ed25519_key.pub", "ssh-ed25519 AAAAC3 root@box\n"),
            ("ssh_host_ed25519_key", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
            ("ssh_host_empty_key.pub", "\n"),
            ("sshd_config", "Port 22\n"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        assert_eq!(ssh_host_keys(dir.path()), ["ssh-ed25519 AAAAC3", "ssh-rsa AAAAB3"]);
        assert!(ssh_host_keys(&dir.path().join("none")).is_empty());
    }

    #[test]
    fn gentoo_has_names_of_its_own_for_architectures() {
        for (rust, gentoo) in [("x86_64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv"), ("arm", "arm")] {
            assert_eq!(gentoo_arch(rust), gentoo);
        }
    }
}
