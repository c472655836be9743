//! Tappers: a credential that reads the events on the bus, and nothing else.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::{Client, ConnectOptions};
use futures::StreamExt;
use serde_json::Value;
use swarm_protocol::envelope::open;
use swarm_protocol::event::Event;
use swarm_tests::{Setup, Swarm};
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(30);

struct Tapper {
    client: Client,
    told: Arc<Mutex<Vec<String>>>,
}

impl Tapper {
    async fn connect(made: &Value) -> Result<Self> {
        let path = |name: &str| made[name].as_str().with_context(|| format!("{name} in {made}"));
        let seed = fs_err::read_to_string(path("key_file")?)?.trim().to_owned();
        let told = Arc::new(Mutex::new(Vec::new()));
        let ears = told.clone();
        let client = ConnectOptions::with_nkey(seed)
            .add_root_certificates(path("authority_file")?.into())
            .require_tls(true)
            .event_callback(move |event| {
                ears.lock().expect("no test panics here").push(event.to_string());
                std::future::ready(())
            })
            .connect(path("url")?)
            .await?;
        Ok(Self { client, told })
    }

    async fn is_told(&self, part: &str) -> Result<()> {
        let heard = async {
            while !self.told.lock().expect("no test panics here").iter().any(|line| line.contains(part)) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, heard).await.with_context(|| format!("was never told {part:?}"))
    }
}

/// Causes events until one is heard: a subscription needs a moment to reach the server.
async fn heard(swarm: &Swarm, messages: &mut async_nats::Subscriber) -> Result<async_nats::Message> {
    for _ in 0..60 {
        for action in ["pause", "resume"] {
            swarm.cli(&["control", action])?;
        }
        if let Ok(message) = timeout(Duration::from_millis(500), messages.next()).await {
            return message.context("the subscription is over");
        }
    }
    anyhow::bail!("no event was heard")
}

#[test]
fn a_tapper_reads_events_in_both_forms_and_nothing_else_until_it_is_revoked() -> Result<()> {
    let swarm =
        Setup { drones: 0, scripted: 1, tables: "[events]\njson = true".to_owned(), ..Setup::default() }.start()?;
    let dir = swarm.dir().join("tap");
    let said = swarm.cli(&["--json", "events", "tapper", "grafana", "--dir", dir.to_str().context("a path")?])?;
    let made: Value = serde_json::from_str(&said)?;
    let key = made["key_file"].as_str().context("a key file")?;
    ensure!(fs_err::metadata(key)?.permissions().mode() & 0o777 == 0o600, "{key}");
    ensure!(!said.contains(fs_err::read_to_string(key)?.trim()), "the secret half is not printed");
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let tapper = Tapper::connect(&made).await?;
        let mut events = tapper.client.subscribe("swarm.v1.event.>").await?;
        let event = open::<Event>(&heard(&swarm, &mut events).await?.payload)?.body;
        ensure!(event.kind == "control" && event.message.contains("the swarm"), "{event:?}");
        let mut json = tapper.client.subscribe("swarm.v1.json.event.>").await?;
        let twin: Value = serde_json::from_slice(&heard(&swarm, &mut json).await?.payload)?;
        ensure!(twin["kind"] == "control" && twin["seq"].is_u64(), "{twin}");

        let drone = fs_err::read_to_string(swarm.data().join("drones/s1.nk"))?;
        let drone = nkeys::KeyPair::from_seed(drone.trim())?.public_key();
        for subject in [
            format!("swarm.v1.drone.{drone}.order.>"),
            format!("swarm.v1.drone.{drone}.report.>"),
            "swarm.v1.drone.>".to_owned(),
            "swarm.v1.log.>".to_owned(),
            "swarm.v1.all.>".to_owned(),
            "swarm.v1.>".to_owned(),
            ">".to_owned(),
            "_INBOX.>".to_owned(),
            "$JS.>".to_owned(),
            "$SYS.>".to_owned(),
        ] {
            drop(tapper.client.subscribe(subject.clone()).await?);
            tapper.is_told(&format!("Permissions Violation for Subscription to \"{subject}\"")).await?;
        }
        for subject in [
            "swarm.v1.event.control".to_owned(),
            "swarm.v1.json.event.control".to_owned(),
            format!("swarm.v1.drone.{drone}.order.cancel"),
            format!("swarm.v1.drone.{drone}.report.hello"),
            "swarm.v1.all.ping".to_owned(),
            // a consumer of the stream could be pointed at a drone's orders
            "$JS.API.CONSUMER.CREATE.SWARM_EVENTS".to_owned(),
            "$JS.API.STREAM.INFO.SWARM_EVENTS".to_owned(),
            "$JS.API.DIRECT.GET.SWARM_EVENTS".to_owned(),
            "$SYS.REQ.SERVER.PING".to_owned(),
        ] {
            tapper.client.publish(subject.clone(), "x".into()).await?;
            tapper.is_told(&format!("Permissions Violation for Publish to \"{subject}\"")).await?;
        }
        swarm.cli(&["events", "tapper", "--revoke", "grafana"])?;
        tapper.is_told("disconnected").await?;
        ensure!(Tapper::connect(&made).await.is_err(), "its key is good no more");
        anyhow::Ok(())
    })?;
    // the same key is not taken again, another one is
    let again = swarm.cli(&["events", "tapper", "grafana", "--dir", dir.to_str().context("a path")?]);
    let again = format!("{:#}", again.err().context("a revoked key came back")?);
    ensure!(again.contains("was revoked"), "{again}");
    let list: Value = serde_json::from_str(&swarm.cli(&["--json", "events", "tapper", "--list"])?)?;
    ensure!(list["members"][0]["standing"] == "revoked", "{list}");
    Ok(())
}
