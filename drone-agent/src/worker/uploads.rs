//! Uploads of finished attempts' packages: which package is meant, one upload of an attempt at a time, and where they go.
//!
//! How a file is sent is `upload`'s; what follows from its end the core's. Called by `hands`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use drone_core::{Input, Uploaded};
use swarm_common::errors::chain;
use swarm_common::watch::{blocking, spawn};
use swarm_protocol::artifact::{ArtifactAsk, UPLOADS_AT_A_TIME};
use swarm_protocol::report::BuildResult;
use swarm_protocol::{Fence, InstanceId};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use super::Event;
use crate::attempt::AttemptDir;
use crate::bus::Link;
use crate::upload::upload;

/// The uploads of one worker.
pub(crate) struct Uploads {
    link: Arc<Link>,
    instance: InstanceId,
    tell: mpsc::Sender<Event>,
    /// Results of attempts that ended: what they made can go up.
    results: BTreeMap<Fence, BuildResult>,
    running: BTreeMap<Fence, JoinHandle<()>>,
    places: Arc<Semaphore>,
    /// The controller's façade, once a welcome named it.
    http_url: watch::Sender<Option<String>>,
}

impl Uploads {
    pub(crate) fn new(
        link: Arc<Link>,
        instance: InstanceId,
        results: BTreeMap<Fence, BuildResult>,
        tell: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            link,
            instance,
            tell,
            results,
            running: BTreeMap::new(),
            places: Arc::new(Semaphore::new(UPLOADS_AT_A_TIME)),
            http_url: watch::channel(None).0,
        }
    }

    /// Where uploads go from now on.
    pub(crate) fn welcomed(&self, http_url: String) {
        self.http_url.send_replace(Some(http_url));
    }

    /// An attempt ended so.
    pub(crate) fn ended(&mut self, fence: Fence, result: BuildResult) {
        self.results.insert(fence, result);
    }

    /// Nothing of the attempt is to go up any more.
    pub(crate) fn forget(&mut self, fence: Fence) {
        if let Some(upload) = self.running.remove(&fence) {
            upload.abort();
        }
        self.results.remove(&fence);
    }

    /// Sends a package of the attempt in `path`; a former upload of it is given up.
    pub(crate) fn upload(&mut self, fence: Fence, sha256: String, path: PathBuf) {
        let artifact = self.results.get(&fence).and_then(|r| r.artifacts.iter().find(|a| a.sha256 == sha256)).cloned();
        let (instance, base) = (self.instance.clone(), self.http_url.subscribe());
        let (link, places, tell) = (Arc::clone(&self.link), Arc::clone(&self.places), self.tell.clone());
        let task = spawn("upload", async move {
            let opened = blocking("upload", move || AttemptDir::open(&path)).await;
            let outcome = match (artifact, opened) {
                (Some(artifact), Ok(dir)) => {
                    let file = dir.artifact_path(&artifact);
                    let ask = ArtifactAsk { instance, store_id: dir.job().store_id.clone(), fence, artifact };
                    upload(link, base, places, ask, file).await
                }
                (None, _) => Uploaded::Failed { message: format!("the attempt made no package {sha256}") },
                (_, Err(error)) => Uploaded::Failed { message: chain(&error) },
            };
            let _ = tell.send(Event::Core(Input::Uploaded { fence, sha256, outcome })).await;
        });
        if let Some(former) = self.running.insert(fence, task) {
            former.abort();
        }
    }
}
