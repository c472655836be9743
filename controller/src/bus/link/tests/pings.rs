//! Pings over a real server: what is measured, and how each kind of silence is told apart.

use swarm_core::input::PingLoss;

use super::*;

fn pong(seq: u64, instance: &str, at: u64) -> OrderAnswer {
    OrderAnswer::Pong {
        seq,
        instance: InstanceId::from(instance),
        at,
        vitals: Vitals::default(),
        worker: WorkerState::Alive,
        attempts: Vec::new(),
    }
}

/// Answers each ping with what `answer` makes of its number; `None` is silence.
fn answers(drone: &Drone, mut heard: async_nats::Subscriber, answer: fn(u64) -> Option<OrderAnswer>) {
    let client = drone.client().clone();
    drop(swarm_common::watch::spawn("pretended supervisor", async move {
        while let Some(message) = heard.next().await {
            let order = open::<Order>(&message.payload).unwrap().body;
            let Task::Ping { seq, .. } = order.task else { continue };
            if let Some(answer) = answer(seq) {
                let body = encode(&Envelope::new("answer.order", 1, 2, answer)).unwrap();
                client.publish(message.reply.unwrap(), body.into()).await.unwrap();
            }
        }
    }));
}

async fn listens(bench: &Bench, drone: &Drone, answer: fn(u64) -> Option<OrderAnswer>) {
    let orders = drone.client().subscribe(bench.subjects.order(&drone.id, "ping")).await.unwrap();
    let all = drone.client().subscribe(bench.subjects.ping_all()).await.unwrap();
    settled(drone.client(), format!("{PREFIX}.log.{}.unserved", drone.id)).await;
    answers(drone, orders, answer);
    answers(drone, all, answer);
}

#[tokio::test]
async fn a_ping_tells_the_round_trip_the_clocks_and_why_nothing_came() {
    let mut bench = Bench::start(&["alpha", "beta", "gamma", "delta"]).await;
    let (alpha, beta) = (bench.drone("alpha").await, bench.drone("beta").await);
    let (gamma, delta) = (bench.drone("gamma").await, bench.drone("delta").await);
    listens(&bench, &alpha, |seq| Some(pong(seq, "run-1", wall_ms() + 60_000))).await;
    listens(&bench, &beta, |_| None).await;
    listens(&bench, &gamma, |seq| Some(pong(seq + 1, "run-3", 0))).await;
    let before = std::time::Instant::now();
    let answered = bench.link.ping(&alpha.id, 7, SOON).await.unwrap();
    let took = u64::try_from(before.elapsed().as_micros()).unwrap();
    assert!((1..=took).contains(&answered.latency_us), "{} of {took} µs", answered.latency_us);
    // a minute ahead, less what a busy machine may take for an answer
    let skew = answered.pong.at.abs_diff(answered.pong.middle + 60_000);
    assert!(skew <= 1_000 + took / 1_000, "{skew} ms");
    assert_eq!((answered.pong.instance.as_str(), answered.pong.worker), ("run-1", WorkerState::Alive));
    let short = Duration::from_millis(300);
    assert_eq!(bench.link.ping(&beta.id, 1, short).await, Err(PingLoss::Silent));
    assert_eq!(bench.link.ping(&gamma.id, 1, SOON).await, Err(PingLoss::Nonsense));
    assert_eq!(bench.link.ping(&delta.id, 1, SOON).await, Err(PingLoss::Absent), "nobody listens there");
}

#[tokio::test]
async fn one_broadcast_pings_the_fleet_and_who_answers_is_known_by_its_run() {
    let mut bench = Bench::start(&["alpha", "beta", "gamma"]).await;
    let (alpha, beta, gamma) = (bench.drone("alpha").await, bench.drone("beta").await, bench.drone("gamma").await);
    let runs = |pairs: &[(&str, &Drone)]| {
        pairs.iter().map(|(run, drone)| (InstanceId::from(*run), drone.id.clone())).collect::<BTreeMap<_, _>>()
    };
    let known = runs(&[("run-a", &alpha), ("run-b", &beta), ("run-c", &gamma)]);
    let short = Duration::from_millis(300);
    assert!(bench.link.ping_all(1, &known, 3, short).await.unwrap().is_empty(), "nobody listens yet");
    listens(&bench, &alpha, |seq| Some(pong(seq, "run-a", 0))).await;
    listens(&bench, &beta, |seq| Some(pong(seq, "run-b", 0))).await;
    // an answer to another ping, and one of a run nobody knows, count for nobody
    listens(&bench, &gamma, |seq| Some(pong(seq + 1, "run-c", 0))).await;
    let ids = |gathered: BTreeMap<DroneId, Answered>| gathered.into_keys().collect::<Vec<_>>();
    let mut both = vec![alpha.id.clone(), beta.id.clone()];
    both.sort();
    let early = bench.link.ping_all(2, &known, 2, Duration::from_secs(600)).await.unwrap();
    assert_eq!(ids(early), both, "it ends when all that were expected have answered");
    let late = bench.link.ping_all(3, &known, 3, Duration::from_secs(1)).await.unwrap();
    assert_eq!(ids(late), both);
    let strangers = bench.link.ping_all(4, &runs(&[("run-x", &alpha)]), 1, short).await.unwrap();
    assert!(strangers.is_empty());
}

#[tokio::test]
async fn a_ping_lost_with_our_own_connection_says_so() {
    let mut bench = Bench::start(&["beta"]).await;
    let beta = bench.drone("beta").await;
    listens(&bench, &beta, |_| None).await;
    let link = bench.link.clone();
    let id = beta.id.clone();
    #[expect(clippy::disallowed_methods, reason = "a test waits for it")]
    let under_way = tokio::spawn(async move { link.ping(&id, 1, Duration::from_secs(8)).await });
    let pid = nix::unistd::Pid::from_raw(bench.bus.pid());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(under_way.await.unwrap(), Err(PingLoss::NoBus));
}
