//! The outbox against a real server; the store is a list.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use futures::StreamExt;
use swarm_protocol::envelope::open;

use super::*;
use crate::bus::server::tests::{PREFIX, TestBus, Tried, until};

/// Events in memory, as the store would give them.
#[derive(Default)]
struct Store {
    rows: Mutex<Vec<EventRow>>,
    broken: AtomicBool,
}

impl EventSource for Store {
    fn events(&self, after: u64, max: usize) -> Result<Vec<EventRow>, Box<dyn std::error::Error + Send + Sync>> {
        if self.broken.load(Relaxed) {
            return Err("the disk says no".into());
        }
        let rows = self.rows.lock().unwrap();
        Ok(rows.iter().filter(|row| row.seq > after).take(max).cloned().collect())
    }
}

struct Bench {
    bus: TestBus,
    controller: Tried,
    store: Arc<Store>,
    newest: watch::Sender<u64>,
    settings: OutboxSettings,
}

impl Bench {
    async fn start() -> Self {
        let bus = TestBus::start(&[]).await;
        let controller = bus.client(&bus.controller).await;
        let settings = OutboxSettings::new(Subjects::new(PREFIX), StoreId::from("life-1"));
        Self { bus, controller, store: Arc::default(), newest: watch::channel(0).0, settings }
    }

    /// Commits events and tells the outbox.
    fn commit(&self, numbers: std::ops::RangeInclusive<u64>) {
        let last = *numbers.end();
        self.store.rows.lock().unwrap().extend(numbers.map(|seq| EventRow {
            seq,
            at: 1000 + seq,
            kind: if seq.is_multiple_of(2) { "assign" } else { "complete" }.to_owned(),
            message: format!("event {seq}"),
            ..EventRow::default()
        }));
        self.newest.send_replace(last);
    }

    fn outbox(&self) -> (tokio::task::JoinHandle<()>, Arc<AtomicU64>) {
        let client = self.controller.client.clone();
        let outbox = Outbox::new(client, self.settings.clone(), self.store.clone(), self.newest.subscribe());
        let published = outbox.published();
        #[expect(clippy::disallowed_methods, reason = "the test aborts it, which watch::spawn can't")]
        let task = tokio::spawn(outbox.run());
        (task, published)
    }

    /// Runs an outbox until `last` is out, then takes it away as a crash would.
    async fn publishes_up_to(&self, last: u64) {
        let (task, published) = self.outbox();
        until(&format!("event {last} is out"), async || published.load(Relaxed) == last).await;
        task.abort();
    }

    async fn stream(&self) -> jetstream::stream::Stream {
        jetstream::new(self.controller.client.clone()).get_stream(EVENT_STREAM).await.unwrap()
    }

    /// The stream holds exactly these, each under its own number.
    async fn holds(&self, numbers: std::ops::RangeInclusive<u64>) {
        let stream = self.stream().await;
        let state = stream.cached_info().state.clone();
        assert_eq!((state.first_sequence, state.last_sequence), (*numbers.start(), *numbers.end()));
        for seq in numbers {
            let message = stream.get_raw_message(seq).await.unwrap();
            let event = open::<Event>(&message.payload).unwrap();
            assert_eq!((event.body.seq, event.id, event.k.as_str()), (seq, seq, "event"));
            assert_eq!(event.body.message, format!("event {seq}"));
            assert_eq!(message.subject.as_str(), format!("{PREFIX}.event.{}", event.body.kind));
        }
    }
}

#[tokio::test]
async fn the_stream_s_numbers_are_the_events_own() {
    let bench = Bench::start().await;
    bench.commit(1..=3);
    let (task, published) = bench.outbox();
    until("3 are out", async || published.load(Relaxed) == 3).await;
    bench.commit(4..=700);
    until("700 are out", async || published.load(Relaxed) == 700).await;
    task.abort();
    bench.holds(1..=700).await;
}

#[tokio::test]
async fn a_new_controller_goes_on_where_the_stream_stands_and_repeats_nothing() {
    let bench = Bench::start().await;
    bench.commit(1..=10);
    bench.publishes_up_to(10).await;
    bench.commit(11..=20);
    bench.publishes_up_to(20).await;
    bench.publishes_up_to(20).await;
    bench.holds(1..=20).await;
}

#[tokio::test]
async fn two_outboxes_at_once_double_nothing() {
    let bench = Bench::start().await;
    bench.commit(1..=5);
    let (one, two) = (bench.outbox(), bench.outbox());
    for last in [40, 400, 900] {
        let next = *bench.newest.borrow() + 1;
        bench.commit(next..=last);
        until("both see the end", async || one.1.load(Relaxed) == last && two.1.load(Relaxed) == last).await;
    }
    one.0.abort();
    two.0.abort();
    bench.holds(1..=900).await;
}

#[tokio::test]
async fn a_server_killed_in_the_middle_loses_and_doubles_nothing() {
    let bench = Bench::start().await;
    let (task, published) = bench.outbox();
    bench.commit(1..=50);
    until("50 are out", async || published.load(Relaxed) == 50).await;
    bench.commit(51..=2000);
    let pid = nix::unistd::Pid::from_raw(bench.bus.pid());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    until("2000 are out", async || published.load(Relaxed) == 2000).await;
    task.abort();
    bench.holds(1..=2000).await;
}

#[tokio::test]
async fn a_stream_that_is_gone_is_made_again_beginning_with_the_oldest_event_kept() {
    let bench = Bench::start().await;
    bench.commit(1..=20);
    let (task, published) = bench.outbox();
    until("20 are out", async || published.load(Relaxed) == 20).await;
    jetstream::new(bench.controller.client.clone()).delete_stream(EVENT_STREAM).await.unwrap();
    bench.store.rows.lock().unwrap().retain(|row| row.seq > 15);
    bench.commit(21..=25);
    until("25 are out", async || published.load(Relaxed) == 25).await;
    task.abort();
    bench.holds(16..=25).await;
}

#[tokio::test]
async fn an_empty_store_that_counted_before_begins_with_the_next_number() {
    let bench = Bench::start().await;
    bench.newest.send_replace(41);
    bench.publishes_up_to(41).await;
    bench.commit(42..=43);
    bench.publishes_up_to(43).await;
    bench.holds(42..=43).await;
}

#[tokio::test]
async fn the_stream_of_another_store_or_of_a_future_is_replaced() {
    let mut bench = Bench::start().await;
    bench.commit(1..=20);
    bench.publishes_up_to(20).await;
    // restored from a copy: another life, and behind the stream
    bench.store.rows.lock().unwrap().truncate(10);
    bench.newest.send_replace(10);
    bench.settings.store_id = StoreId::from("life-2");
    bench.publishes_up_to(10).await;
    bench.holds(1..=10).await;
    // the copy of a file, with the same life
    bench.store.rows.lock().unwrap().truncate(4);
    bench.newest.send_replace(4);
    bench.publishes_up_to(4).await;
    bench.holds(1..=4).await;
}

#[tokio::test]
async fn a_stream_left_too_far_behind_is_made_anew_rather_than_left_with_a_hole() {
    let bench = Bench::start().await;
    bench.commit(1..=5);
    bench.publishes_up_to(5).await;
    bench.commit(6..=30);
    bench.store.rows.lock().unwrap().retain(|row| row.seq > 12);
    bench.publishes_up_to(30).await;
    bench.holds(13..=30).await;
}

#[tokio::test]
async fn changed_bounds_reach_the_stream_and_keep_its_events() {
    let mut bench = Bench::start().await;
    bench.commit(1..=3);
    bench.publishes_up_to(3).await;
    bench.settings.max_age = Duration::from_secs(3600);
    bench.settings.max_bytes = 1 << 20;
    bench.publishes_up_to(3).await;
    let config = bench.stream().await.cached_info().config.clone();
    assert_eq!((config.max_age, config.max_bytes), (Duration::from_secs(3600), 1 << 20));
    bench.holds(1..=3).await;
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_delays_and_loses_nothing() {
    let bench = Bench::start().await;
    bench.store.broken.store(true, Relaxed);
    bench.commit(1..=3);
    let (task, published) = bench.outbox();
    until("the store was asked", async || !task.is_finished()).await;
    bench.store.broken.store(false, Relaxed);
    until("3 are out", async || published.load(Relaxed) == 3).await;
    task.abort();
    bench.holds(1..=3).await;
}

#[tokio::test]
async fn with_json_each_event_has_a_readable_twin_outside_the_stream() {
    let bench = Bench::start().await;
    bench.settings.json.store(true, Relaxed);
    let mut twins = bench.controller.client.subscribe(bench.settings.subjects.all_json_events()).await.unwrap();
    bench.commit(1..=2);
    bench.publishes_up_to(2).await;
    let twin = tokio::time::timeout(Duration::from_secs(10), twins.next()).await.unwrap().unwrap();
    assert_eq!(twin.subject.as_str(), format!("{PREFIX}.json.event.complete"));
    let event: Event = serde_json::from_slice(&twin.payload).unwrap();
    assert_eq!((event.seq, event.message.as_str()), (1, "event 1"));
    bench.holds(1..=2).await;
}

#[test]
fn an_event_too_large_goes_out_without_its_contents() {
    let row = EventRow { seq: 7, kind: "assign".to_owned(), message: "x".repeat(1 << 20), ..EventRow::default() };
    let event = open::<Event>(&body(&row)).unwrap().body;
    assert_eq!((event.seq, event.kind.as_str(), event.message.as_str()), (7, "assign", "too large for the bus"));
}

#[test]
fn a_kind_is_always_one_token() {
    for (kind, expected) in [("assign", "assign"), ("a.b", "a_b"), (">", "_"), ("", "unknown"), ("a b\n*", "a_b__")] {
        assert_eq!(token(kind), expected);
    }
}
