//! The binhost's room: its folders and keys, the thread that writes its files, and its door in the façade.

use std::path::Path;
use std::sync::{Arc, mpsc};

use anyhow::{Context as _, Result};
use swarm_binhost::gpkg::Limits;
use swarm_binhost::secret::{self, Lock};
use swarm_binhost::service::{Folders, Service};
use swarm_binhost::sign::SigningKey;
use swarm_binhost::verifying::Verifying;
use swarm_binhost::{durable, serve as files};
use swarm_core::Settings;
use swarm_core::effect::BinhostWork;
use swarm_protocol::Secret;

use super::folder;
use crate::books::Books;
use crate::config::Config;
use crate::engine::EngineHandle;
use crate::http::adapters::Door;
use crate::store::{Snapshot, Store};

/// What the binhost has before the engine runs.
pub(super) struct Shelves {
    folders: Folders,
    key: SigningKey,
    public_key: String,
    secret: Secret,
}

/// The binhost, running.
pub(super) struct Binhost {
    /// Its door in the façade.
    pub door: Arc<Door>,
    folders: Folders,
    lock: Lock,
}

impl Binhost {
    /// Starts the thread that carries out `work`. The rows are those the engine began with.
    pub(super) fn start(
        shelves: Shelves,
        config: &Config,
        store: &Store,
        rows: &Snapshot,
        engine: &EngineHandle,
        work: mpsc::Receiver<BinhostWork>,
    ) -> Result<Self> {
        let Shelves { folders, key, public_key, secret } = shelves;
        let limits = Limits { package: config.binhost.max_upload, ..Limits::default() };
        let books = Arc::new(Books::new(store.clone(), engine.clone()));
        let door = Door {
            folders: folders.clone(),
            fingerprint: key.fingerprint().to_owned(),
            public_key,
            verifying: Verifying::new(folders.clone(), config.binhost.verify_rate, books),
            max_upload: config.binhost.max_upload,
            min_free_percent: config.binhost.min_free_percent,
            limits: limits.clone(),
            secret: secret.clone(),
        };
        let service = Service::load(folders.clone(), key, limits, rows)?;
        let told = engine.clone();
        std::thread::Builder::new()
            .name("binhost".to_owned())
            .spawn(move || swarm_common::watch::watched("binhost", || service.run(&work, &told)))?;
        Ok(Self { door: Arc::new(door), folders, lock: Lock::new(&secret) })
    }

    /// Its files for everybody, and those behind the secret.
    pub(super) fn routers(&self) -> (axum::Router, axum::Router) {
        let Folders { root, private, .. } = self.folders.clone();
        (files::router(root.clone()), files::private_router(private, root, self.lock.clone()))
    }
}

impl Shelves {
    /// Folders and keys, made if they are missing; what a crash left is tidied up.
    pub(super) fn open(config: &Config, data: &Path) -> Result<Self> {
        let key = SigningKey::load_or_create(&data.join("keys"), &config.binhost.user_id)?;
        let secret = secret::load_or_create(&data.join("keys/binhost-private.secret"))
            .context("keep the secret of the binhost's restricted part")?;
        let at = |name: &str| data.join(name);
        let folders = Folders { root: at("binhost"), private: at("binhost-private"), incoming: at("incoming") };
        fs_err::create_dir_all(&folders.root)?;
        folder(&folders.private, 0o700)?;
        fs_err::create_dir_all(&folders.incoming)?;
        durable::tidy(&folders.root, &folders.incoming)?;
        durable::tidy(&folders.private, &folders.incoming)?;
        let public_key = key.public_armored()?;
        fs_err::write(folders.root.join("binhost.asc"), &public_key)?;
        Ok(Self { folders, key, public_key, secret })
    }

    /// The rules, with what the binhost adds to them.
    pub(super) fn settings(&self, config: &Config) -> Settings {
        Settings {
            binhost_secret: self.secret.clone(),
            http_url: config.public_url(),
            key_fingerprint: self.key.fingerprint().to_owned(),
            public_key: self.public_key.clone(),
            ..config.rules.clone()
        }
    }
}
