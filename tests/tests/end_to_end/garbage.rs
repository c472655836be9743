//! Garbage on every subject of the bus and every door of the façade: answered with an error or dropped, never followed, and
//! everybody lives on. `SEED=n` repeats a run.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use swarm_protocol::envelope::open;
use swarm_protocol::log::LogChunk;
use swarm_protocol::order::{Order, Task};
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{Attempt, BuildId};
use swarm_tests::{Bus, Chance, Swarm, garbage, until};

/// For anything that takes some seconds of its own.
const SOON: Duration = Duration::from_secs(60);
/// What a controller may grow by while garbage comes in.
const GROWTH_KIB: u64 = 150 << 10;

/// A phantom that garbage may conjure up loses its work soon.
const RULES: &str = "heartbeat = \"500ms\"\noffline_after = \"2s\"\nlease = \"4s\"\nstart_grace = \"1s\"";

/// Resident memory of a process.
fn resident_kib(pid: i32) -> Result<u64> {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Builds something: whoever takes part in that is well.
fn works(swarm: &mut Swarm, package: &str) -> Result<()> {
    swarm.none_ended()?;
    swarm.queue(&[&format!("=stand-in/{package}-1")])?;
    swarm.until_state(&format!("=stand-in/{package}"), "received", SOON)?;
    swarm.none_ended()
}

#[test]
fn garbage_on_every_subject_is_dropped_and_everybody_works_on() -> Result<()> {
    let seed = Chance::seed();
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    let mut swarm = Swarm::standing_in(2, RULES)?;
    let everyone = Bus::as_controller(&swarm)?;
    // what real messages look like, of every kind there is
    let overheard = everyone.overhear(&format!("{}.>", everyone.subjects.prefix()))?;
    works(&mut swarm, "first")?;
    let real: BTreeMap<String, Vec<u8>> = overheard.heard().into_iter().collect();
    drop(overheard);
    let kinds = [
        "report.hello",
        "report.heartbeat",
        "report.build",
        "report.artifact",
        "report.plan",
        "order.build",
        "order.plan",
    ];
    for kind in kinds {
        ensure!(real.keys().any(|subject| subject.ends_with(kind)), "a real {kind}: {:?}", real.keys());
    }
    let real: Vec<(String, Vec<u8>)> = real.into_iter().collect();
    let pid = swarm.controller_pid().context("the controller runs")?;
    let before = resident_kib(pid)?;

    // d2 is gone, and somebody with its key speaks in its name
    swarm.drone("d2").cut_power()?;
    let hostile = Bus::as_drone(&swarm, "d2")?;
    let (prefix, own) = (hostile.subjects.prefix().to_owned(), hostile.id.clone());
    let mut subjects: Vec<String> = ReportKind::ALL.map(|kind| hostile.subjects.report(&own, kind)).into();
    subjects.extend(["nonsense", "hello.more", "build.1.1"].map(|end| format!("{prefix}.drone.{own}.report.{end}")));
    subjects.push(hostile.subjects.build_log(&own, BuildId(1), Attempt(1)));
    subjects
        .extend(["build.x.y", "build.1", "unit.worker", "build.1.1.1"].map(|end| format!("{prefix}.log.{own}.{end}")));
    // what it has no right to say is no more followed than what it has
    subjects.push(everyone.subjects.event("complete"));
    subjects.push(everyone.subjects.ping_all());
    for round in 0..3_000 {
        let near = &chance.one_of(&real).1;
        let bytes = garbage::message(&mut chance, near);
        let subject = chance.one_of(&subjects).clone();
        if round % 3 == 0 {
            hostile.publish(&subject, bytes)?;
        } else {
            // with an answer's place: what can be read is answered, the rest is not
            hostile.publish_with_reply(&subject, &hostile.inbox(), bytes)?;
        }
    }

    // and somebody with the controller's key speaks to d1, in no words it could follow
    let d1 = Bus::as_drone(&swarm, "d1")?.id;
    let tokens: Vec<&str> = Task::FOR_WORKER.into_iter().chain(Task::FOR_SUPERVISOR).chain(["nonsense"]).collect();
    for _ in 0..2_000 {
        let near = &chance.one_of(&real).1;
        let bytes = garbage::message(&mut chance, near);
        if open::<Order>(&bytes).is_ok() || open::<LogChunk>(&bytes).is_ok() {
            continue;
        }
        let token = *chance.one_of(&tokens);
        let subject = match chance.below(8) {
            0 => everyone.subjects.ping_all(),
            _ => everyone.subjects.order(&d1, token),
        };
        everyone.publish_with_reply(&subject, &everyone.inbox(), bytes)?;
    }

    works(&mut swarm, "second")?;
    let after = resident_kib(pid)?;
    ensure!(after < before + GROWTH_KIB, "the controller grew from {before} to {after} KiB");
    let log = fs_err::read_to_string(swarm.controller_log())?;
    let told = log.lines().filter(|line| line.contains("can't be read and was dropped")).count();
    ensure!((1..=2 * subjects.len()).contains(&told), "it is said, and not for each message: {told} times");
    let log = swarm.drone("d1").log_since(0)?;
    let told = log.lines().filter(|line| line.contains("orders can't be read and are dropped")).count();
    ensure!((1..=4).contains(&told), "the drone says so, and once a minute: {told} times");
    let told = swarm.http.all_events()?;
    let stream = until("the stream to be complete", SOON, || {
        let stream = everyone.stream()?;
        Ok((stream.len() >= told.len()).then_some(stream))
    })?;
    ensure!(
        stream.iter().map(|(number, _)| *number).eq(1..=told.len() as u64),
        "the events are the controller's alone"
    );
    swarm.drone("d2").start()?;
    swarm.until_online(2)
}

/// What the façade said.
#[derive(Debug)]
struct Said {
    status: u16,
    json: bool,
    body: String,
}

/// Sends bytes and reads the answer's head and the first of its body. `None`: it hung up without a word, as it may on what
/// is not a `complete` request.
fn say(url: &str, bytes: &[u8], complete: bool) -> Result<Option<Said>> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(SOON))?;
    // refused before it was all sent: then the answer is there already
    let _ = stream.write_all(bytes);
    if !complete {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let mut piece = [0; 8192];
    while answer.len() < 1 << 16 {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                answer.extend(&piece[..count]);
                // a stream that goes on has said with its head that the request was taken
                if String::from_utf8_lossy(&answer).to_lowercase().contains("content-type: text/event-stream") {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                bail!("no answer within {SOON:?} to {}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
            }
            Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let Some(status) = text.split(' ').nth(1).and_then(|status| status.parse().ok()) else { return Ok(None) };
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Ok(Some(Said { status, json: head.contains("application/json"), body: body.to_owned() }))
}

#[test]
fn garbage_at_every_door_is_answered_with_an_error_and_changes_nothing() -> Result<()> {
    let seed = Chance::seed();
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    let mut swarm = Swarm::standing_in(1, RULES)?;
    works(&mut swarm, "first")?;
    let key = fs_err::read_to_string(swarm.data().join("admin.key"))?.trim().to_owned();
    let secret = fs_err::read_to_string(swarm.data().join("keys/binhost-private.secret"))?.trim().to_owned();
    let doors = doors(&swarm)?;
    ensure!(doors.iter().filter(|door| door.path.starts_with("/admin/api")).count() > 15, "the administrators' port");
    ensure!(doors.len() > 100, "there are {} doors", doors.len());
    for door in &doors {
        for _ in 0..30 {
            let request = request(&mut chance, door, &key, &secret);
            let said = check(&door.url, &request).with_context(|| format!("seed {seed}"))?;
            ensure!(!said.body.contains(&key), "{} {} gives out the admin key: {said:?}", door.method, door.path);
            let asked = door.path == "/api/v1/binhost/private";
            ensure!(
                asked || !said.body.contains(&secret),
                "{} {} gives out a secret: {said:?}",
                door.method,
                door.path
            );
        }
    }

    // no HTTP at all, or nearly
    let admin = swarm.admin()?.url;
    let head = b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n";
    for _ in 0..200 {
        let bytes = match chance.below(8) {
            0 => chance.bytes(2_000),
            1 => [&head[..], &b"X: y\r\n".repeat(1_000), b"\r\n"].concat(),
            2 => [&head[..], b"X: ", &vec![b'y'; 1 << 20], b"\r\n\r\n"].concat(),
            3 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
            4 => b"BREW /api/v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
            5 => [&head[..], b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"].concat(),
            6 => [&head[..], b"Content-Length: -1\r\n\r\n"].concat(),
            _ => {
                let mut bytes = [&head[..], b"Connection: close\r\n\r\n"].concat();
                let at = chance.below(bytes.len());
                bytes[at] = 0xff;
                bytes
            }
        };
        for url in [&swarm.http.url, &admin] {
            let Some(said) = say(url, &bytes, false)? else { continue };
            ensure!(said.status != 500, "{said:?} to {}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
        }
    }

    let status = swarm.http.get("/api/v1/status")?;
    ensure!(status["paused"] == false && status["nodes_online"] == 1, "nothing was changed: {status}");
    let log = fs_err::read_to_string(swarm.controller_log())?;
    ensure!(!log.contains("panicked"), "{}", swarm.logs());
    works(&mut swarm, "second")
}

/// Where something can be asked.
struct Door {
    /// The port's address.
    url: String,
    method: String,
    /// With parts in braces, where garbage goes.
    path: String,
    /// Parameters behind the question mark.
    parameters: Vec<String>,
}

/// What the document names, on the port where it is; and what is for Portage, people and Prometheus.
fn doors(swarm: &Swarm) -> Result<Vec<Door>> {
    let (public, admin) = (swarm.http.url.clone(), swarm.admin()?.url);
    let document = swarm.http.get("/api/openapi.json")?;
    let mut doors = Vec::new();
    for (path, methods) in document["paths"].as_object().context("the document has paths")? {
        for (method, operation) in methods.as_object().context("a path has methods")? {
            let given = operation["parameters"].as_array().cloned().unwrap_or_default();
            // a wait that is understood would be one
            let asked = given.iter().filter(|one| one["in"] == "query" && one["name"] != "wait");
            let parameters = asked.filter_map(|one| one["name"].as_str().map(str::to_owned)).collect();
            let url = if path.starts_with("/admin/") { &admin } else { &public };
            doors.push(Door { url: url.clone(), method: method.to_uppercase(), path: path.clone(), parameters });
        }
    }
    let index = swarm.http.get("/api/v1/binhost")?["indexes"][0]["index"].as_str().context("an index")?.to_owned();
    let real = ["Packages", "Packages.gz", "stand-in/first/first-1-1.gpkg.tar"];
    ensure!(swarm.http.text(&format!("/binhost/{index}/{}", real[0]))?.contains("CPV: stand-in/first-1"));
    let mut paths = vec!["/metrics".to_owned(), "/binhost".to_owned(), "/{x}".to_owned(), "/admin/api/{x}".to_owned()];
    for top in ["/binhost", "/binhost-private"] {
        let garbled =
            ["", "{x}", "{x}/{x}", "{x}/{x}/{x}/Packages", "{x}/{x}/{x}/Packages.gz", "{x}/{x}/{x}/{x}/{x}/{x}"];
        paths.extend(garbled.map(|end| format!("{top}/{end}")));
        paths.extend(real.map(|end| format!("{top}/{index}/{end}")));
        paths.push(format!("{top}/{index}/{{x}}"));
    }
    for path in paths {
        for method in ["GET", "HEAD", "POST"] {
            for url in [&public, &admin] {
                let (method, parameters) = (method.to_owned(), vec!["x".to_owned()]);
                doors.push(Door { url: url.clone(), method, path: path.clone(), parameters });
            }
        }
    }
    Ok(doors)
}

/// A request to a door, with garbage wherever something can be put.
fn request(chance: &mut Chance, door: &Door, key: &str, secret: &str) -> Vec<u8> {
    let mut target = String::new();
    for part in door.path.split_inclusive('/') {
        let is_parameter = part.starts_with('{');
        target += &if is_parameter { garbage::parameter(chance) } else { part.to_owned() };
        if is_parameter && part.ends_with('/') {
            target.push('/');
        }
    }
    let mut mark = '?';
    for parameter in &door.parameters {
        if chance.below(2) == 0 {
            target += &format!("{mark}{parameter}={}", garbage::parameter(chance));
            mark = '&';
        }
    }
    let body = garbage::body(chance);
    let mut head = format!("{} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", door.method);
    match chance.below(4) {
        0 => {}
        1 => head += "X-Admin-Key: wrong\r\nX-Upload-Ticket: wrong\r\n",
        _ => head += &format!("X-Admin-Key: {key}\r\n"),
    }
    if door.path.starts_with("/binhost-private") {
        head += &match chance.below(4) {
            0 => String::new(),
            1 => format!("Authorization: {}\r\n", garbage::header(chance)),
            2 => format!("Authorization: Basic {}\r\n", garbage::header(chance)),
            _ => format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("swarm:{secret}"))),
        };
    }
    if chance.below(3) > 0 {
        head += "Content-Type: application/json\r\n";
    }
    if chance.below(4) == 0 {
        let text = garbage::header(chance);
        head += &format!(
            "Idempotency-Key: {text}\r\nRange: {text}\r\nAccept-Encoding: {text}\r\nIf-Modified-Since: {text}\r\n"
        );
    }
    if chance.below(4) == 0 {
        let range =
            chance.one_of(&["bytes=-", "bytes=9-1", "bytes=0-0,5-6", "bytes=99999999999999999999-", "bytes=-0"]);
        head += &format!("Range: {range}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}

/// It is answered, no handler stumbles, and an error says what is wrong.
fn check(url: &str, request: &[u8]) -> Result<Said> {
    let shown = || String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
    let said = say(url, request, true)?.with_context(|| format!("hung up on {}", shown()))?;
    ensure!(said.status < 500 || said.status == 503, "{said:?} to {}", shown());
    // beyond what the server itself takes of a head, nobody has read the path yet; and a HEAD has no body
    let speaks = [" /api/", " /admin/api/"].iter().any(|top| shown().contains(top)) && !shown().starts_with("HEAD");
    if said.status >= 400 && ![414, 431].contains(&said.status) && speaks {
        ensure!(said.json && said.body.contains("\"error\""), "{said:?} to {}", shown());
    }
    Ok(said)
}
