use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;

use swarm_protocol::{Attempt, BuildId};
use tokio::time::timeout;

use super::fill::LogDone;
use super::*;

const SOON: Duration = Duration::from_secs(20);

/// A drone that has logs, and may be deaf for a while.
struct Drone {
    logs: BTreeMap<Fence, Vec<u8>>,
    /// Runs of every log it has cut out.
    cut: Vec<(u64, u64)>,
    deaf_for: AtomicUsize,
    asked: Mutex<Vec<(Fence, u64)>>,
}

impl LogSource for Drone {
    fn fetch(&self, _: DroneId, fence: Fence, offset: u64, max: u32) -> BoxFuture<'_, Option<LogChunk>> {
        lock(&self.asked).push((fence, offset));
        let deaf = self.deaf_for.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        let answer = self.logs.get(&fence).filter(|_| !deaf).map(|log| {
            let total = log.len() as u64;
            let chunk = LogChunk { fence, offset, total, end: true, ..LogChunk::default() };
            if let Some((from, len)) = self.cut.iter().find(|(from, len)| (*from..from + len).contains(&offset)) {
                return LogChunk { cut: from + len - offset, ..chunk };
            }
            let next_cut = self.cut.iter().map(|(from, _)| *from).filter(|from| *from > offset).min();
            let end = (offset + u64::from(max)).min(total).min(next_cut.unwrap_or(total));
            LogChunk { bytes: log[(offset.min(end)) as usize..end as usize].to_vec(), ..chunk }
        });
        Box::pin(std::future::ready(answer))
    }
}

struct Bench {
    dir: tempfile::TempDir,
    logs: LogCollector,
    done: mpsc::Receiver<LogDone>,
    drone: Arc<Drone>,
}

fn fence(build: u64) -> Fence {
    Fence { build: BuildId(build), attempt: Attempt(1) }
}

fn alpha() -> DroneId {
    DroneId::from("UALPHA")
}

/// A megabyte and a half, so that frames and chunks both are several.
fn long_log() -> Vec<u8> {
    (0..40_000u32).flat_map(|n| format!(">>> line {n} of the build\n").into_bytes()).collect()
}

fn bench(logs: &[(u64, Vec<u8>)], bounds: LogBounds) -> Bench {
    bench_with(
        Drone {
            logs: logs.iter().map(|(build, log)| (fence(*build), log.clone())).collect(),
            cut: Vec::new(),
            deaf_for: AtomicUsize::new(0),
            asked: Mutex::default(),
        },
        bounds,
    )
}

fn bench_with(drone: Drone, bounds: LogBounds) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let holds: Holds = Arc::new(|drone, _| *drone == alpha());
    let (logs, work) = LogCollector::open(dir.path(), bounds, holds).unwrap();
    let drone = Arc::new(drone);
    let (done_to, done) = mpsc::channel(16);
    drop(swarm_common::watch::spawn("logs", work.run(drone.clone(), done_to)));
    Bench { dir, logs, done, drone }
}

impl Bench {
    /// Publishes `log[from..to]` as a drone does while it builds.
    fn say(&self, build: u64, log: &[u8], from: usize, to: usize) {
        let bytes = log[from..to].to_vec();
        let chunk =
            LogChunk { fence: fence(build), offset: from as u64, bytes, total: to as u64, ..LogChunk::default() };
        self.logs.offer(alpha(), chunk);
    }

    async fn completed(&mut self, build: u64, bytes: usize) -> bool {
        self.logs.complete(fence(build), alpha(), bytes as u64).await;
        let done = timeout(SOON, self.done.recv()).await.unwrap().unwrap();
        assert_eq!(done.fence, fence(build));
        done.complete
    }

    /// Everything a reader gets, in bites of `bite`.
    async fn whole(&self, build: u64, bite: u64) -> Vec<u8> {
        let (mut text, mut offset) = (Vec::new(), 0);
        loop {
            let Some(read) = self.logs.read(fence(build), offset, bite).await.unwrap() else { return text };
            if read.piece.bytes.is_empty() {
                return text;
            }
            offset = read.piece.offset + read.piece.bytes.len() as u64;
            text.extend(read.piece.bytes);
        }
    }

    async fn held(&self, build: u64, bytes: usize) {
        let end = Instant::now() + SOON;
        while self.whole(build, MAX_READ).await.len() < bytes {
            assert!(Instant::now() < end, "gave up waiting for {bytes} bytes");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn asked(&self) -> usize {
        lock(&self.drone.asked).len()
    }
}

#[tokio::test]
async fn a_log_heard_whole_is_stored_without_asking_and_read_back_in_any_bites() {
    let log = long_log();
    let mut bench = bench(&[(7, log.clone())], LogBounds::default());
    for from in (0..log.len()).step_by(50_000) {
        bench.say(7, &log, from, (from + 50_000).min(log.len()));
    }
    assert!(bench.completed(7, log.len()).await);
    assert_eq!(bench.asked(), 0);
    assert!(bench.whole(7, 100_000).await == log);
    assert!(bench.whole(7, u64::MAX).await == log);
    let read = bench.logs.read(fence(7), log.len() as u64 - 5, 100).await.unwrap().unwrap();
    assert_eq!(read.piece.bytes, &log[log.len() - 5..]);
    assert!(read.complete && read.ended && read.total == log.len() as u64);
    // what is on disk is a plain zstd file
    let file = fs_err::read(bench.dir.path().join("7/1.log.zst")).unwrap();
    assert!(zstd::decode_all(&file[..]).unwrap() == log);
    assert!(!bench.dir.path().join("7/1.live").exists());
}

#[tokio::test]
async fn a_gap_is_noticed_and_asked_for_while_the_build_runs() {
    let log = long_log();
    let bench = bench(&[(7, log.clone())], LogBounds::default());
    bench.say(7, &log, 0, 1000);
    bench.say(7, &log, 9000, 10_000);
    bench.held(7, 10_000).await;
    assert!(bench.whole(7, 512).await == log[..10_000]);
    assert_eq!(bench.asked(), 1);
}

#[tokio::test]
async fn a_controller_that_heard_nothing_gets_the_whole_log_at_the_end() {
    let log = long_log();
    let mut bench = bench(&[(7, log.clone())], LogBounds::default());
    bench.drone.deaf_for.store(2, Relaxed);
    assert!(bench.completed(7, log.len()).await);
    assert!(bench.whole(7, MAX_READ).await == log);
    // a second effect for the same log (the core repeats it after a restart) asks nobody again
    let asked = bench.asked();
    assert!(bench.completed(7, log.len()).await);
    assert_eq!(bench.asked(), asked);
}

#[tokio::test]
async fn what_the_drone_cut_out_is_skipped_and_the_log_counts_as_complete() {
    let log = long_log();
    let (from, len) = (100_000usize, 700_000usize);
    let mut bench = bench_with(
        Drone {
            logs: BTreeMap::from([(fence(7), log.clone())]),
            cut: vec![(from as u64, len as u64)],
            deaf_for: AtomicUsize::new(0),
            asked: Mutex::default(),
        },
        LogBounds::default(),
    );
    assert!(bench.completed(7, log.len()).await);
    let kept: Vec<u8> = [&log[..from], &log[from + len..]].concat();
    assert!(bench.whole(7, 300_000).await == kept);
    let behind = bench.logs.read(fence(7), from as u64, 10).await.unwrap().unwrap();
    assert_eq!(behind.piece.offset, (from + len) as u64);
}

#[tokio::test]
async fn a_tail_that_cannot_be_had_leaves_the_log_incomplete_in_time() {
    let log = long_log();
    let bounds = LogBounds { complete_within: Duration::from_millis(300), ..LogBounds::default() };
    let mut bench = bench(&[], bounds);
    bench.say(7, &log, 0, 5000);
    assert!(!bench.completed(7, log.len()).await);
    assert!(bench.whole(7, MAX_READ).await == log[..5000]);
    let read = bench.logs.read(fence(7), 0, 10).await.unwrap().unwrap();
    assert!(read.ended && !read.complete && read.total == log.len() as u64);
}

#[tokio::test]
async fn an_empty_log_is_a_log() {
    let mut bench = bench(&[], LogBounds::default());
    assert!(bench.completed(7, 0).await);
    assert_eq!(bench.whole(7, 10).await, b"");
}

#[tokio::test]
async fn only_the_drone_that_has_the_attempt_is_heard() {
    let log = long_log();
    let mut bench = bench(&[(7, log.clone())], LogBounds::default());
    let lie = LogChunk { fence: fence(7), bytes: b"lies".to_vec(), total: 4, ..LogChunk::default() };
    bench.logs.offer(DroneId::from("UMALLORY"), lie.clone());
    bench.say(7, &log, 0, 1000);
    bench.logs.offer(DroneId::from("UMALLORY"), lie);
    bench.say(7, &log, 1000, 2000);
    bench.held(7, 2000).await;
    assert!(bench.whole(7, MAX_READ).await == log[..2000]);
    assert_eq!(bench.logs.counters().foreign.load(Relaxed), 2);
    assert!(bench.completed(7, log.len()).await);
}

#[tokio::test]
async fn followers_are_told_of_growth_and_of_the_end() {
    let log = long_log();
    let mut bench = bench(&[(7, log.clone())], LogBounds::default());
    assert!(bench.logs.follow(fence(7)).is_none());
    bench.say(7, &log, 0, 10);
    bench.held(7, 10).await;
    let mut follower = bench.logs.follow(fence(7)).unwrap();
    assert_eq!(follower.borrow().total, 10);
    bench.say(7, &log, 10, 30);
    timeout(SOON, follower.wait_for(|progress| progress.total == 30)).await.unwrap().unwrap();
    assert!(bench.completed(7, log.len()).await);
    while timeout(SOON, follower.changed()).await.unwrap().is_ok() {}
    assert!(bench.whole(7, MAX_READ).await == log);
}

#[tokio::test]
async fn bounds_hold_per_log_in_number_and_on_disk() {
    let log = long_log();
    let bounds = LogBounds { per_log: 1000, live_logs: 1, ..LogBounds::default() };
    let bench = bench(&[], bounds);
    bench.say(7, &log, 0, 900);
    bench.say(7, &log, 900, 1100);
    bench.say(8, &log, 0, 10);
    bench.held(7, 900).await;
    let end = Instant::now() + SOON;
    while bench.logs.counters().refused.load(Relaxed) < 2 {
        assert!(Instant::now() < end, "the bounds were not reached");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bench.logs.read(fence(8), 0, 10).await.unwrap(), None);
}

#[tokio::test]
async fn the_oldest_logs_go_when_the_disk_share_is_used_up() {
    let log = long_log();
    let logs: Vec<_> = (1..=4).map(|build| (build, log.clone())).collect();
    let mut bench = bench(&logs, LogBounds { stored: 0, ..LogBounds::default() });
    for build in 1..=2 {
        assert!(bench.completed(build, log.len()).await);
    }
    bench.logs.inner.trim().unwrap();
    assert_eq!(bench.logs.read(fence(1), 0, 10).await.unwrap(), None);
    assert_eq!(bench.logs.read(fence(2), 0, 10).await.unwrap(), None);
}

#[tokio::test]
async fn half_written_files_of_a_former_controller_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(dir.path().join("7")).unwrap();
    fs_err::write(dir.path().join("7/1.live"), "half").unwrap();
    fs_err::write(dir.path().join("7/.log-x"), "half").unwrap();
    fs_err::write(dir.path().join("7/1.json"), "{}").unwrap();
    LogCollector::open(dir.path(), LogBounds::default(), Arc::new(|_, _| true)).unwrap();
    let left: Vec<_> = fs_err::read_dir(dir.path().join("7")).unwrap().flatten().map(|file| file.file_name()).collect();
    assert_eq!(left, ["1.json"]);
}
