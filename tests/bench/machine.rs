//! The machine that is measured, and who else used it meanwhile.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use swarm_tests::figures::quantile;

use crate::usage;

/// Appends with fdatasync that are timed.
const SYNCS: usize = 200;

/// What it is.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processors this process may use.
    pub cores: usize,
    /// Their model.
    pub processor: String,
    /// MiB of memory.
    pub memory_mib: u64,
    /// Kernel.
    pub kernel: String,
    /// File system below the results.
    pub filesystem: String,
    /// Append of 4 KiB with fdatasync there, microseconds: half of them take no longer.
    pub fdatasync_p50_us: f64,
    /// 99 of 100 take no longer.
    pub fdatasync_p99_us: f64,
    /// Load of the last minute when the run began.
    pub load_before: f64,
}

impl Machine {
    /// Looks at this machine; `folder` lies on the disk that is measured.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn look(folder: &Path) -> Result<Self> {
        let text = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
        let field = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key)).and_then(|line| line.split_once(':'));
            line.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let memory = field(&text("/proc/meminfo"), "MemTotal");
        let kib: u64 = memory.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let syncs = syncs(folder)?;
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            processor: field(&text("/proc/cpuinfo"), "model name"),
            memory_mib: kib >> 10,
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: filesystem(folder),
            fdatasync_p50_us: quantile(&syncs, 0.5),
            fdatasync_p99_us: quantile(&syncs, 0.99),
            load_before: load(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} × {}, {} MiB, Linux {}, {}; append with fdatasync {:.0} µs (p99 {:.0}); load before {:.2}",
            self.cores,
            self.processor,
            self.memory_mib,
            self.kernel,
            self.filesystem,
            self.fdatasync_p50_us,
            self.fdatasync_p99_us,
            self.load_before
        )
    }
}

fn syncs(folder: &Path) -> Result<Vec<f64>> {
    let mut file = tempfile::tempfile_in(folder)?;
    let block = [7; 4096];
    (0..SYNCS)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&block)?;
            file.sync_data()?;
            Ok(began.elapsed().as_secs_f64() * 1e6)
        })
        .collect()
}

/// The type of the file system a path is on: that of the longest mount point above it.
fn filesystem(folder: &Path) -> String {
    let mounts = fs_err::read_to_string("/proc/mounts").unwrap_or_default();
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let of = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        folder.starts_with(point).then(|| (point.len(), kind.to_owned()))
    };
    mounts.lines().filter_map(of).max().map_or_else(String::new, |(_, kind)| kind)
}

fn load() -> f64 {
    let text = fs_err::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

/// How busy the machine was.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Load {
    /// Load of the last minute when it began.
    pub before: f64,
    /// Greatest load meanwhile.
    pub most: f64,
    /// Cores in use on average, ours and others'.
    pub busy_cores: f64,
    /// Cores used by others on average.
    pub foreign_cores: f64,
    /// How long it took, seconds.
    pub seconds: f64,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "load {:.2} before, {:.2} at most; {:.2} cores in use, {:.2} of them by others; {:.0} s",
            self.before, self.most, self.busy_cores, self.foreign_cores, self.seconds
        )
    }
}

/// Looks at the load once a second until it is told to end.
pub struct LoadWatch {
    before: f64,
    began: Instant,
    busy: f64,
    own: f64,
    stop: mpsc::Sender<()>,
    sampling: JoinHandle<f64>,
}

impl LoadWatch {
    /// From now on.
    pub fn begin() -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        let sampling = std::thread::spawn(move || {
            let mut most = load();
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
                most = most.max(load());
            }
            most
        });
        let (busy, own) = (usage::busy_seconds(), usage::own_seconds());
        Self { before: load(), began: Instant::now(), busy, own, stop, sampling }
    }

    /// Until now.
    pub fn end(self) -> Load {
        drop(self.stop);
        let most = self.sampling.join().unwrap_or(0.0);
        let seconds = self.began.elapsed().as_secs_f64();
        let busy = usage::busy_seconds() - self.busy;
        let own = usage::own_seconds() - self.own;
        Load {
            before: self.before,
            most,
            busy_cores: busy / seconds,
            // what ended without its parent having waited for it counts as foreign
            foreign_cores: ((busy - own) / seconds).max(0.0),
            seconds,
        }
    }
}
