//! Bad days of the controller alone: a clock that is set back, a store of a later version, ends between commit and publish.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableHandle as _};
use swarm_tests::clock::TestClock;
use swarm_tests::standing_in::{Behaviour, End};
use swarm_tests::{Bus, Chance, Setup, Swarm, processes, until};

/// For anything that takes some seconds of its own.
const SOON: Duration = Duration::from_secs(60);
const DAY: i64 = 24 * 3600;

/// TIMESTAMP of the binhost's index.
fn timestamp(swarm: &Swarm) -> Result<u64> {
    let index = swarm.index()?;
    let line = index.lines().find_map(|line| line.strip_prefix("TIMESTAMP: ")).context("TIMESTAMP")?;
    Ok(line.trim().parse()?)
}

#[test]
fn a_wall_clock_set_back_by_a_day_ends_no_lease_delays_no_retry_and_stops_no_index() -> Result<()> {
    let place = tempfile::tempdir()?;
    let clock = TestClock::make(place.path())?;
    let rules = "heartbeat = \"500ms\"\noffline_after = \"5s\"\nlease = \"10s\"\nretry_blocked_after = \"6s\"\nstart_grace = \"1s\"".to_owned();
    let mut swarm = Setup { stand_in: true, rules, environment: clock.environment(), ..Setup::default() }.start()?;
    let fails = Behaviour { end: End::Fails, ..Behaviour::default() };
    swarm.stand_in().change(|set| drop(set.packages.insert("stand-in/moody".to_owned(), fails)))?;
    swarm.queue(&["=stand-in/first-1"])?;
    swarm.until_state("=stand-in/first", "received", SOON)?;
    let before = timestamp(&swarm)?;
    swarm.queue(&["=stand-in/moody-1"])?;
    swarm.until_state("=stand-in/moody", "blocked", SOON)?;
    swarm.queue(&["=stand-in/long_ms3000-1"])?;
    swarm.until_building("=stand-in/long", SOON)?;

    clock.set(-DAY)?;
    swarm.stand_in().change(|set| drop(set.packages.remove("stand-in/moody")))?;
    let told = swarm.http.get("/api/v1/health")?;
    swarm.until_state("=stand-in/long", "received", SOON)?;
    let between = timestamp(&swarm)?;
    ensure!(between > before, "clients take only an index whose TIMESTAMP rises: {before}, then {between}; {told}");
    // what is to happen six seconds later does, and not a day and six seconds later; also over a restart
    swarm.kill_controller()?;
    swarm.start_controller()?;
    swarm.until_state("=stand-in/moody", "received", SOON)?;
    ensure!(timestamp(&swarm)? > between, "and goes on rising after a restart");
    let history = swarm.http.get("/api/v1/history?limit=10")?;
    let classes: Vec<_> = history["history"].as_array().into_iter().flatten().map(|row| row["class"].clone()).collect();
    ensure!(
        classes.iter().filter(|class| !class.is_null()).eq([&serde_json::json!("phase")]),
        "nothing was lost: {history}"
    );
    let newest = swarm.http.all_events()?.last().and_then(|event| event["timestamp"].as_f64()).context("an event")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
    ensure!(newest < now - 0.9 * DAY as f64, "the controller's clock was set back indeed: {newest}");
    Ok(())
}

#[test]
fn a_controller_that_stood_still_takes_no_work_from_anybody() -> Result<()> {
    let rules = "heartbeat = \"500ms\"\noffline_after = \"2s\"\nlease = \"4s\"\nstart_grace = \"2s\"";
    let swarm = Swarm::standing_in(3, rules)?;
    for name in ["a", "b", "c"] {
        swarm.queue(&[&format!("=stand-in/{name}_ms14000-1")])?;
    }
    for name in ["a", "b", "c"] {
        swarm.until_building(&format!("=stand-in/{name}"), SOON)?;
    }
    let controller = swarm.controller_pid().context("the controller runs")?;
    // as a virtual machine that is paused, or one that swaps: its clock goes on, and everybody's heartbeats pile up
    processes::signal(controller, Signal::SIGSTOP)?;
    std::thread::sleep(Duration::from_secs(7));
    processes::signal(controller, Signal::SIGCONT)?;
    for name in ["a", "b", "c"] {
        swarm.until_state(&format!("=stand-in/{name}"), "received", SOON)?;
    }
    let history = swarm.http.get("/api/v1/history?limit=10")?;
    let rows = history["history"].as_array().context("history is a list")?;
    ensure!(rows.len() == 3, "each was built once, where it was: {history}");
    for kind in ["offline", "return", "reclaim", "stale", "fail"] {
        ensure!(swarm.events(kind)?.is_empty(), "nobody was judged: {:?}", swarm.events(kind)?);
    }
    Ok(())
}

#[test]
fn a_damaged_store_is_refused_and_named() -> Result<()> {
    let mut swarm = Setup { stand_in: true, ..Setup::default() }.make()?;
    swarm.queue(&["=stand-in/kept-1"])?;
    swarm.kill_controller()?;
    let path = swarm.data().join("state.redb");
    let sound = fs_err::read(&path)?;
    let mut chance = Chance::new(7);
    let noise = chance.bytes(sound.len());
    let damages: [(&str, Vec<u8>); 4] = [
        ("cut in its middle", sound[..sound.len() / 2].to_vec()),
        ("without its head", [&noise[..4096], &sound[4096..]].concat()),
        ("with noise from its first page on", [&sound[..4096], &noise[4096..]].concat()),
        ("of another kind", b"SQLite format 3\0".repeat(1_000)),
    ];
    for (what, bytes) in damages {
        fs_err::write(&path, &bytes)?;
        let from = fs_err::metadata(swarm.controller_log())?.len();
        swarm.spawn_controller()?;
        let status = swarm.until_controller_ends(SOON)?;
        let log = fs_err::read_to_string(swarm.controller_log())?.split_off(usize::try_from(from)?);
        ensure!(!status.success(), "{what}: it does not pretend to work");
        ensure!(log.contains("state.redb") && !log.contains("panicked"), "{what}: it says which file, and why: {log}");
    }
    fs_err::write(&path, sound)?;
    swarm.start_controller()?;
    ensure!(swarm.entry("=stand-in/kept")?.is_some(), "with its store put back, it goes on");
    Ok(())
}

#[test]
fn a_store_of_a_later_version_is_refused_by_name_and_left_as_it_is() -> Result<()> {
    let mut swarm = Setup { stand_in: true, ..Setup::default() }.make()?;
    swarm.queue(&["=stand-in/kept-1"])?;
    swarm.kill_controller()?;
    let path = swarm.data().join("state.redb");
    let schema: TableDefinition<'_, &str, u64> = TableDefinition::new("_schema");
    let store = Database::open(&path)?;
    let write = store.begin_write()?;
    let known = write.open_table(schema)?.insert("version", 99)?.map(|old| old.value()).context("a version")?;
    write.commit()?;
    drop(store);
    let before = rows(&path)?;
    ensure!(before.len() > 2, "there is something to lose: {before:?}");
    swarm.spawn_controller()?;
    let status = swarm.until_controller_ends(SOON)?;
    ensure!(!status.success(), "it does not start");
    let log = fs_err::read_to_string(swarm.controller_log())?;
    let said =
        log.lines().any(|line| line.contains("99") && line.contains(&known.to_string()) && line.contains("state.redb"));
    ensure!(said, "it says which version it has, which it knows, and of what: {log}");
    ensure!(rows(&path)? == before, "everything in it is as it was");
    Ok(())
}

/// Rows by table and key.
type Rows = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// Every row of a store.
fn rows(path: &Path) -> Result<Rows> {
    let store = Database::open(path)?;
    let read = store.begin_read()?;
    let mut rows = Rows::new();
    for table in read.list_tables()? {
        let name = table.name().to_owned();
        if name == "_schema" || name == "_floors" {
            let table: TableDefinition<'_, &str, u64> = TableDefinition::new(&name);
            for row in read.open_table(table)?.iter()? {
                let (key, value) = row?;
                rows.insert((name.clone(), key.value().into()), value.value().to_be_bytes().into());
            }
        } else {
            let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(&name);
            for row in read.open_table(table)?.iter()? {
                let (key, value) = row?;
                rows.insert((name.clone(), key.value().into()), value.value().into());
            }
        }
    }
    Ok(rows)
}

#[test]
fn events_committed_and_not_yet_published_reach_the_stream_once_whenever_the_controller_ends() -> Result<()> {
    let seed = Chance::seed();
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    let mut swarm = Swarm::standing_in(1, "heartbeat = \"1s\"")?;
    for round in 0..8 {
        // a server that stands still takes bytes and does nothing with them: what is committed now is not published
        let server = swarm.nats_pid()?;
        processes::signal(server, Signal::SIGSTOP)?;
        for one in 0..3 {
            swarm.queue(&[&format!("=stand-in/r{round}x{one}_ms50-1")])?;
        }
        let committed = swarm.http.all_events()?.len();
        swarm.kill_controller()?;
        // it goes on before the next controller looks for it, while that one waits for it, or is ended by it
        let thaw = chance.time(Duration::from_millis(2_000));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(thaw);
                // that one may have ended it
                let _ = processes::signal(server, Signal::SIGCONT);
            });
            swarm.start_controller()
        })?;
        let kept = swarm.http.all_events()?.len();
        ensure!(kept >= committed, "round {round}: {committed} events were shown, {kept} are left");
    }
    until("everything to be built", SOON, || Ok((swarm.http.get("/api/v1/status")?["queue_depth"] == 0).then_some(())))
        .map_err(|error| error.context(swarm.logs()))?;
    let told = swarm.http.all_events()?;
    let bus = Bus::as_controller(&swarm)?;
    let stream = until("the stream to be complete", SOON, || {
        let stream = bus.stream()?;
        Ok((stream.len() >= told.len()).then_some(stream))
    })?;
    ensure!(
        stream.len() == told.len(),
        "{} events in the store, {} in the stream (seed {seed})",
        told.len(),
        stream.len()
    );
    for (place, ((number, event), told)) in stream.iter().zip(&told).enumerate() {
        let right = place as u64 + 1;
        ensure!(
            *number == right && event.seq == right && told["id"] == right,
            "event {right} (seed {seed}): {event:?}"
        );
        ensure!(told["message"] == event.message.as_str(), "event {right} (seed {seed}): {event:?} {told}");
    }
    Ok(())
}
