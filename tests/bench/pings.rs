//! Proof of life: how long a ping takes there and back, against a bare request on the same bus; and a whole fleet pinged by one
//! broadcast.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use swarm_common::watch::spawn;
use swarm_controller::healing::{PingNow, Pings};
use swarm_core::view::Presence;
use swarm_protocol::Subjects;
use swarm_tests::figures::{Aim, Figure, median, quantile};
use swarm_tests::fleet::{Fleet, FleetSettings, Identity, Standing};
use swarm_tests::server::Bus;
use swarm_tests::until;

use crate::Scale;
use crate::plant::{self, Plant, Spoken};

/// How long a fleet may take to join.
const JOIN: Duration = Duration::from_secs(120);
/// As large as an answer to a ping.
const PAYLOAD: usize = 600;

/// Measures.
///
/// # Errors
/// When something does not work.
pub fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let drones = scale.pick(20, 1_000);
    let identities: Vec<Identity> = (0..=drones).map(|n| Identity::new(format!("d{n:05}"))).collect::<Result<_>>()?;
    let (bare, members) = identities.split_first().context("a drone")?;
    let bus = Bus::start(&scale.dir.join("bus"), &identities, true)?;
    let plant = Plant::start(&scale.dir, &bus, None)?;
    let runtime = plant::runtime("fleet")?;
    let settings = FleetSettings {
        url: bus.url.clone(),
        ca: None,
        subjects: Subjects::default(),
        slots: 1,
        builds: Arc::new(Standing::default()),
        uploads: Arc::new(Spoken(plant.engine.clone())),
    };
    let fleet = runtime.block_on(Fleet::join(settings, members, JOIN))?;
    // a broadcast waits for those that are online, which the first heartbeat says
    until("every drone to be online", JOIN, || {
        let view = plant.engine.view();
        let online = view.drones.values().filter(|drone| drone.presence == Presence::Online).count();
        Ok((online == drones).then_some(()))
    })?;
    let pings = Pings::new(Arc::new(plant.link.clone()), Arc::new(plant.engine.clone()));
    let (mut ours, mut theirs, mut ratios, mut whole) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut slow, mut slow_bare) = (Vec::new(), Vec::new());
    let echo = runtime.block_on(echo(bare, &bus))?;
    let count = scale.pick(50, 1_000);
    for _ in 0..scale.rounds(5) {
        let (mut pinged, mut asked) = (Vec::new(), Vec::new());
        runtime.block_on(async {
            for number in 0..count {
                let drone = members[number % members.len()].id.clone();
                let answer = pings.ping(drone).await.context("room for a ping")?;
                let answer = answer.outcome.map_err(|loss| anyhow::anyhow!("a ping was lost: {loss:?}"))?;
                pinged.push(answer.latency_us as f64);
                let (client, subject) = (plant.link.client(), Subjects::default().order(&bare.id, "ping"));
                let sent = Instant::now();
                client.request(subject, vec![0; PAYLOAD].into()).await?;
                asked.push(sent.elapsed().as_secs_f64() * 1e6);
            }
            // a broadcast is shared by whoever asks within a second
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            let sent = Instant::now();
            let all = pings.ping_all(plant.engine.view()).await;
            whole.push(sent.elapsed().as_secs_f64() * 1e3);
            let answered = all.iter().filter(|pinged| pinged.outcome.is_ok()).count();
            ensure!(answered == drones, "{answered} of {drones} drones answered a broadcast");
            Ok(())
        })?;
        ratios.push(median(&pinged) / median(&asked));
        slow.push(quantile(&pinged, 0.99));
        slow_bare.push(quantile(&asked, 0.99));
        ours.push(median(&pinged));
        theirs.push(median(&asked));
    }
    echo.abort();
    drop(fleet);
    runtime.shutdown_timeout(Duration::from_secs(10));
    plant.stop()?;
    Ok(vec![
        Figure::new(
            "pings/one",
            format!("a ping there and back, median of {count}, one of {drones} drones"),
            "µs",
            ours,
        )
        .note("p99, µs", median(&slow)),
        Figure::new("pings/bare", "a bare request of the same size on the same bus, by turns", "µs", theirs)
            .note("p99, µs", median(&slow_bare)),
        Figure::new("pings/ratio", "the former by the latter", "×", ratios).aim(Aim::AtMost(1.3)),
        Figure::new("pings/all", format!("{drones} drones pinged by one broadcast, until all answered"), "ms", whole)
            .aim(Aim::AtMost(100.0)),
    ])
}

/// Answers every order with as many bytes.
async fn echo(identity: &Identity, bus: &Bus) -> Result<tokio::task::AbortHandle> {
    let client = identity.connect(&bus.url).await?;
    let mut heard = client.subscribe(Subjects::default().orders_of(&identity.id)).await?;
    client.flush().await?;
    let echo = spawn("echo", async move {
        while let Some(message) = heard.next().await {
            let Some(reply) = message.reply else { continue };
            if client.publish(reply, message.payload).await.is_err() {
                return;
            }
        }
    });
    Ok(echo.abort_handle())
}
