//! The process `drone-agent run`: small, never builds, always answers. Speaks for the drone ([`greeting`], [`heartbeat`],
//! [`orders`]), keeps exactly one worker alive ([`keeper`]), carries orders of the ladder through ([`rungs`]), and feeds systemd's
//! watchdog.
//!
//! What the drone holds is read from disk ([`holding`]): a hung worker delays no heartbeat. Here is the loop that brings what
//! happens to whom it concerns.

mod child;
mod greeting;
mod heartbeat;
mod holding;
mod keeper;
mod orders;
mod rungs;

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::Message;
use drone_core::watchdog::Sign;
use futures::StreamExt;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use swarm_common::errors::chain;
use swarm_common::notify::Manager;
use swarm_common::stop::Stop;
use swarm_protocol::InstanceId;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use self::greeting::{Greeter, News};
use self::heartbeat::{Heartbeats, Moment};
use self::holding::{Holding, Snapshot};
use self::keeper::{Keeper, Wants};
use self::orders::Orders;
use self::rungs::{RungOrder, Rungs, Step};
use crate::bus::Link;
use crate::config::Config;
use crate::healing::door;
use crate::hello::fresh_instance;
use crate::spool::Spool;

/// How often the service manager hears of us within the time it waits.
const FEEDINGS: u32 = 2;

/// Runs the drone until it is told to end.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let spool = Spool::open(&config.state_dir)?;
    let _lock = spool.lock("supervisor")?;
    fs_err::create_dir_all(&config.build_dir)?;
    let mut stop = Stop::listen()?;
    end_left_worker(&spool, config.watchdog.silence).await?;
    let link = Link::join(&config, "supervisor").await?;
    let instance = fresh_instance();
    let mut supervisor = Supervisor::new(&config, instance.clone(), spool, link)?;
    let manager = Manager::from_environment();
    info!(drone = %config.drone, %instance, "the supervisor runs");
    tell(&manager, "READY=1");
    supervisor.work(&manager, &mut stop).await;
    tell(&manager, "STOPPING=1");
    Ok(())
}

fn tell(manager: &Manager, word: &str) {
    // a manager that does not listen has nothing to be told
    let _ = manager.say(word);
}

/// A supervisor that was killed leaves a worker that ends itself. One that does not is ended here: no two ever run.
async fn end_left_worker(spool: &Spool, patience: Duration) -> anyhow::Result<()> {
    let since = Instant::now();
    let mut killed = false;
    while let Some(pid) = spool.holder("worker")? {
        if since.elapsed() > patience && !killed {
            warn!(pid, "the worker of a former supervisor does not end; killing it");
            let pid = Pid::from_raw(i32::try_from(pid)?);
            killpg(pid, Signal::SIGKILL).or_else(|_| kill(pid, Signal::SIGKILL)).context("kill the former worker")?;
            killed = true;
        }
        anyhow::ensure!(
            since.elapsed() < patience * 3,
            "the former worker (pid {pid}) can't be ended; is its disk gone?"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

enum Event {
    Worker(keeper::Event),
    Heartbeat(Moment),
    Greeting(News),
    Rung(Step),
    ManagerDue,
    BusIsBack,
    Order(Message),
    Caller(door::Caller),
    Stop,
}

struct Supervisor {
    link: Arc<Link>,
    greeter: Greeter,
    heartbeats: Heartbeats,
    orders: Orders,
    rungs: Rungs,
    keeper: Keeper,
    callers: mpsc::Receiver<door::Caller>,
}

impl Supervisor {
    fn new(config: &Config, instance: InstanceId, spool: Spool, link: Arc<Link>) -> anyhow::Result<Self> {
        let greeter = Greeter::new(config, instance.clone(), spool.clone(), Arc::clone(&link));
        let holding = Holding::new(spool.clone(), config.build_dir.clone(), config.roots[0].clone());
        let (call, callers) = mpsc::channel(4);
        if let Err(error) = door::open(&spool.door(), call) {
            warn!(%error, "`drone-agent escalate` will not reach this supervisor");
        }
        Ok(Self {
            rungs: Rungs::new(config, greeter.detected(), spool, Arc::clone(&link)),
            greeter,
            heartbeats: Heartbeats::new(Arc::clone(&link), instance.clone(), holding),
            orders: Orders::new(Arc::clone(&link), instance.clone(), config.build_dir.clone()),
            keeper: Keeper::new(config, instance)?,
            callers,
            link,
        })
    }

    async fn work(&mut self, manager: &Manager, stop: &mut Stop) {
        let orders = match self.orders.listen().await {
            Ok(orders) => orders,
            Err(error) => return error!(error = chain(&error), "orders can't be heard"),
        };
        let mut orders = std::pin::pin!(orders);
        let mut connects = self.link.connects();
        // a connection made before anyone listened counts too
        connects.mark_changed();
        let mut manager_ticks = manager.watchdog_period(FEEDINGS).map(ticks);
        let mut stopping = false;
        while !(stopping && self.keeper.is_over()) {
            let event = tokio::select! {
                event = self.keeper.next() => Event::Worker(event),
                moment = self.heartbeats.next() => Event::Heartbeat(moment),
                news = self.greeter.next() => Event::Greeting(news),
                step = self.rungs.next() => Event::Rung(step),
                () = tick(&mut manager_ticks) => Event::ManagerDue,
                Ok(()) = connects.changed() => Event::BusIsBack,
                Some(order) = orders.next() => Event::Order(order),
                Some(caller) = self.callers.recv() => Event::Caller(caller),
                () = stop.next() => Event::Stop,
            };
            if matches!(event, Event::Stop) {
                if stopping {
                    return warn!("told twice to end: leaving the worker to end by itself");
                }
                info!("told to end: the worker ends, builds live on");
                stopping = true;
            }
            self.handle(event, manager);
        }
        // everything said has left the process
        self.link.flush().await;
    }

    fn handle(&mut self, event: Event, manager: &Manager) {
        let wants = match event {
            Event::Worker(event) => self.keeper.handle(event),
            Event::Stop => self.keeper.sign(Sign::Stop),
            Event::Rung(step) => self.rungs.step(step).map_or_else(Wants::default, |sign| self.keeper.sign(sign)),
            Event::ManagerDue => return tell(manager, "WATCHDOG=1"),
            Event::BusIsBack => return self.greeter.greet(),
            Event::Heartbeat(Moment::Due) => return self.heartbeats.look(self.keeper.pid()),
            Event::Heartbeat(Moment::Looked(snapshot)) => return self.looked(*snapshot),
            Event::Greeting(news) => return self.news(news),
            Event::Caller(caller) => return self.rungs.order(RungOrder::of_caller(caller), self.heartbeats.running()),
            Event::Order(message) => return self.order(message),
        };
        if wants.look_at_tree {
            self.heartbeats.tree_changed();
        }
        if wants.sweep {
            self.rungs.sweep();
        }
    }

    fn order(&self, message: Message) {
        if let Some(order) = self.orders.take(message, self.heartbeats.latest(), self.keeper.state()) {
            self.rungs.order(order, self.heartbeats.running());
        }
    }

    fn looked(&mut self, snapshot: Snapshot) {
        self.heartbeats.looked(snapshot);
        if self.greeter.is_welcomed() {
            self.heartbeats.say(self.keeper.state(), self.keeper.worker_instance());
        }
        self.greeter.tree_seen(&self.heartbeats.latest().tree);
    }

    fn news(&mut self, news: News) {
        if let Some(welcome) = self.greeter.news(news, self.heartbeats.latest()) {
            self.heartbeats.set_period(welcome.heartbeat);
            self.rungs.welcomed(welcome.store_id);
        }
    }
}

async fn tick(ticks: &mut Option<tokio::time::Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => pending().await,
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
