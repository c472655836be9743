//! A NATS cluster that somebody else runs, as far as the controller can tell: three servers on loopback with TLS, JetStream and
//! the users that `swarm bus permissions` prints.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;

use crate::{Http, processes, tools, until};

const START: Duration = Duration::from_secs(30);

/// One server.
pub struct Node {
    name: String,
    port: u16,
    monitor: u16,
    route: u16,
    process: Option<Child>,
}

/// Three of them.
pub struct Cluster {
    dir: PathBuf,
    /// The servers.
    pub nodes: Vec<Node>,
}

impl Cluster {
    /// Certificates and configurations in `dir`; nothing runs yet.
    ///
    /// # Errors
    /// When something can't be written.
    pub fn prepare(dir: &Path) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        let mut authority = CertificateParams::new(Vec::<String>::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        fs_err::write(dir.join("ca.pem"), authority.self_signed(&key)?.pem())?;
        let server_key = KeyPair::generate()?;
        let server = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        let certificate = server.signed_by(&server_key, &Issuer::new(authority, key))?;
        fs_err::write(dir.join("server.pem"), certificate.pem() + &server_key.serialize_pem())?;
        let node = |n: usize| -> Result<Node> {
            let (port, monitor, route) = (tools::free_port()?, tools::free_port()?, tools::free_port()?);
            Ok(Node { name: format!("n{n}"), port, monitor, route, process: None })
        };
        let nodes = (1..=3).map(node).collect::<Result<Vec<_>>>()?;
        let cluster = Self { dir: dir.to_owned(), nodes };
        let routes: Vec<String> = cluster.nodes.iter().map(|node| format!("nats://127.0.0.1:{}", node.route)).collect();
        for node in &cluster.nodes {
            let text = format!(
                "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\nmax_payload: 1MB\n\
                 tls {{ cert_file: {pem:?}, key_file: {pem:?}, timeout: 5 }}\n\
                 jetstream {{ store_dir: {store:?}, max_mem: 64MB, max_file: 1GB, sync_interval: always }}\n\
                 cluster {{ name: farm, listen: \"127.0.0.1:{route}\", routes: {routes:?} }}\n\
                 include \"users.conf\"\n",
                name = node.name,
                port = node.port,
                monitor = node.monitor,
                pem = dir.join("server.pem"),
                store = dir.join(&node.name),
                route = node.route,
            );
            fs_err::write(dir.join(format!("{}.conf", node.name)), text)?;
        }
        Ok(cluster)
    }

    /// What goes into `bus.url`.
    pub fn url(&self) -> String {
        let each: Vec<String> = self.nodes.iter().map(|node| format!("tls://127.0.0.1:{}", node.port)).collect();
        each.join(",")
    }

    /// The authority of its certificates.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Makes these the users; servers that run read them again.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn users(&self, text: &str) -> Result<()> {
        fs_err::write(self.dir.join("users.conf"), text)?;
        for process in self.nodes.iter().filter_map(|node| node.process.as_ref()) {
            processes::signal(process.id() as i32, Signal::SIGHUP)?;
        }
        Ok(())
    }

    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(&mut self, index: usize) -> Result<()> {
        let node = &mut self.nodes[index];
        let log = fs_err::OpenOptions::new().create(true).append(true).open(self.dir.join("nats.log"))?.into_parts().0;
        let mut command = Command::new(tools::tool("nats.sh", &[])?);
        command.arg("-c").arg(self.dir.join(format!("{}.conf", node.name)));
        node.process = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?);
        let monitor = Http::new(format!("http://127.0.0.1:{}", node.monitor), String::new());
        until(format!("{} to answer", node.name), START, || Ok(monitor.get("/varz").ok()))?;
        Ok(())
    }

    /// Kills a server at once.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        let mut process = self.nodes[index].process.take().context("it runs")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// The server that has a client whose name begins so.
    ///
    /// # Errors
    /// When none has.
    pub fn server_of(&self, client: &str) -> Result<usize> {
        let has = |node: &Node| -> Result<bool> {
            let monitor = Http::new(format!("http://127.0.0.1:{}", node.monitor), String::new());
            let connections: Value = monitor.get("/connz")?;
            let all = connections["connections"].as_array().context("a list")?;
            Ok(all.iter().any(|one| one["name"].as_str().is_some_and(|name| name.starts_with(client))))
        };
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.process.is_some()) {
            if has(node)? {
                return Ok(index);
            }
        }
        anyhow::bail!("no server has a client {client}")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut process) = node.process.take() {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}
