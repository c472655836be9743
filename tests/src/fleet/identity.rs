//! Who a simulated drone is: a bus key of its own.

use std::path::Path;

use anyhow::{Context, Result};
use nkeys::{KeyPair, KeyPairType};
use swarm_controller::bus::keys::read_seed;
use swarm_protocol::{DroneId, Subjects};

/// A drone's name and key.
#[derive(Clone)]
pub struct Identity {
    /// For people.
    pub name: String,
    /// Public key.
    pub id: DroneId,
    /// The private half.
    pub(super) seed: String,
}

impl Identity {
    /// A new key.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn new(name: String) -> Result<Self> {
        let pair = KeyPair::new(KeyPairType::User);
        let seed = pair.seed().context("a seed of a new key")?;
        Ok(Self { name, id: DroneId(pair.public_key()), seed })
    }

    /// The key a controller made for one of its local drones.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(name: String, path: &Path) -> Result<Self> {
        let (id, seed) = read_seed(path)?;
        Ok(Self { name, id: DroneId(id), seed: seed.expose().to_owned() })
    }

    /// A connection under this key with nothing behind it, for what is measured without a drone.
    ///
    /// # Errors
    /// When the bus does not let it in.
    pub async fn connect(&self, url: &str) -> Result<async_nats::Client> {
        let options = async_nats::ConnectOptions::with_nkey(self.seed.clone());
        let options = options.custom_inbox_prefix(Subjects::inbox(self.id.as_str()));
        options.connect(url).await.with_context(|| format!("connect {}", self.name))
    }
}
