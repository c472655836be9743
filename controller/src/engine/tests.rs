#![expect(clippy::await_holding_lock, reason = "the lock is the gate that holds the engine's commit up")]
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use swarm_core::Input;
use swarm_core::request::{Control, ControlRequest, QueueRequest};
use swarm_core::rows::{BuildRow, EventRow, HistoryRow, MetaKey, MetaRow};
use swarm_core::table::{Row, Sink};
use swarm_protocol::DroneId;
use swarm_protocol::machine::{Machine, PortageState};
use swarm_protocol::report::{Heartbeat, Hello, HelloAnswer, Role};

use super::*;

fn options() -> Options {
    Options { on_failure: OnFailure::EndThread, ..Options::default() }
}

fn start(path: &Path, outlets: Outlets, options: Options) -> (EngineHandle, EngineThread, Store) {
    let store = Store::open(path).unwrap();
    let loaded = Loaded::load(&store, Settings::default()).unwrap();
    let (handle, thread) = loaded.start(outlets, options).unwrap();
    (handle, thread, store)
}

fn me() -> String {
    "test".to_owned()
}

fn queue(package: String) -> QueueRequest {
    QueueRequest { packages: vec![package], ..QueueRequest::default() }
}

fn control(action: Control) -> ControlRequest {
    ControlRequest { action, package: None, drone: None }
}

fn hello(role: Role) -> Hello {
    Hello {
        instance: "i1".into(),
        supervisor: (role == Role::Worker).then(|| "i1".into()),
        role,
        name: "d1".into(),
        proto_min: 1,
        proto_max: 1,
        machine: Machine { arch: "amd64".into(), cores: 4, ..Machine::default() },
        portage: PortageState {
            build_profile: "default".into(),
            chost: "x86_64-pc-linux-gnu".into(),
            ..PortageState::default()
        },
        slots: 1,
        ..Hello::default()
    }
}

fn drone() -> DroneId {
    DroneId::from("UD1")
}

fn beat(seq: u64) -> Input {
    let beat = Heartbeat { instance: "i1".into(), seq, worker_instance: Some("i1".into()), ..Heartbeat::default() };
    Input::Heartbeat { drone: drone(), beat: Box::new(beat) }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited 10 s in vain until {what}");
}

async fn end(handle: EngineHandle, thread: EngineThread) -> Result<(), EngineError> {
    drop(handle);
    thread.stop();
    tokio::task::spawn_blocking(|| thread.join()).await.unwrap()
}

#[tokio::test]
async fn an_answer_means_that_it_is_on_disk_and_in_the_view() {
    let folder = tempfile::tempdir().unwrap();
    let (handle, thread, store) = start(&folder.path().join("s"), Outlets::discard(), options());
    let queued = handle.ask(me(), queue("=app-misc/hello-1.0".into())).await.unwrap();
    let read = store.read().unwrap();
    assert!(read.get::<BuildRow>(&queued.builds[0]).unwrap().is_some());
    assert_eq!(handle.view().counts.needed, 1);
    let newest = *handle.events().borrow();
    assert_eq!(read.newest::<EventRow>(None, 1).unwrap()[0].seq, newest);
    assert_eq!(handle.view().last_event, newest);
    assert!(newest > 0);
    end(handle, thread).await.unwrap();
}

#[tokio::test]
async fn a_failed_commit_lets_nothing_out_and_ends_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let broken = Arc::new(AtomicBool::new(false));
    let hook: CommitHook = Box::new({
        let broken = broken.clone();
        move |_| if broken.load(SeqCst) { Err("the disk is full".into()) } else { Ok(()) }
    });
    let (outlets, mut works) = Outlets::new();
    let (handle, thread, store) = start(&path, outlets, Options { commit_hook: Some(hook), ..options() });
    handle.ask(drone(), hello(Role::Supervisor)).await.unwrap();
    handle.ask(drone(), hello(Role::Worker)).await.unwrap();
    handle.send(beat(1)).await.unwrap();
    let seen = handle.view();
    while works.orders.try_next().is_some() {}

    broken.store(true, SeqCst);
    // With a planner there, this would be answered and send an order.
    assert_eq!(handle.ask(me(), queue("=app-misc/hello-1.0".into())).await, Err(AskError::Stopped));
    let ended = thread.ended();
    tokio::time::timeout(Duration::from_secs(10), ended.cancelled()).await.unwrap();
    let error = tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap_err();
    assert!(matches!(error, EngineError::Commit(_)), "{error}");
    assert!(works.orders.try_next().is_none(), "no order left");
    assert_eq!(handle.view().last_event, seen.last_event, "nothing was shown");
    assert_eq!(handle.ask(me(), control(Control::Pause)).await, Err(AskError::Stopped));
    assert_eq!(store.read().unwrap().rows::<BuildRow>().unwrap(), Vec::new());
    drop((handle, store));

    // The same request on a sound disk does what was not done above: the check above can fail.
    let (outlets, mut works) = Outlets::new();
    let (handle, thread, store) = start(&path, outlets, options());
    handle.ask(drone(), hello(Role::Supervisor)).await.unwrap();
    handle.ask(drone(), hello(Role::Worker)).await.unwrap();
    handle.send(beat(1)).await.unwrap();
    handle.ask(me(), queue("=app-misc/hello-1.0".into())).await.unwrap();
    until("the order has left", || works.orders.try_next().is_some()).await;
    assert_eq!(store.read().unwrap().rows::<BuildRow>().unwrap().len(), 1);
    end(handle, thread).await.unwrap();
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let hook: CommitHook = Box::new({
        let gate = gate.clone();
        move |_| {
            drop(gate.lock());
            Ok(())
        }
    });
    let opened = Options { commit_hook: Some(hook), ..options() };
    let (handle, thread, store) = start(&folder.path().join("s"), Outlets::discard(), opened);
    let before = handle.stats();
    let shut = gate.lock().unwrap();
    let mut asked = Vec::new();
    for number in 0..100 {
        let handle = handle.clone();
        let package = format!("=app-misc/hello-{number}");
        asked.push(swarm_common::watch::spawn("asker", async move {
            handle.ask(me(), queue(package)).await.unwrap();
        }));
    }
    // The first batch is held at the gate; the rest gathers behind it.
    let stats = handle.clone();
    until("all wait", || {
        let now = stats.stats();
        now.inputs - before.inputs + now.queue_depth == 100
    })
    .await;
    drop(shut);
    for one in asked {
        one.await.unwrap();
    }
    let commits = handle.stats().commits - before.commits;
    assert!(commits <= 3, "100 requests took {commits} commits");
    assert_eq!(store.read().unwrap().count(BuildRow::TABLE).unwrap(), 100);
    end(handle, thread).await.unwrap();
}

#[tokio::test]
async fn heartbeats_are_shed_when_the_engine_is_behind_and_requests_are_told_busy() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let hook: CommitHook = Box::new({
        let gate = gate.clone();
        move |_| {
            drop(gate.lock());
            Ok(())
        }
    });
    let small = Options {
        commit_hook: Some(hook),
        queue: 8,
        batch: 1,
        room_within: Duration::from_millis(50),
        answer_within: Duration::from_millis(50),
        ..options()
    };
    let (handle, thread, _store) = start(&folder.path().join("s"), Outlets::discard(), small);
    let shut = gate.lock().unwrap();
    assert_eq!(handle.ask(me(), control(Control::Pause)).await, Err(AskError::TimedOut));
    let taken = (0..20).filter(|seq| handle.offer(beat(*seq))).count();
    assert_eq!(taken, 6, "three quarters of the queue");
    assert_eq!(handle.stats().shed, 14);
    for _ in 0..2 {
        assert_eq!(
            handle.ask(me(), control(Control::Pause)).await,
            Err(AskError::TimedOut),
            "there is room for requests"
        );
    }
    assert_eq!(handle.ask(me(), control(Control::Pause)).await, Err(AskError::Busy));
    assert_eq!(handle.stats().busy, 1);
    drop(shut);
    until("the late answers found nobody", || handle.stats().unheard == 3).await;
    assert_eq!(handle.stats().waiting, 0, "no asker is remembered");
    end(handle, thread).await.unwrap();
}

#[tokio::test]
async fn the_core_is_woken_when_a_rule_is_due_and_not_all_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s")).unwrap();
    let settings = Settings { offline_after: 300, start_grace: 0, ..Settings::default() };
    let (handle, thread) = Loaded::load(&store, settings).unwrap().start(Outlets::discard(), options()).unwrap();
    handle.ask(drone(), hello(Role::Supervisor)).await.unwrap();
    handle.send(beat(1)).await.unwrap();
    let presence = || handle.view().drones.get(&drone()).map(|drone| drone.presence);
    until("it is online", || presence() == Some(swarm_core::view::Presence::Online)).await;
    // Nothing comes in any more; only time passes.
    until("it is offline", || presence() == Some(swarm_core::view::Presence::Offline)).await;
    let stats = handle.stats();
    assert!((1..200).contains(&stats.wakes), "{stats:?}");
    end(handle, thread).await.unwrap();
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let (handle, thread, store) = start(&path, Outlets::discard(), options());
    let first = handle.ask(me(), queue("=app-misc/hello-1.0".into())).await.unwrap();
    let HelloAnswer::Welcome { store_id, .. } = handle.ask(drone(), hello(Role::Supervisor)).await.unwrap() else {
        panic!()
    };
    tokio::time::sleep(Duration::from_millis(30)).await;
    end(handle, thread).await.unwrap();
    let clock = store.read().unwrap().get::<MetaRow>(&MetaKey).unwrap().unwrap().clock;
    assert!(clock >= 30, "the clock ran and was stored: {clock}");
    drop(store);

    let store = Store::open(&path).unwrap();
    let loaded = Loaded::load(&store, Settings::default()).unwrap();
    assert_eq!(*loaded.store_id(), store_id);
    let (handle, thread) = loaded.start(Outlets::discard(), options()).unwrap();
    assert_eq!(handle.view().counts.needed, 1);
    assert_eq!(*handle.events().borrow(), handle.view().last_event);
    let second = handle.ask(me(), queue("=app-misc/hello-2.0".into())).await.unwrap();
    assert!(second.builds[0] > first.builds[0], "numbers are not given twice");
    end(handle, thread).await.unwrap();
    assert!(store.read().unwrap().get::<MetaRow>(&MetaKey).unwrap().unwrap().clock >= clock);
}

#[tokio::test]
async fn a_stop_handles_what_waits_and_then_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (handle, thread, store) =
        start(&folder.path().join("s"), Outlets::discard(), Options { batch: 3, ..options() });
    let mut asked = Vec::new();
    for number in 0..20 {
        let handle = handle.clone();
        asked.push(async move { handle.ask(me(), queue(format!("=app-misc/hello-{number}"))).await });
    }
    let (answers, ()) = futures::future::join(futures::future::join_all(asked), async { thread.stop() }).await;
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(done, 20, "all were in the queue before the stop");
    let ended = thread.ended();
    tokio::time::timeout(Duration::from_secs(10), ended.cancelled()).await.unwrap();
    assert_eq!(store.read().unwrap().count(BuildRow::TABLE).unwrap(), 20);
    assert_eq!(handle.ask(me(), control(Control::Pause)).await, Err(AskError::Stopped));
    assert!(!handle.offer(beat(1)));
    assert!(handle.events().has_changed().is_err(), "followers learn of the end");
    end(handle, thread).await.unwrap();
}

#[tokio::test]
async fn old_events_are_forgotten_in_bounded_batches_and_history_is_trimmed_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    {
        let store = Store::open(&path).unwrap();
        let mut writer = store.writer();
        writer.put(&MetaRow { store_id: "s1".into(), last_event: 5_000, last_history: 2_500, ..MetaRow::default() });
        for seq in 1..=5_000 {
            writer.put(&EventRow { seq, ..EventRow::default() });
        }
        for id in 1..=2_500u64 {
            writer.put(&history(id));
        }
        writer.commit().unwrap();
    }
    let (handle, thread, store) = start(&path, Outlets::discard(), Options { keep_events: 1_000, ..options() });
    handle.ask(me(), control(Control::ClearHistory)).await.unwrap();
    let read = store.read().unwrap();
    assert_eq!(read.count(HistoryRow::TABLE).unwrap(), 0, "gone for readers as soon as it is answered");
    let events = read.count(EventRow::TABLE).unwrap();
    assert!((1_000..1_300).contains(&events), "{events}");
    until("the rows are removed", || handle.stats().forgotten >= 6_400).await;
    let newest = handle.view().last_event;
    assert_eq!(store.read().unwrap().newest::<EventRow>(None, 1).unwrap()[0].seq, newest);
    end(handle, thread).await.unwrap();
}

fn history(id: u64) -> HistoryRow {
    HistoryRow {
        id,
        fence: swarm_protocol::Fence::default(),
        session: swarm_protocol::SessionId(1),
        package: "=app-misc/hello-1".into(),
        drone: drone(),
        drone_name: "d1".into(),
        status: swarm_core::rows::HistoryStatus::Success,
        duration_ms: 1,
        error: None,
        log_line: None,
        class: None,
        culprit: None,
        phase: None,
        log_bytes: 0,
        log_complete: true,
        memory_peak_bytes: 0,
        built_at: 1,
    }
}

/// A heartbeat as a question.
struct Beat(u64);

impl swarm_core::Ask for Beat {
    type By = ();
    type Answer = swarm_core::answer::Done;

    fn input(self, (): (), _: swarm_core::ReplyTo) -> Input {
        beat(self.0)
    }
}

#[tokio::test]
async fn askers_who_gave_up_are_not_remembered_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let patient = Options { answer_within: Duration::from_millis(1), ..options() };
    let (handle, thread, _store) = start(&folder.path().join("s"), Outlets::discard(), patient);
    // Nobody ever answers a heartbeat, so each of these waits in vain.
    for seq in 0..3_000 {
        let _ = handle.ask_within(Duration::ZERO, (), Beat(seq)).await;
    }
    handle.ask_within(Duration::from_secs(10), me(), control(Control::Pause)).await.unwrap();
    assert!(handle.stats().waiting < 2_100, "{:?}", handle.stats());
    end(handle, thread).await.unwrap();
}

#[tokio::test]
async fn a_ping_does_not_wait_for_the_commit_of_what_else_is_due() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state.redb")).unwrap();
    // by the time the drone's hello is on disk, its ping is due and it is offline, which must be stored
    let settings = Settings {
        start_grace: 0,
        heartbeat: 10,
        offline_after: 20,
        healing: swarm_core::settings::Healing { ping_every: 100, ping_within: 50, ..Default::default() },
        ..Settings::default()
    };
    let (outlets, mut works) = Outlets::new();
    let at_commit = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut let_out = 0;
    let commits = at_commit.clone();
    let hook: CommitHook = Box::new(move |pending| {
        if pending.inputs > 0 {
            std::thread::sleep(Duration::from_millis(400));
        }
        while works.healing.pings.try_next().is_some() {
            let_out += 1;
        }
        commits.lock().unwrap().push((pending.inputs, let_out));
        Ok(())
    });
    let loaded = Loaded::load(&store, settings).unwrap();
    let (handle, thread) = loaded.start(outlets, Options { commit_hook: Some(hook), ..options() }).unwrap();
    handle.ask(drone(), hello(Role::Supervisor)).await.unwrap();
    let next = |commits: &[(usize, usize)]| {
        let hello = commits.iter().position(|(inputs, _)| *inputs > 0)?;
        commits.get(hello + 1).copied()
    };
    let until = std::time::Instant::now() + Duration::from_secs(60);
    let (_, let_out) = loop {
        if let Some(next) = next(&at_commit.lock().unwrap()) {
            break next;
        }
        assert!(std::time::Instant::now() < until, "nothing is stored after the hello");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(let_out > 0, "the ping was let out before the commit of the same moment");
    thread.stop();
    thread.join().unwrap();
}
