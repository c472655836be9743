//! A drone that means harm: a real credential on a real nats-server, and every trick we know. Each is refused, what is
//! dropped is counted, and the swarm goes on building.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{FutureExt, StreamExt};
use serde_json::Value;
use swarm_protocol::artifact::{ArtifactAnswer, ArtifactAsk, ArtifactRef};
use swarm_protocol::envelope::{Envelope, encode};
use swarm_protocol::log::LogChunk;
use swarm_protocol::report::{BuildAnswer, BuildNews, BuildResult, Failure, FailureClass, HelloAnswer, Role};
use swarm_protocol::subject::{ReportKind, Subjects};
use swarm_protocol::{ArtifactId, Attempt, BuildId, Fence, InstanceId};
use swarm_tests::{Scripted, Setup, Swarm, gpkg, until};

/// A build with its dependencies on two busy cores.
const BUILD: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(60);

fn counters(swarm: &Swarm) -> Result<BTreeMap<String, u64>> {
    let bus: Value = serde_json::from_str(&swarm.cli(&["--json", "bus"])?)?;
    Ok(serde_json::from_value(bus["counters"].clone())?)
}

fn until_counted(swarm: &Swarm, name: &str, at_least: u64) -> Result<()> {
    until(format!("{name} to be {at_least}"), SOON, || {
        let counted = counters(swarm)?.get(name).copied().context("there is such a counter")?;
        Ok((counted >= at_least).then_some(()))
    })
}

/// The fence of the attempt a drone has, from the façade.
fn fence_of(swarm: &Swarm, package: &str) -> Result<Fence> {
    let queue = swarm.http.get("/api/v1/queue")?;
    let entry = queue.as_array().context("a list")?.iter().find(|entry| {
        entry["package"].as_str().is_some_and(|atom| atom.starts_with(package)) && entry["status"] == "delegated"
    });
    let entry = entry.with_context(|| format!("{package} is not delegated: {queue}"))?;
    let number = |name: &str| entry[name].as_u64().with_context(|| format!("{name} in {entry}"));
    Ok(Fence { build: BuildId(number("id")?), attempt: Attempt(u32::try_from(number("attempt")?)?) })
}

#[test]
fn every_trick_on_the_bus_is_refused_and_counted_and_the_swarm_goes_on() -> Result<()> {
    let swarm = Setup { scripted: 2, ..Setup::default() }.start()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let (mut mallory, victim) = runtime.block_on(async {
        anyhow::Ok((Scripted::connect(&swarm, "s1").await?, Scripted::connect(&swarm, "s2").await?))
    })?;
    // the good drone builds meanwhile
    swarm.queue(&["app-misc/honeydrip"])?;
    ensure!(swarm.until_building("=app-misc/honeydrip", BUILD)? == "d1");
    let theirs = fence_of(&swarm, "=app-misc/honeydrip")?;

    runtime.block_on(async {
        mallory.come_in().await?;
        listens_where_it_should_not(&mallory, &victim).await?;
        speaks_where_it_should_not(&mallory, &victim).await
    })?;
    runtime.block_on(makes_the_controller_speak(&mallory, &victim))?;
    until_counted(&swarm, "foreign_replies", 8)?;
    runtime.block_on(async {
        is_a_copy_of_itself(&mallory).await?;
        reports_what_is_not_its_own(&mallory, theirs).await?;
        writes_in_logs_that_are_not_its_own(&mallory, theirs).await?;
        talks_rubbish(&mallory).await
    })?;
    until_counted(&swarm, "foreign_log_chunks", 1)?;
    until_counted(&swarm, "malformed", 40)?;
    ensure!(swarm.until_building("=app-misc/honeydrip", SOON)? == "d1", "nothing of that touched the build");
    runtime.block_on(floods(&mallory))?;
    until_counted(&swarm, "flooded", 10_000)?;
    swarm.cli(&["drone", "revoke", "s1"])?;
    runtime.block_on(mallory.is_told("authorization violation"))?;

    swarm.until_state("=app-misc/honeydrip", "received", BUILD)?;
    let warnings = swarm.events("warn")?;
    let told =
        |part: &str| warnings.iter().any(|event| event["message"].as_str().is_some_and(|text| text.contains(part)));
    ensure!(told("another instance of this drone is alive") && told("floods the bus"), "{warnings:?}");
    ensure!(warnings.len() <= 12, "one drone does not fill the events: {}", warnings.len());
    let history = swarm.http.get("/api/v1/history?limit=50")?;
    ensure!(
        history["history"].as_array().is_some_and(|rows| rows.iter().all(|row| row["drone_name"] == "d1")),
        "{history}"
    );
    let log = swarm.http.text(&format!("/api/v1/builds/{}/{}/log", theirs.build, theirs.attempt))?;
    ensure!(!log.contains("EVIL") && log.contains("honeydrip"), "the log is the good drone's: {log}");
    ensure!(swarm.events("offline")?.is_empty(), "nobody lost the bus over it: {:?}", swarm.events("offline")?);
    ensure!(counters(&swarm)?["shed_heartbeats"] == 0, "the good drone's heartbeats had room");
    Ok(())
}

async fn listens_where_it_should_not(mallory: &Scripted, victim: &Scripted) -> Result<()> {
    let (a, b) = (&mallory.id, &victim.id);
    for subject in [
        format!("swarm.v1.drone.{b}.order.>"),
        format!("swarm.v1.drone.{b}.order.build"),
        "swarm.v1.drone.*.order.build".to_owned(),
        format!("swarm.v1.drone.{b}.report.>"),
        format!("swarm.v1.drone.{a}.>"),
        "swarm.v1.log.>".to_owned(),
        "swarm.v1.shell.*.*.in".to_owned(),
        "swarm.v1.event.>".to_owned(),
        "swarm.v1.json.event.>".to_owned(),
        "swarm.v1.>".to_owned(),
        ">".to_owned(),
        "*.>".to_owned(),
        "_INBOX.>".to_owned(),
        "_INBOX.*.>".to_owned(),
        format!("_INBOX.{b}.>"),
        "$SYS.>".to_owned(),
        "$SYS.ACCOUNT.>".to_owned(),
        "$JS.>".to_owned(),
        "$JS.API.>".to_owned(),
    ] {
        mallory.may_not_hear(&subject).await?;
    }
    Ok(())
}

async fn speaks_where_it_should_not(mallory: &Scripted, victim: &Scripted) -> Result<()> {
    let (a, b) = (&mallory.id, &victim.id);
    for subject in [
        format!("swarm.v1.drone.{b}.report.hello"),
        format!("swarm.v1.drone.{b}.report.build"),
        format!("swarm.v1.drone.{b}.order.cancel"),
        format!("swarm.v1.drone.{a}.order.build"),
        format!("swarm.v1.drone.{a}"),
        "swarm.v1.all.ping".to_owned(),
        format!("swarm.v1.log.{b}.build.1.1"),
        format!("swarm.v1.shell.{b}.1.out"),
        format!("swarm.v1.shell.{a}.1.in"),
        "swarm.v1.event.fail".to_owned(),
        "swarm.v1.json.event.fail".to_owned(),
        format!("_INBOX.{b}.x"),
        format!("_INBOX.{a}.x"),
        "_INBOX.x".to_owned(),
        "$JS.API.STREAM.DELETE.SWARM_EVENTS".to_owned(),
        "$JS.API.CONSUMER.DURABLE.CREATE.SWARM_EVENTS.x".to_owned(),
        "$SYS.REQ.SERVER.PING".to_owned(),
        "$SYS.REQ.USER.INFO".to_owned(),
    ] {
        mallory.may_not_say(&subject).await?;
    }
    Ok(())
}

/// A report whose answer would go into somebody else's hands makes the controller say it in its own name.
async fn makes_the_controller_speak(mallory: &Scripted, victim: &Scripted) -> Result<()> {
    let mut inbox = victim.client.subscribe(format!("{}.x", Subjects::inbox(victim.id.as_str()))).await?;
    let mut orders = victim.client.subscribe(victim.subjects.orders_of(&victim.id)).await?;
    let mut pings = victim.client.subscribe(victim.subjects.ping_all()).await?;
    victim.barrier().await;
    let body = encode(&Envelope::new("report.hello", 1, 2, mallory.hello(Role::Supervisor)))?;
    for reply in [
        Some(format!("{}.x", Subjects::inbox(victim.id.as_str()))),
        Some(victim.subjects.order(&victim.id, "build")),
        Some(victim.subjects.order(&mallory.id, "build")),
        Some(victim.subjects.ping_all()),
        Some(victim.subjects.event("fail")),
        Some("$JS.API.STREAM.PURGE.SWARM_EVENTS".to_owned()),
        Some(format!("{}x.y", Subjects::inbox(mallory.id.as_str()))),
        None,
    ] {
        let subject = mallory.subjects.report(&mallory.id, ReportKind::Hello);
        match reply {
            Some(reply) => mallory.client.publish_with_reply(subject, reply, body.clone().into()).await?,
            None => mallory.client.publish(subject, body.clone().into()).await?,
        }
    }
    mallory.barrier().await;
    // an honest question afterwards: when it is answered, the others were dealt with
    let answer: HelloAnswer = mallory.ask(ReportKind::Hello, mallory.hello(Role::Supervisor)).await?;
    ensure!(matches!(answer, HelloAnswer::Welcome { .. }), "{answer:?}");
    victim.barrier().await;
    for (ears, what) in [(&mut inbox, "inbox"), (&mut orders, "orders"), (&mut pings, "pings")] {
        ensure!(ears.next().now_or_never().is_none(), "the victim's {what} heard something");
    }
    Ok(())
}

/// The same key on a second machine.
async fn is_a_copy_of_itself(mallory: &Scripted) -> Result<()> {
    for role in [Role::Supervisor, Role::Worker] {
        let mut hello = mallory.hello(role);
        hello.instance = InstanceId::from("another-run");
        hello.supervisor = (role == Role::Worker).then(|| InstanceId::from("another-supervisor"));
        let answer: HelloAnswer = mallory.ask(ReportKind::Hello, hello).await?;
        let HelloAnswer::Refused { reason, .. } = answer else { anyhow::bail!("the copy's {role:?}: {answer:?}") };
        ensure!(reason == "another instance of this drone is alive", "{reason}");
    }
    for name in ["d1", "sweeper-1", "../x", "<script>", ""] {
        let mut hello = mallory.hello(Role::Supervisor);
        hello.name = name.to_owned();
        let answer: HelloAnswer = mallory.ask(ReportKind::Hello, hello).await?;
        ensure!(matches!(answer, HelloAnswer::Refused { .. }), "it may not be {name:?}: {answer:?}");
    }
    Ok(())
}

async fn reports_what_is_not_its_own(mallory: &Scripted, theirs: Fence) -> Result<()> {
    let failure = Failure { class: FailureClass::Phase, message: "EVIL".to_owned(), ..Failure::default() };
    for news in [
        BuildNews::Started { at: 0 },
        BuildNews::Dropped { reason: "EVIL".to_owned() },
        BuildNews::Refused { failure: failure.clone() },
        BuildNews::Finished { result: BuildResult { failure: Some(failure.clone()), ..BuildResult::default() } },
        BuildNews::Finished { result: BuildResult::default() },
    ] {
        let answer = mallory.report(theirs, news).await?;
        ensure!(matches!(answer, BuildAnswer::Superseded { .. }), "{answer:?}");
    }
    let (_, artifact) = gpkg::package("app-misc/honeydrip-1.0", b"EVIL")?;
    let ask = ArtifactAsk { instance: mallory.worker(), store_id: mallory.store_id.clone(), fence: theirs, artifact };
    let answer: ArtifactAnswer = mallory.ask(ReportKind::Artifact, ask).await?;
    ensure!(matches!(answer, ArtifactAnswer::Superseded { .. }), "no ticket for another one's attempt: {answer:?}");
    Ok(())
}

async fn writes_in_logs_that_are_not_its_own(mallory: &Scripted, theirs: Fence) -> Result<()> {
    let chunk = |fence, offset| LogChunk { fence, offset, bytes: b"EVIL\n".to_vec(), total: 5, ..LogChunk::default() };
    let own = Fence { build: BuildId(9_999), attempt: Attempt(1) };
    // the subject is its own, the attempt is not; and one that lies about it
    for (subject, body) in [(theirs, chunk(theirs, 0)), (own, chunk(theirs, 0)), (own, chunk(own, u64::MAX))] {
        let subject = mallory.subjects.build_log(&mallory.id, subject.build, subject.attempt);
        let bytes = encode(&Envelope::new("log", 1, 2, body))?;
        mallory.client.publish(subject, bytes.into()).await?;
    }
    mallory.barrier().await;
    Ok(())
}

/// Bytes that are no message, on every subject it may speak on.
async fn talks_rubbish(mallory: &Scripted) -> Result<()> {
    let inbox = mallory.client.new_inbox();
    let mut trailing = encode(&Envelope::new("x", 1, 2, ()))?;
    trailing.push(0);
    let rubbish = [
        Vec::new(),
        b"\xc1\xff".to_vec(),
        b"\xdd\xff\xff\xff\xff".to_vec(),
        trailing,
        vec![0x91; 100_000],
        vec![0xc0; 950 * 1024],
    ];
    let mut subjects: Vec<String> =
        ReportKind::ALL.iter().map(|kind| mallory.subjects.report(&mallory.id, *kind)).collect();
    subjects.push(format!("swarm.v1.drone.{}.report.later", mallory.id));
    subjects.push(mallory.subjects.build_log(&mallory.id, BuildId(1), Attempt(1)));
    for subject in subjects {
        for bytes in &rubbish {
            mallory.client.publish_with_reply(subject.clone(), inbox.clone(), bytes.clone().into()).await?;
        }
    }
    mallory.barrier().await;
    // more than the bus carries: the server itself ends the connection, or the client refuses to send it
    let subject = mallory.subjects.report(&mallory.id, ReportKind::Heartbeat);
    let _too_much = mallory.client.publish(subject, vec![0; 2 << 20].into()).await;
    mallory.barrier().await;
    Ok(())
}

/// As fast as it can, with messages that are good and with some that are none.
async fn floods(mallory: &Scripted) -> Result<()> {
    let beat = encode(&Envelope::new("report.heartbeat", 1, 2, swarm_protocol::report::Heartbeat::default()))?;
    let subject = mallory.subjects.report(&mallory.id, ReportKind::Heartbeat);
    let log = mallory.subjects.build_log(&mallory.id, BuildId(1), Attempt(1));
    for n in 0..60_000u32 {
        let (subject, body) = if n % 3 == 0 { (&log, &b"x"[..]) } else { (&subject, &beat[..]) };
        mallory.client.publish(subject.clone(), body.to_vec().into()).await?;
        if n % 1_000 == 0 {
            mallory.client.flush().await?;
        }
    }
    mallory.barrier().await;
    Ok(())
}

/// `PUT`s without a client's niceties: the path as it is. Status and body.
fn put(swarm: &Swarm, path: &str, ticket: Option<&str>, body: &[u8]) -> Result<(u16, String)> {
    use std::io::{Read, Write};
    let address = swarm.http.url.trim_start_matches("http://");
    let mut socket = std::net::TcpStream::connect(address)?;
    socket.set_read_timeout(Some(SOON))?;
    let ticket = ticket.map(|ticket| format!("X-Upload-Ticket: {ticket}\r\n")).unwrap_or_default();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {address}\r\n{ticket}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes())?;
    // a refusal may come before the body was read
    let _refused_early = socket.write_all(body);
    let mut answer = Vec::new();
    let _closed = socket.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.with_context(|| format!("no answer to PUT {path}: {answer:?}"))?, answer))
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path.display().to_string()) }
    }
    found
}

#[test]
fn a_ticket_is_good_for_one_drone_one_attempt_one_file_and_once() -> Result<()> {
    let swarm = Setup { drones: 0, scripted: 2, rules: "log_wait = \"1s\"".to_owned(), ..Setup::default() }.start()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let (mut drone, mut mallory) = runtime.block_on(async {
        anyhow::Ok((Scripted::connect(&swarm, "s1").await?, Scripted::connect(&swarm, "s2").await?))
    })?;
    runtime.block_on(async {
        drone.come_in().await?;
        mallory.come_in().await
    })?;
    swarm.cli(&["drone", "pause", "s2"])?;
    swarm.queue(&["=app-misc/tool-1.0"])?;
    let job = runtime.block_on(drone.until_build())?;
    drone.running = vec![job.fence];
    runtime.block_on(async {
        let taken = drone.report(job.fence, BuildNews::Taken {}).await?;
        ensure!(taken == BuildAnswer::Durable {}, "{taken:?}");
        drone.report(job.fence, BuildNews::Started { at: 1 }).await
    })?;

    let (good, artifact) = gpkg::package("app-misc/tool-1.0", b"good")?;
    let (other, _) = gpkg::package("app-misc/tool-1.0", b"evil")?;
    ensure!(other.len() == good.len(), "equal sizes, so that only the hash tells");
    let ask = |who: &Scripted, artifact: &ArtifactRef| ArtifactAsk {
        instance: who.worker(),
        store_id: who.store_id.clone(),
        fence: job.fence,
        artifact: artifact.clone(),
    };
    let ticket = |who: &Scripted, artifact: &ArtifactRef| -> Result<(ArtifactId, String)> {
        match runtime.block_on(who.ask(ReportKind::Artifact, ask(who, artifact)))? {
            ArtifactAnswer::Ticket { artifact, token, .. } => Ok((artifact, token)),
            other => anyhow::bail!("no ticket: {other:?}"),
        }
    };
    ensure!(ticket(&mallory, &artifact).is_err(), "another drone gets none for this attempt");
    let (id, token) = ticket(&drone, &artifact)?;
    let path = format!("/api/v1/artifacts/{id}");

    // without it, with another one, at another place
    let (_, dependency) = gpkg::package("dev-libs/dep-2.0", b"dep")?;
    let (other_id, other_token) = ticket(&drone, &dependency)?;
    let guess = "0".repeat(token.len());
    for (path, offered) in [
        (path.clone(), None),
        (path.clone(), Some(guess.as_str())),
        (path.clone(), Some(other_token.as_str())),
        (path.clone(), Some("")),
        (format!("/api/v1/artifacts/{other_id}"), Some(token.as_str())),
        ("/api/v1/artifacts/999".to_owned(), Some(token.as_str())),
    ] {
        let (status, said) = put(&swarm, &path, offered, &good)?;
        ensure!(status == 401, "{path} {offered:?}: {said}");
    }
    for path in [
        "/api/v1/artifacts/../../../etc/passwd".to_owned(),
        "/api/v1/artifacts/..%2f..%2fkeys%2fcontroller.nk".to_owned(),
        format!("/api/v1/artifacts/{id}%00"),
        format!("/api/v1/artifacts/{id}/../{other_id}"),
        "/api/v1/artifacts/-1".to_owned(),
        "/api/v1/artifacts/18446744073709551616".to_owned(),
        "/binhost/amd64/default/x.gpkg.tar".to_owned(),
    ] {
        let (status, said) = put(&swarm, &path, Some(&token), &good)?;
        ensure!((400..500).contains(&status), "{path}: {said}");
    }
    // another file than was announced
    for (what, body) in [("shorter", &good[..good.len() - 1]), ("another", &other[..]), ("none", &[][..])] {
        let (status, said) = put(&swarm, &path, Some(&token), body)?;
        ensure!(status == 422, "{what}: {said}");
    }
    // announced truly, and no package, or another package than was built
    for (cpv, bytes) in [
        ("app-misc/tool-1.0", vec![0x41; 20_480]),
        ("app-misc/tool-1.0", gpkg::package("sys-libs/glibc-2.40", b"evil")?.0),
    ] {
        let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes));
        let lie = ArtifactRef { cpv: cpv.to_owned(), sha256, size: bytes.len() as u64, ..artifact.clone() };
        let (id, token) = ticket(&drone, &lie)?;
        let (status, said) = put(&swarm, &format!("/api/v1/artifacts/{id}"), Some(&token), &bytes)?;
        ensure!(status == 422 || status == 409, "{said}");
    }
    ensure!(files(&swarm.data().join("incoming")).is_empty(), "{:?}", files(&swarm.data().join("incoming")));

    // the real thing, once
    let (status, said) = put(&swarm, &path, Some(&token), &good)?;
    ensure!(status == 200, "{said}");
    let (status, said) = put(&swarm, &path, Some(&token), &good)?;
    ensure!(status == 401, "a ticket that was used: {said}");
    let result = BuildResult { artifacts: vec![artifact.clone()], exit_status: Some(0), ..BuildResult::default() };
    until("the result to be durable", SOON, || {
        let answer = runtime.block_on(drone.report(job.fence, BuildNews::Finished { result: result.clone() }))?;
        Ok((answer == BuildAnswer::Durable {}).then_some(()))
    })?;
    swarm.until_state("=app-misc/tool-1.0", "received", SOON)?;

    // the attempt is over: so is every ticket of it
    let (status, said) = put(&swarm, &format!("/api/v1/artifacts/{other_id}"), Some(&other_token), b"late")?;
    ensure!(status == 409 || status == 401, "{said}");
    ensure!(ticket(&drone, &dependency).is_err(), "and it gets no more");
    let packages: Vec<String> =
        files(&swarm.data().join("binhost")).into_iter().filter(|path| path.ends_with(".gpkg.tar")).collect();
    ensure!(packages.len() == 1 && packages[0].ends_with("app-misc/tool/tool-1.0-1.gpkg.tar"), "{packages:?}");
    ensure!(files(&swarm.data().join("incoming")).is_empty());
    Ok(())
}

#[test]
fn a_revoked_drone_is_cut_off_at_once_and_its_ticket_with_it() -> Result<()> {
    let swarm = Setup { drones: 0, scripted: 2, ..Setup::default() }.start()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let (mut drone, mut other) = runtime.block_on(async {
        anyhow::Ok((Scripted::connect(&swarm, "s1").await?, Scripted::connect(&swarm, "s2").await?))
    })?;
    runtime.block_on(async {
        drone.come_in().await?;
        other.come_in().await
    })?;
    swarm.cli(&["drone", "pause", "s2"])?;
    swarm.queue(&["=app-misc/tool-1.0"])?;
    let job = runtime.block_on(drone.until_build())?;
    drone.running = vec![job.fence];
    let (good, artifact) = gpkg::package("app-misc/tool-1.0", b"good")?;
    let ask = ArtifactAsk {
        instance: drone.worker(),
        store_id: drone.store_id.clone(),
        fence: job.fence,
        artifact: artifact.clone(),
    };
    let answer = runtime.block_on(async {
        drone.report(job.fence, BuildNews::Taken {}).await?;
        drone.ask::<ArtifactAnswer>(ReportKind::Artifact, ask).await
    })?;
    let ArtifactAnswer::Ticket { artifact: id, token, .. } = answer else { anyhow::bail!("{answer:?}") };

    swarm.cli(&["drone", "revoke", "s1"])?;
    // the answer came when the server had taken it
    runtime.block_on(drone.is_told("disconnected"))?;
    runtime.block_on(drone.is_told("authorization violation"))?;
    ensure!(runtime.block_on(Scripted::connect(&swarm, "s1")).is_err(), "a new connection is refused as well");
    let (status, said) = put(&swarm, &format!("/api/v1/artifacts/{id}"), Some(&token), &good)?;
    ensure!(status == 409, "its upload is refused: {said}");
    ensure!(!other.was_told("disconnected"), "the others keep their connections");
    let entry = swarm.entry("=app-misc/tool-1.0")?.context("it is in the queue")?;
    ensure!(entry["status"] == "needed" && entry["failures"] == 0, "{entry}");
    // and another drone builds it
    swarm.cli(&["drone", "resume", "s2"])?;
    let again = runtime.block_on(other.until_build())?;
    ensure!(again.fence.build == job.fence.build && again.fence.attempt > job.fence.attempt, "{:?}", again.fence);
    Ok(())
}
