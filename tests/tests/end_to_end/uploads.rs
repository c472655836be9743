//! Uploads that go wrong: cut, damaged, too long, too short, with another ticket or none, and once more. Each is refused with
//! its reason, nothing of it is left, the binhost is untouched; and the right one is taken afterwards.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use swarm_tests::{Setup, Swarm, tools, until};

/// For anything that takes some seconds of its own; a drone waits 15 s before it uploads again.
const SOON: Duration = Duration::from_secs(90);

/// What becomes of the next upload of a drone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is passed on.
    Pass,
    /// Half of it is passed on, then both ends are closed.
    Cut,
    /// It waits for its fate to change.
    Hold,
}

/// A drone's request, as it came.
#[derive(Debug, Clone)]
struct Caught {
    path: String,
    ticket: String,
    body: Vec<u8>,
}

/// Stands between the drones and the façade, and decides what becomes of uploads.
struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    state: Mutex<(Fate, VecDeque<Caught>)>,
    changed: Condvar,
}

impl Gate {
    fn before(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { target, state: Mutex::new((Fate::Pass, VecDeque::new())), changed: Condvar::new() });
        let own = Arc::clone(&shared);
        // ends with the test's process
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = Arc::clone(&own);
                std::thread::spawn(move || own.serve(stream));
            }
        });
        Ok(Self { address, shared })
    }

    fn decide(&self, fate: Fate) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).0 = fate;
        self.shared.changed.notify_all();
    }

    /// Waits for the next upload.
    fn caught(&self) -> Result<Caught> {
        until("a drone's upload", SOON, || {
            Ok(self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).1.pop_front())
        })
    }
}

impl Shared {
    fn serve(&self, mut near: TcpStream) -> Option<()> {
        let head = read_head(&mut near)?;
        let mut far = TcpStream::connect(self.target).ok()?;
        let Some(path) = head.strip_prefix("PUT ").and_then(|rest| rest.split(' ').next()) else {
            far.write_all(head.as_bytes()).ok()?;
            return self.pass(&near, &far);
        };
        let value = |name: &str| {
            let find = |line: &str| {
                line.split_once(": ")
                    .filter(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.to_owned())
            };
            head.lines().find_map(find)
        };
        let mut body = vec![0; value("content-length")?.parse().ok()?];
        near.read_exact(&mut body).ok()?;
        let caught = Caught { path: path.to_owned(), ticket: value("x-upload-ticket")?, body: body.clone() };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.push_back(caught);
        while state.0 == Fate::Hold {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let fate = state.0;
        drop(state);
        far.write_all(head.as_bytes()).ok()?;
        if fate == Fate::Cut {
            far.write_all(&body[..body.len() / 2]).ok()?;
            let _ = far.shutdown(Shutdown::Both);
            return near.shutdown(Shutdown::Both).ok();
        }
        far.write_all(&body).ok()?;
        self.pass(&near, &far)
    }

    fn pass(&self, near: &TcpStream, far: &TcpStream) -> Option<()> {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _ = std::io::copy(&mut { near }, &mut { far });
                let _ = far.shutdown(Shutdown::Write);
            });
            let _ = std::io::copy(&mut { far }, &mut { near });
            let _ = near.shutdown(Shutdown::Both);
        });
        Some(())
    }
}

/// Everything up to and with the empty line.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// One request straight to the façade. `length`: what is announced, or by chunks if nothing is; the connection is closed for
/// writing after the body. Status and body of the answer; `None` if the server just hung up.
fn put(
    swarm: &Swarm,
    path: &str,
    ticket: Option<&str>,
    length: Option<usize>,
    body: &[u8],
) -> Result<Option<(u16, String)>> {
    let mut stream = TcpStream::connect(swarm.http.url.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(SOON))?;
    let mut head = format!("PUT {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    if let Some(ticket) = ticket {
        head += &format!("X-Upload-Ticket: {ticket}\r\n");
    }
    match length {
        Some(length) => head += &format!("Content-Length: {length}\r\n\r\n"),
        None => head += "Transfer-Encoding: chunked\r\n\r\n",
    }
    // whoever refuses before the body is sent may close before it is taken
    let mut sent = stream.write_all(head.as_bytes());
    if length.is_some() {
        sent = sent.and_then(|()| stream.write_all(body));
    } else {
        for piece in body.chunks(1000) {
            sent = sent.and_then(|()| write!(stream, "{:x}\r\n", piece.len()));
            sent = sent.and_then(|()| stream.write_all(piece)).and_then(|()| stream.write_all(b"\r\n"));
        }
        sent = sent.and_then(|()| stream.write_all(b"0\r\n\r\n"));
    }
    if length.is_some_and(|length| length > body.len()) {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    match status {
        Some(status) => Ok(Some((status, answer))),
        None => {
            ensure!(length.is_some_and(|length| length > body.len()) || sent.is_err() || read.is_err(), "{answer}");
            Ok(None)
        }
    }
}

/// Every file below a folder, by its hash.
fn files(dir: &Path) -> Result<BTreeMap<String, String>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in fs_err::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let bytes = fs_err::read(&path)?;
                found.insert(path.display().to_string(), hex::encode(Sha256::digest(bytes)));
            }
        }
    }
    Ok(found)
}

/// A swarm of one drone behind a gate.
fn gated(environment: &[(&str, &str)]) -> Result<(Swarm, Gate)> {
    // the gate's port must be known to the controller, and the controller's to the gate: one of the two is chosen first
    let port = tools::free_port()?;
    let gate = Gate::before(SocketAddr::from(([127, 0, 0, 1], port)))?;
    let mut environment: Vec<(String, String)> =
        environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    environment.push(("BUILD_SWARM_HTTP_PUBLIC_URL".to_owned(), format!("http://{}", gate.address)));
    let setup = Setup { stand_in: true, port: Some(port), environment, ..Setup::default() };
    Ok((setup.start()?, gate))
}

#[test]
fn a_wrong_upload_is_refused_with_its_reason_and_the_right_one_taken_afterwards() -> Result<()> {
    let (swarm, gate) = gated(&[])?;
    swarm.queue(&["=stand-in/first_kb50-1"])?;
    swarm.until_state("=stand-in/first", "received", SOON)?;
    let former = gate.caught()?;
    let published = files(&swarm.data().join("binhost"))?;
    let untouched = |what: &str| -> Result<()> {
        // what a broken connection left is removed when its handler notices
        let incoming = || Ok(files(&swarm.data().join("incoming"))?.is_empty().then_some(()));
        until(format!("nothing to be left of the upload {what}"), SOON, incoming)?;
        ensure!(files(&swarm.data().join("binhost"))? == published, "the binhost changed by the upload {what}");
        Ok(())
    };

    // the drone's own upload is cut in its middle; it tries again with another ticket
    gate.decide(Fate::Cut);
    swarm.queue(&["=stand-in/second_kb100-1"])?;
    let cut = gate.caught()?;
    gate.decide(Fate::Hold);
    untouched("cut between drone and controller")?;
    let held = gate.caught()?;
    ensure!(held.body == cut.body && held.ticket != cut.ticket, "the same file under a fresh ticket");

    refuse_what_is_wrong(&swarm, &held, &cut, &former, untouched)?;

    gate.decide(Fate::Pass);
    swarm.until_state("=stand-in/second", "received", SOON)?;
    ensure!(swarm.index()?.contains("CPV: stand-in/second_kb100-1\n"), "{}", swarm.index()?);
    let after = files(&swarm.data().join("binhost"))?;
    for caught in [&former, &cut, &held] {
        let (status, answer) = put(&swarm, &caught.path, Some(&caught.ticket), Some(caught.body.len()), &caught.body)?
            .context("an answer")?;
        ensure!(status == 401, "sent once more: {answer}");
    }
    ensure!(files(&swarm.data().join("binhost"))? == after, "a repeated upload changed the binhost");
    ensure!(swarm.events("fail")?.is_empty(), "nothing failed: {:?}", swarm.events("fail")?);
    Ok(())
}

/// An upload that must be refused, and how.
struct Wrong<'a> {
    what: &'static str,
    ticket: Option<&'a str>,
    /// Bytes announced; none: sent by chunks.
    length: Option<usize>,
    body: &'a [u8],
    status: u16,
    reason: &'static str,
}

/// Everything that can be wrong with the upload `held`, which the drone waits to make. `cut` is its former try, `former` an
/// upload of another package.
fn refuse_what_is_wrong(
    swarm: &Swarm,
    held: &Caught,
    cut: &Caught,
    former: &Caught,
    untouched: impl Fn(&str) -> Result<()>,
) -> Result<()> {
    let (path, ticket, body) = (held.path.as_str(), held.ticket.as_str(), held.body.as_slice());
    let mut damaged = body.to_vec();
    damaged[body.len() / 2] ^= 1;
    let long = [body, &[0]].concat();
    let short = &body[..body.len() - 1];
    let nobodys = ticket.chars().rev().collect::<String>();
    let wrong = |what, ticket, reason| Wrong { what, ticket, length: Some(body.len()), body, status: 401, reason };
    let other = |what, body, reason| Wrong { body, status: 422, ..wrong(what, Some(ticket), reason) };
    for Wrong { what, ticket, length, body, status, reason } in [
        wrong("without a ticket", None, "no valid ticket"),
        wrong("with a ticket of nobody", Some(&nobodys), "no valid ticket"),
        wrong("with the ticket before", Some(&cut.ticket), "no valid ticket"),
        other("of a damaged file", &damaged, "SHA-256"),
        Wrong { length: Some(long.len()), ..other("of a longer file, announced", &long, "the ticket is for") },
        Wrong { length: None, ..other("of a longer file, by chunks", &long, "more than the") },
        Wrong { length: Some(short.len()), ..other("of a shorter file, announced", short, "the ticket is for") },
        Wrong { length: None, ..other("of a shorter file, by chunks", short, "bytes were sent") },
        Wrong { length: Some(former.body.len()), ..other("of another package", &former.body, "the ticket is for") },
    ] {
        let (told, answer) = put(swarm, path, ticket, length, body)?.context("an answer")?;
        ensure!(told == status && answer.contains(reason), "{what}: {answer}");
        ensure!(!answer.contains(held.ticket.as_str()), "{what}: the answer tells the ticket");
        untouched(what)?;
    }
    for (id, status) in [("999999", 401), ("nonsense", 400), ("-1", 400)] {
        let path = format!("/api/v1/artifacts/{id}");
        let (told, answer) = put(swarm, &path, Some(ticket), Some(body.len()), body)?.context("an answer")?;
        ensure!(told == status, "artifact {id}: {answer}");
    }
    for part in [0, 1, body.len() / 2, body.len() - 1] {
        let _ = put(swarm, path, Some(ticket), Some(body.len()), &body[..part])?;
        untouched("that broke off")?;
    }
    Ok(())
}

#[test]
fn a_package_larger_than_allowed_is_refused_and_taken_when_it_is_allowed() -> Result<()> {
    let (mut swarm, gate) = gated(&[("BUILD_SWARM_BINHOST_MAX_UPLOAD", "64KiB")])?;
    gate.decide(Fate::Hold);
    swarm.queue(&["=stand-in/large_kb200-1"])?;
    let held = gate.caught()?;
    let (status, answer) =
        put(&swarm, &held.path, Some(&held.ticket), Some(held.body.len()), &held.body)?.context("an answer")?;
    ensure!(status == 413 && answer.contains("larger than the 65536") && answer.contains("hint"), "{answer}");
    ensure!(files(&swarm.data().join("incoming"))?.is_empty(), "nothing is left of it");
    swarm.kill_controller()?;
    swarm.set("BUILD_SWARM_BINHOST_MAX_UPLOAD", "1MiB");
    swarm.start_controller()?;
    gate.decide(Fate::Pass);
    swarm.until_state("=stand-in/large", "received", SOON)?;
    Ok(())
}
