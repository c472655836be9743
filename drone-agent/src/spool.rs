//! The drone's memory beside the attempts' directories: locks, the highest order number seen, tombstones.
//!
//! `orders_seen` is written only after everything it claims is on disk; losing it costs a repeated order, which is
//! answered from the attempts that stand. Written by the worker, read by the supervisor.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use drone_core::healing::Done;
use drone_core::tombs::{MAX_TOMBS, TOMB_MS};
use drone_core::{Saved, Tomb};
use fs_err as fs;
use nix::fcntl::{Flock, FlockArg};
use swarm_common::files::{TEMPORARY, remove_tree, write_whole};
use swarm_protocol::{Fence, StoreId};
use thiserror::Error;

/// Why the memory can't be used.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// A file could not be read or written.
    #[error("use the drone's state directory")]
    Io(#[from] io::Error),
    /// Another process of the same role lives.
    #[error("another {role} holds {path}; end it first, or give this drone a state_dir of its own")]
    Held {
        /// `supervisor` or `worker`.
        role: &'static str,
        /// The lock.
        path: PathBuf,
    },
}

/// The lock of a role; falls when dropped or when the process ends, however it ends.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "nix locks files of std; the path is named by SpoolError")]
pub struct Lock(#[expect(dead_code, reason = "held, not read: dropping it unlocks")] Flock<std::fs::File>);

/// Where the drone's memory is.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
}

impl Spool {
    /// Opens the directory, making it if need be; nobody else may read it.
    pub fn open(dir: &Path) -> Result<Self, SpoolError> {
        fs::create_dir_all(dir)?;
        // others may pass, not look: Portage verifies signatures as nobody, below this directory
        fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Takes the lock of a role, at once or not at all, and leaves the own pid in it.
    pub fn lock(&self, role: &'static str) -> Result<Lock, SpoolError> {
        let path = self.dir.join(format!("{role}.lock"));
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        match Flock::lock(file.into_parts().0, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                lock.set_len(0)?;
                write!(*lock, "{}", std::process::id())?;
                Ok(Lock(lock))
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(SpoolError::Held { role, path }),
            Err((_, errno)) => Err(io::Error::from(errno).into()),
        }
    }

    /// The pid of who holds the lock of a role; `None` if it is free.
    pub fn holder(&self, role: &'static str) -> Result<Option<u32>, SpoolError> {
        match self.lock(role) {
            Ok(_free) => Ok(None),
            Err(SpoolError::Held { path, .. }) => Ok(fs::read_to_string(path)?.trim().parse().ok()),
            Err(error) => Err(error),
        }
    }

    /// Remembers the highest order number seen of a store.
    pub fn remember_seen(&self, number: u64, store_id: &StoreId) -> Result<(), SpoolError> {
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.dir)?;
        writeln!(file, "{number} {store_id}")?;
        file.persist(self.dir.join("orders_seen")).map_err(|e| e.error)?;
        Ok(())
    }

    /// The highest order number seen and the store it is of; none before the first welcome.
    pub fn seen(&self) -> Option<(u64, StoreId)> {
        let text = fs::read_to_string(self.dir.join("orders_seen")).ok()?;
        let (number, store_id) = text.trim_end().split_once(' ')?;
        Some((number.parse().ok()?, StoreId::from(store_id)))
    }

    /// Adds a tombstone, durably.
    pub fn add_tomb(&self, tomb: &Tomb) -> Result<(), SpoolError> {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.tombs())?;
        file.write_all(line(tomb).as_bytes())?;
        file.sync_data()?;
        Ok(())
    }

    /// What a former run left. Tombstones that have stood long enough are dropped, and the file is written anew.
    pub fn load(&self, now: u64) -> Result<Saved, SpoolError> {
        let text = match fs::read_to_string(self.tombs()) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e.into()),
        };
        // a line cut short by a crash is skipped: its attempt's order named an instance that is gone
        let mut tombs: Vec<Tomb> =
            text.lines().filter_map(parse).filter(|tomb| tomb.at.saturating_add(TOMB_MS) > now).collect();
        tombs.drain(..tombs.len().saturating_sub(MAX_TOMBS));
        let text: String = tombs.iter().map(line).collect();
        write_whole(&self.tombs(), text.as_bytes(), 0o600)?;
        let (orders_seen, store_id) = self.seen().map_or((0, None), |(number, id)| (number, Some(id)));
        Ok(Saved { store_id, orders_seen, tombs })
    }

    /// Remembers the last order to a drone that does not work, durably.
    pub fn remember_rung(&self, done: &Done) -> Result<(), SpoolError> {
        let bytes = serde_json::to_vec(done).map_err(io::Error::from)?;
        Ok(write_whole(&self.dir.join("escalation"), &bytes, 0o600)?)
    }

    /// The last such order; none before the first, or if what stands there makes no sense.
    pub fn last_rung(&self) -> Option<Done> {
        serde_json::from_slice(&fs::read(self.dir.join("escalation")).ok()?).ok()
    }

    /// Where the supervisor hears `drone-agent escalate`.
    pub fn door(&self) -> PathBuf {
        self.dir.join("supervisor.sock")
    }

    /// Removes what a killed worker left half-made: the planner's directory, files that never got their name.
    pub fn sweep(&self) -> io::Result<()> {
        remove_tree(&self.dir.join("plan"))?;
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            // whoever made one has no further use for it once its process is gone
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn tombs(&self) -> PathBuf {
        self.dir.join("tombstones")
    }
}

fn line(tomb: &Tomb) -> String {
    format!("{} {} {}\n", tomb.at, tomb.fence, tomb.store_id)
}

fn parse(line: &str) -> Option<Tomb> {
    let mut words = line.splitn(3, ' ');
    let at = words.next()?.parse().ok()?;
    let fence = Fence::from_str(words.next()?).ok()?;
    Some(Tomb { fence, store_id: StoreId::from(words.next()?), at })
}

#[cfg(test)]
mod tests {
    use swarm_protocol::{Attempt, BuildId};

    use super::*;

    fn tomb(build: u64, at: u64) -> Tomb {
        Tomb { fence: Fence { build: BuildId(build), attempt: Attempt(1) }, store_id: StoreId::from("store a"), at }
    }

    #[test]
    fn what_is_remembered_is_found_by_the_next_run() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        assert_eq!(spool.load(0).unwrap(), Saved::default());
        spool.remember_seen(7, &StoreId::from("store a")).unwrap();
        spool.add_tomb(&tomb(1, 10)).unwrap();
        spool.add_tomb(&tomb(2, 20)).unwrap();
        let saved = Spool::open(dir.path()).unwrap().load(30).unwrap();
        let store_id = Some(StoreId::from("store a"));
        assert_eq!(saved, Saved { store_id, orders_seen: 7, tombs: vec![tomb(1, 10), tomb(2, 20)] });
    }

    #[test]
    fn old_and_damaged_tombstones_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        spool.add_tomb(&tomb(1, 10)).unwrap();
        spool.add_tomb(&tomb(2, TOMB_MS)).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(dir.path().join("tombstones")).unwrap();
        file.write_all(b"123 4.").unwrap();
        assert_eq!(spool.load(TOMB_MS + 10).unwrap().tombs, [tomb(2, TOMB_MS)]);
        assert_eq!(fs::read_to_string(dir.path().join("tombstones")).unwrap().lines().count(), 1);
    }

    #[test]
    fn the_last_order_of_the_ladder_outlives_the_process() {
        use drone_core::healing::Rung;
        use swarm_protocol::order::Escalated;
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        assert_eq!(spool.last_rung(), None);
        let done = Done {
            store_id: StoreId::from("store a"),
            generation: 7,
            rung: Rung::RebootContainer,
            outcome: Escalated::Done { detail: "reboots".to_owned() },
        };
        spool.remember_rung(&done).unwrap();
        assert_eq!(Spool::open(dir.path()).unwrap().last_rung(), Some(done));
        let kept = fs::read_to_string(dir.path().join("escalation")).unwrap();
        assert!(kept.contains("\"rung\":\"reboot_container\""), "a former version's file is read: {kept}");
        fs::write(dir.path().join("escalation"), b"{\"half").unwrap();
        assert_eq!(spool.last_rung(), None);
    }

    #[test]
    fn leftovers_are_swept_and_memory_stays() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        spool.remember_seen(3, &StoreId::from("s")).unwrap();
        fs::create_dir_all(dir.path().join("plan/deep")).unwrap();
        fs::write(dir.path().join(".tmpAb12"), b"half").unwrap();
        fs::create_dir(dir.path().join("attempts")).unwrap();
        spool.sweep().unwrap();
        spool.sweep().unwrap();
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["attempts", "orders_seen"]);
    }

    #[test]
    fn a_role_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        let held = spool.lock("supervisor").unwrap();
        assert!(matches!(spool.lock("supervisor"), Err(SpoolError::Held { role: "supervisor", .. })));
        assert_eq!(spool.holder("supervisor").unwrap(), Some(std::process::id()));
        let _other_role = spool.lock("worker").unwrap();
        drop(held);
        assert_eq!(spool.holder("supervisor").unwrap(), None);
        spool.lock("supervisor").unwrap();
    }
}
