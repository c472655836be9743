//! A bus that somebody else runs: a cluster of three servers, of which a drone's and the controller's own die while builds go
//! on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream;
use serde_json::Value;
use swarm_protocol::subject::EVENT_STREAM;
use swarm_tests::cluster::Cluster;
use swarm_tests::{Setup, Swarm, until};

/// A build with its dependencies on two busy cores.
const BUILD: Duration = Duration::from_secs(200);
const SOON: Duration = Duration::from_secs(90);

/// Where the stream stands, how many servers hold it, and whether all of those are up to date.
async fn stream(swarm: &Swarm, cluster: &Cluster) -> Result<(u64, usize, bool)> {
    let seed = fs_err::read_to_string(swarm.data().join("keys/controller.nk"))?.trim().to_owned();
    let id = nkeys::KeyPair::from_seed(&seed)?.public_key();
    let url = cluster.url();
    let client = async_nats::ConnectOptions::with_nkey(seed)
        .custom_inbox_prefix(format!("_INBOX.{id}"))
        .add_root_certificates(cluster.ca())
        .connect(url.split(',').collect::<Vec<_>>().as_slice())
        .await?;
    let mut stream = jetstream::new(client).get_stream(EVENT_STREAM).await?;
    let info = stream.info().await?;
    let current = info.cluster.as_ref().is_some_and(|cluster| cluster.replicas.iter().all(|peer| peer.current));
    Ok((info.state.last_sequence, info.config.num_replicas, current))
}

/// Every event is in the stream, under its own number, on three servers as soon as there are three.
fn caught_up(swarm: &Swarm, cluster: &mut Cluster, dead: usize) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let latest = |swarm: &Swarm| {
        swarm.http.get("/api/v1/events?since=0&limit=1")?["latest_id"].as_u64().context("an event's number")
    };
    until("the stream to have every event", SOON, || {
        let told = runtime.block_on(stream(swarm, cluster));
        Ok(told.ok().filter(|(last, replicas, _)| latest(swarm).is_ok_and(|id| id == *last) && *replicas == 3))
    })?;
    cluster.start(dead)?;
    until("the server that was away to catch up", SOON, || {
        Ok(runtime.block_on(stream(swarm, cluster)).ok().filter(|(_, _, current)| *current))
    })?;
    Ok(())
}

#[test]
fn builds_and_events_go_on_while_servers_of_an_external_cluster_are_killed() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let mut cluster = Cluster::prepare(scratch.path())?;
    let setup = Setup {
        drones: 1,
        bus: format!("url = {:?}\nca = {:?}", cluster.url(), cluster.ca()),
        tables: "[events]\nreplicas = 3".to_owned(),
        external: true,
        drone_bus: Some(format!("url = {:?}\nca = {:?}", cluster.url(), cluster.ca())),
        ..Setup::default()
    };
    let mut swarm = setup.prepare()?;
    // what the operator of the cluster configures, before the controller has ever started
    let config = swarm.dir().join("controller.toml");
    let users = swarm.cli(&["bus", "permissions", "--config", config.to_str().context("a path")?])?;
    cluster.users(&users)?;
    for index in 0..3 {
        cluster.start(index)?;
    }
    swarm.bring_up()?;
    swarm.start_drones()?;
    // a drone's server, then the controller's own: each is up again before the next one dies
    for (client, package) in [("d1 worker", "honeydrip"), ("controller", "honeypot")] {
        let package = format!("app-misc/{package}");
        swarm.queue(&[&package])?;
        swarm.until_building(&format!("={package}"), BUILD)?;
        let doomed = cluster.server_of(client)?;
        cluster.kill(doomed)?;
        swarm.until_state(&format!("={package}"), "received", BUILD)?;
        ensure!(swarm.events("fail")?.is_empty() && swarm.events("reclaim")?.is_empty(), "nothing was lost");
        ensure!(cluster.server_of(client)? != doomed, "{client} found another server");
        caught_up(&swarm, &mut cluster, doomed)?;
    }
    swarm.none_ended()?;

    // a drone that joins is let in by the operator of the cluster, who is told so
    let invited: Value = serde_json::from_str(&swarm.cli(&["--json", "drone", "invite", "r1"])?)?;
    let said = swarm.join_drone("r1", invited["token"].as_str().context("a token")?, &[])?;
    ensure!(said.contains("its operator adds this drone") && said.contains("swarm bus permissions"), "{said}");
    swarm.drone("r1").start()?;
    let before = swarm.http.get("/api/v1/status")?;
    ensure!(before["nodes_online"] == 1, "{before}");
    cluster.users(&swarm.cli(&["bus", "permissions"])?)?;
    swarm.until_online(2)
}
