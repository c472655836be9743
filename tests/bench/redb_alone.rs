//! What the store's library does on this disk with nothing around it: the yardsticks of the cycles.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Result;
use redb::{Database, Durability, TableDefinition};
use swarm_common::watch::spawn;
use swarm_controller::store::Change;
use tokio::sync::{mpsc, oneshot};

use crate::plant::runtime;

type Rows<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// Page cache, as the store has it.
const CACHE: usize = 64 << 20;

/// Commits recorded transactions anew, each on disk before the next, on the store they were recorded from. Rows per second.
///
/// # Errors
/// When the disk fails.
pub fn replay(path: &Path, transactions: &[Vec<Change>]) -> Result<f64> {
    let database = Database::builder().set_cache_size(CACHE).open(path)?;
    let began = Instant::now();
    for changes in transactions {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        for run in changes.chunk_by(|a, b| a.table == b.table) {
            let mut rows = transaction.open_table(Rows::new(run[0].table))?;
            for change in run {
                match &change.value {
                    Some(value) => drop(rows.insert(change.key.as_slice(), value.as_slice())?),
                    None => drop(rows.remove(change.key.as_slice())?),
                }
            }
        }
        transaction.commit()?;
    }
    let rows: usize = transactions.iter().map(Vec::len).sum();
    Ok(rows as f64 / began.elapsed().as_secs_f64())
}

/// Group commit of single records: each of `callers` writes one of 200 bytes and waits until it is on disk; what waits
/// together, at most `batch`, is one transaction. Records per second.
///
/// # Errors
/// When the disk fails.
pub fn callers(path: &Path, callers: u64, batch: usize, takes: Duration) -> Result<f64> {
    let database = Database::builder().set_cache_size(CACHE).create(path)?;
    let (send, receive) = mpsc::channel::<(u128, oneshot::Sender<()>)>(batch * 4);
    let committing = std::thread::spawn(move || commit_groups(&database, receive, batch));
    let runtime = runtime("callers")?;
    let (durable, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let per_second = runtime.block_on(async {
        for caller in 0..callers {
            let (send, durable, stop) = (send.clone(), durable.clone(), stop.clone());
            drop(spawn("caller", async move {
                let mut number = 0;
                while !stop.load(Relaxed) {
                    // keys in no order, as those of rows that change
                    number += 1;
                    let key =
                        u128::from(caller * 1_000_003 + number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                    let (told, done) = oneshot::channel();
                    if send.send((key, told)).await.is_err() || done.await.is_err() {
                        return;
                    }
                    durable.fetch_add(1, Relaxed);
                }
            }));
        }
        tokio::time::sleep(takes / 4).await;
        let (before, began) = (durable.load(Relaxed), Instant::now());
        tokio::time::sleep(takes).await;
        let per_second = (durable.load(Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
        stop.store(true, Relaxed);
        per_second
    });
    drop(send);
    runtime.shutdown_timeout(Duration::from_secs(5));
    committing.join().map_err(|_| anyhow::anyhow!("the committing thread panicked"))??;
    Ok(per_second)
}

fn commit_groups(
    database: &Database,
    mut receive: mpsc::Receiver<(u128, oneshot::Sender<()>)>,
    batch: usize,
) -> Result<()> {
    let mut group = Vec::with_capacity(batch);
    let value = [7_u8; 200];
    while receive.blocking_recv_many(&mut group, batch) > 0 {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut rows = transaction.open_table(Rows::new("records"))?;
            for (key, _) in &group {
                rows.insert(key.to_be_bytes().as_slice(), value.as_slice())?;
            }
        }
        transaction.commit()?;
        for (_, told) in group.drain(..) {
            // its caller may have been stopped
            let _ = told.send(());
        }
    }
    Ok(())
}
