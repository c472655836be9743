//! The managed server's life: start or adopt, watch, start anew, take new users, end.
//!
//! One task owns the process. When the controller ends without `stop` (SIGKILL, a crash) the server lives on, and the
//! next controller adopts it: drones keep their connections.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{error, info, warn};

use super::files::{Files, ServerSettings};
use super::process::{Record, Running, hello, is_taken};
use super::{ServerBinary, ServerError};
use crate::bus::keys::UserCredentials;
use crate::bus::tls::Authority;

/// Reading a large event store may take its time; an empty one is ready in 20 ms.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// 1,000 users take 0.6 s under load.
const RELOAD_WITHIN: Duration = Duration::from_secs(10);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(10);
/// A server that ran this long did not die of its own start.
const STEADY_AFTER: Duration = Duration::from_secs(60);
/// A port that was free a moment ago may be gone; three in a row are no accident.
const PORT_TRIES: u32 = 3;

/// What the managed server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// Answers.
    Up {
        /// Its process.
        pid: i32,
        /// How often a process had to be started anew since the controller started.
        restarts: u64,
    },
    /// Died, or does not start; it is tried again.
    Down {
        /// As above.
        restarts: u64,
    },
    /// Ended because the controller ends.
    Ended,
}

/// A `nats-server` of our own. Dropping it leaves the server running; [`ManagedServer::stop`] ends it.
#[derive(Debug)]
pub struct ManagedServer {
    url: String,
    credentials: UserCredentials,
    files: Files,
    authority: Arc<Authority>,
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<ServerState>,
}

enum Order {
    Admit { users: String, answer: oneshot::Sender<Result<(), ServerError>> },
    Renew { answer: oneshot::Sender<Result<(), ServerError>> },
    Stop { answer: oneshot::Sender<Result<(), ServerError>> },
}

impl ManagedServer {
    /// Adopts the server that a former controller left behind if it is ours and has the same configuration, else ends
    /// that one and starts anew. `users` is what `permissions::render` gave. Returns when the server answers.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start(
        settings: ServerSettings,
        credentials: UserCredentials,
        users: &str,
    ) -> Result<Self, ServerError> {
        let authority = Arc::new(Authority::load_or_make(&settings.data_dir, Timestamp::now())?);
        let mut keeper = Keeper {
            files: Files::prepare(&settings)?,
            binary: settings.binary,
            authority: authority.clone(),
            names: settings.names,
            config: String::new(),
        };
        let running = keeper.take_up(users).await?;
        let (orders, inbox) = mpsc::channel(8);
        let (told, state) = watch::channel(ServerState::Up { pid: running.record.pid, restarts: 0 });
        let files = keeper.files.clone();
        let url = format!("tls://{}", files.address());
        let task = Watcher { keeper, told, restarts: 0, backoff: FIRST_BACKOFF, untaken: false };
        drop(swarm_common::watch::spawn("bus server", task.run(running, inbox)));
        Ok(Self { url, credentials, files, authority, orders, state })
    }

    /// `tls://127.0.0.1:<port>`, as this machine reaches it; the same after each restart.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The controller's key.
    pub fn credentials(&self) -> &UserCredentials {
        &self.credentials
    }

    /// Port it listens on.
    pub fn port(&self) -> u16 {
        self.files.port
    }

    /// Who vouches for its certificate.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.files.log()
    }

    /// How it is, now and whenever that changes.
    pub fn state(&self) -> watch::Receiver<ServerState> {
        self.state.clone()
    }

    /// Makes `users` (from `permissions::render`) the users. Returns when the server has taken them: who is new can
    /// connect, who is gone is cut off, others keep their connections. While the server is down the file is changed and
    /// the next process reads it.
    ///
    /// # Errors
    /// See [`ServerError`]; the server goes on with the users it had.
    pub async fn admit(&self, users: String) -> Result<(), ServerError> {
        self.order(|answer| Order::Admit { users, answer }).await
    }

    /// Renews the certificate if it is near its end. Connections that stand keep theirs.
    ///
    /// # Errors
    /// See [`ServerError`]; the server goes on with the certificate it has.
    pub async fn renew(&self) -> Result<(), ServerError> {
        self.order(|answer| Order::Renew { answer }).await
    }

    /// Ends the server: SIGTERM, a bounded wait, SIGKILL.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&self) -> Result<(), ServerError> {
        self.order(|answer| Order::Stop { answer }).await
    }

    async fn order(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<(), ServerError>>) -> Order,
    ) -> Result<(), ServerError> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.map_err(|_| ServerError::Unwatched)?;
        answered.await.map_err(|_| ServerError::Unwatched)?
    }
}

/// Knows how to get a server running, and nothing of how it fared before.
struct Keeper {
    files: Files,
    binary: ServerBinary,
    authority: Arc<Authority>,
    /// What the server is called elsewhere.
    names: Vec<String>,
    /// Hash of the configuration as it is to be.
    config: String,
}

impl Keeper {
    /// The first start: adopt, or end what is there and launch.
    async fn take_up(&mut self, users: &str) -> Result<Running, ServerError> {
        for tries_left in (0..PORT_TRIES).rev() {
            self.config = self.files.write_config(&self.binary)?;
            self.certify()?;
            self.files.write_users(&self.binary, users).await?;
            match self.adopt_or_launch().await {
                Err(ServerError::PortTaken { .. }) if self.files.port_is_new && tries_left > 0 => {
                    self.files.choose_port()?;
                }
                outcome => return outcome,
            }
        }
        Err(self.taken())
    }

    /// Sees to a good certificate. True when it is a new one.
    fn certify(&self) -> Result<bool, ServerError> {
        let new = self.authority.ensure(&self.files.certificate(), &self.names, Timestamp::now())?;
        if new {
            info!(names = ?self.names, "the bus server has a new certificate");
        }
        Ok(new)
    }

    fn taken(&self) -> ServerError {
        ServerError::PortTaken { address: self.files.address(), port_file: self.files.port_file() }
    }

    /// Adopts what a former controller left, else launches.
    async fn adopt_or_launch(&self) -> Result<Running, ServerError> {
        match self.adopt().await? {
            Some(running) => Ok(running),
            None => self.launch().await,
        }
    }

    /// A process that a former controller left: adopted if it answers with our name and was started with this
    /// configuration, else ended. Only a process known to be ours is ever signalled.
    async fn adopt(&self) -> Result<Option<Running>, ServerError> {
        let left = Record::read(&self.files).filter(Record::lives).or_else(|| Record::by_command(&self.files));
        let Some(record) = left else { return Ok(None) };
        let pid = record.pid;
        let ours = hello(self.files.address()).await.is_some_and(|hello| self.is_ours(&hello));
        if ours && record.config == self.config {
            // its users and its certificate may be older than their files
            match self.reload(&record).await {
                Ok(()) => {
                    info!(pid, port = self.files.port, "adopted the bus server left running");
                    return Ok(Some(Running::adopted(record)));
                }
                Err(reason) => warn!(pid, %reason, "the bus server left running does not take its users"),
            }
        }
        info!(pid, "ending the bus server left running: it does not answer as ours, or its configuration changed");
        record.end().await?;
        Ok(None)
    }

    fn is_ours(&self, hello: &super::process::Hello) -> bool {
        // a server without users would let everyone in, one without TLS would let everyone listen
        hello.server_name == self.files.server_name && hello.auth_required && hello.tls_required
    }

    /// Starts a process and waits until it answers.
    async fn launch(&self) -> Result<Running, ServerError> {
        if is_taken(self.files.address()).await {
            return Err(self.taken());
        }
        let mut running = Running::launch(&self.files, &self.binary, self.config.clone())?;
        let until = Instant::now() + READY_WITHIN;
        loop {
            if hello(self.files.address()).await.is_some_and(|hello| self.is_ours(&hello)) {
                info!(pid = running.record.pid, port = self.files.port, version = %self.binary.version, "bus server started");
                return Ok(running);
            }
            tokio::select! {
                status = running.ended() => {
                    let status = status.map_or_else(String::new, |status| format!("{status}: "));
                    return Err(ServerError::NotReady { said: format!("{status}{}", self.last_words()) });
                }
                () = sleep(Duration::from_millis(20)) => {}
            }
            if Instant::now() >= until {
                running.end().await?;
                return Err(ServerError::NotReady { said: format!("no answer within {} s", READY_WITHIN.as_secs()) });
            }
        }
    }

    /// What a server that ended said last: its log, and what it wrote past it.
    fn last_words(&self) -> String {
        let end = |path: PathBuf| fs_err::read(path).map(|bytes| tail(&bytes, 600)).unwrap_or_default();
        let (log, words) = (end(self.files.log()), end(self.files.last_words()));
        format!("{} {}", words.trim(), log.trim()).trim().to_owned()
    }

    /// SIGHUP, and the wait until the server's log says that it took the file. The log may be rotated meanwhile.
    async fn reload(&self, record: &Record) -> Result<(), ServerError> {
        let length = |path| fs_err::metadata(path).map_or(0, |meta| meta.len());
        let before = length(self.files.log());
        record.signal(Signal::SIGHUP);
        let until = Instant::now() + RELOAD_WITHIN;
        while Instant::now() < until {
            let log = fs_err::read(self.files.log()).unwrap_or_default();
            let start = usize::try_from(before).ok().filter(|start| *start <= log.len()).unwrap_or(0);
            let new = String::from_utf8_lossy(&log[start..]);
            if let Some(line) = new.lines().find(|line| line.contains("Failed to reload server configuration")) {
                return Err(ServerError::NotReloaded { said: line.chars().take(500).collect() });
            }
            if new.contains("[INF] Reloaded server configuration") {
                return Ok(());
            }
            if !record.lives() {
                return Err(ServerError::NotReloaded { said: "the server ended".to_owned() });
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err(ServerError::NotReloaded { said: format!("nothing within {} s", RELOAD_WITHIN.as_secs()) })
    }
}

/// The server at one moment.
enum Phase {
    Up(Box<Running>),
    Down { again: Instant },
}

impl Phase {
    /// Waits until the process ends or the pause before the next start is over.
    async fn changes(&mut self) -> Option<ExitStatus> {
        match self {
            Self::Up(running) => running.ended().await,
            Self::Down { again } => {
                sleep_until(*again).await;
                None
            }
        }
    }
}

/// The task that owns the process.
struct Watcher {
    keeper: Keeper,
    told: watch::Sender<ServerState>,
    restarts: u64,
    backoff: Duration,
    /// There are users or a certificate of which the process did not say yet that it took them.
    untaken: bool,
}

impl Watcher {
    /// Only the waits can be interrupted by an order: a start once begun is seen through, so that no process is lost
    /// out of sight.
    async fn run(mut self, running: Running, mut orders: mpsc::Receiver<Order>) {
        let mut phase = Phase::Up(Box::new(running));
        loop {
            let order = tokio::select! {
                order = orders.recv() => order,
                status = phase.changes() => {
                    phase = match phase {
                        Phase::Up(running) => self.died(&running, status),
                        Phase::Down { .. } => self.again().await,
                    };
                    continue;
                }
            };
            match order {
                Some(Order::Admit { users, answer }) => {
                    // who asked may have gone; the users are in place all the same
                    let _ = answer.send(self.admit(&phase, &users).await);
                }
                Some(Order::Renew { answer }) => {
                    let _ = answer.send(self.renew(&phase).await);
                }
                Some(Order::Stop { answer }) => {
                    let ended = match phase {
                        Phase::Up(running) => running.end().await,
                        Phase::Down { .. } => Ok(()),
                    };
                    self.told.send_replace(ServerState::Ended);
                    let _ = answer.send(ended);
                    return;
                }
                // the owner vanished without a word: the server stays for the next one
                None => return,
            }
        }
    }

    fn died(&mut self, running: &Running, status: Option<ExitStatus>) -> Phase {
        let status = status.map_or_else(|| "ended".to_owned(), |status| status.to_string());
        if running.since.elapsed() >= STEADY_AFTER {
            self.backoff = FIRST_BACKOFF;
        }
        error!(pid = running.record.pid, status, last = %self.keeper.last_words(), "the bus server died");
        self.told.send_replace(ServerState::Down { restarts: self.restarts });
        Phase::Down { again: Instant::now() + self.backoff }
    }

    async fn again(&mut self) -> Phase {
        self.restarts += 1;
        self.backoff = (self.backoff * 2).min(LAST_BACKOFF);
        if let Err(reason) = self.keeper.certify() {
            warn!(%reason, "the bus server's certificate can't be looked at");
        }
        match self.keeper.adopt_or_launch().await {
            Ok(running) => {
                warn!(pid = running.record.pid, restarts = self.restarts, "the bus server was started anew");
                self.told.send_replace(ServerState::Up { pid: running.record.pid, restarts: self.restarts });
                Phase::Up(Box::new(running))
            }
            Err(reason) => {
                error!(%reason, again_in = ?self.backoff, "the bus server does not start");
                self.told.send_replace(ServerState::Down { restarts: self.restarts });
                Phase::Down { again: Instant::now() + self.backoff }
            }
        }
    }

    async fn renew(&mut self, phase: &Phase) -> Result<(), ServerError> {
        // a reload that failed is tried again with the next look or the next members
        self.untaken |= self.keeper.certify()?;
        self.reload(phase).await
    }

    async fn admit(&mut self, phase: &Phase, users: &str) -> Result<(), ServerError> {
        self.untaken |= self.keeper.files.write_users(&self.keeper.binary, users).await?;
        self.reload(phase).await
    }

    async fn reload(&mut self, phase: &Phase) -> Result<(), ServerError> {
        match phase {
            Phase::Up(running) if self.untaken => self.keeper.reload(&running.record).await?,
            // the next process reads the files anyway
            Phase::Up(_) | Phase::Down { .. } => {}
        }
        self.untaken = false;
        Ok(())
    }
}

/// The end of a log: the last complaints where there are some, else the last bytes.
fn tail(bytes: &[u8], most: usize) -> String {
    let end = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(most)..]).into_owned();
    let complaints: Vec<&str> = end.lines().filter(|line| line.contains("[FTL]") || line.contains("[ERR]")).collect();
    if complaints.is_empty() { end } else { complaints.join("; ") }
}
