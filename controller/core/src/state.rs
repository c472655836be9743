//! The core itself: rows, soft state and the entry points.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::{ArtifactId, BuildId, DroneId, Fence, SessionId, StoreId};

use crate::effect::Effect;
use crate::input::{Input, Now};
use crate::rows::*;
use crate::settings::Settings;
use crate::table::{Journal, Sink, Source, Table};
use crate::view::View;

/// The controller's rules and everything they know.
pub struct Core {
    pub(crate) settings: Settings,
}

impl Core {
    /// Takes the rows back. With no `meta` row it is a new store and gets `fresh_store_id`.
    pub fn load<S: Source>(settings: Settings, source: &S, fresh_store_id: StoreId) -> Result<Self, S::Error> {
        let _ = (source, fresh_store_id);
        Ok(Self { settings })
    }

    /// The store's life.
    pub fn store_id(&self) -> &StoreId {
        unreachable!()
    }

    /// The core's clock as it was last stored; the engine goes on from there.
    pub fn clock(&self) -> u64 {
        0
    }

    /// Call once after [`Core::load`]: re-emits what must be done again after a restart.
    pub fn start(&mut self, now: Now) -> Vec<Effect> {
        let _ = now;
        Vec::new()
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Effect> {
        let _ = (now, input);
        Vec::new()
    }

    /// Lets time pass.
    pub fn wake(&mut self, now: Now) -> Vec<Effect> {
        let _ = now;
        Vec::new()
    }

    /// The core-clock moment of the next rule that is due.
    pub fn next_wake(&self) -> Option<u64> {
        None
    }

    /// Whether any row waits to be stored.
    pub fn is_changed(&self) -> bool {
        false
    }

    /// Hands every changed row to the store.
    pub fn drain(&mut self, now: Now, sink: &mut impl Sink) {
        let _ = (now, sink);
    }

    /// What readers may see.
    pub fn view(&self) -> View {
        View::default()
    }
}
