//! Brings a finished package to the controller: asks for a ticket over the bus, puts the file over HTTP.
//!
//! Waiting is free: until this run is welcome, for a place among the drone's uploads, for a ticket; a controller that is away is
//! waited for, for days if need be, one that is busy for minutes. A put that fails is tried [`TRIES`] times over minutes; then
//! the upload failed for good, and the core reports it so. Called by the worker.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drone_core::Uploaded;
use fs_err as fs;
use swarm_common::errors::chain;
use swarm_protocol::artifact::{ArtifactAnswer, ArtifactAsk};
use swarm_protocol::subject::ReportKind;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tracing::{debug, info, warn};

use crate::bus::Link;

/// How often a put is tried.
pub const TRIES: u32 = 3;
/// How long to wait after each failed try.
const BETWEEN_TRIES: [Duration; TRIES as usize] = [Duration::from_secs(15), Duration::from_secs(105), Duration::ZERO];
const TICKET_TIMEOUT: Duration = Duration::from_secs(15);
const TICKET_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long to wait for a controller that has too much to do, and how often before that counts as a try.
const BUSY_WAIT: Duration = Duration::from_secs(15);
const MAX_BUSY: u32 = 40;
/// Without a byte taken or an answer for so long, a put has failed.
const STALL: Duration = Duration::from_secs(60);

/// Why a put failed.
#[derive(Debug, Error)]
pub enum PutError {
    /// The package could not be read.
    #[error("read the package")]
    Read(#[from] std::io::Error),
    /// The connection failed.
    #[error("put the package to {url}")]
    Http {
        /// The address of the ticket, without its token.
        url: String,
        /// What the HTTP client said.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The controller said no.
    #[error("the controller answered {status} to {url}: {text}")]
    Status {
        /// The address of the ticket, without its token.
        url: String,
        /// HTTP status.
        status: u16,
        /// The first of its answer.
        text: String,
    },
}

/// Puts one package. `base` is the façade's address as the last welcome had it; `places` are those for uploads.
pub async fn upload(
    link: Arc<Link>,
    base: watch::Receiver<Option<String>>,
    places: Arc<Semaphore>,
    ask: ArtifactAsk,
    file: PathBuf,
) -> Uploaded {
    let gone = || Uploaded::Failed { message: "the worker shuts down".to_owned() };
    // a ticket is for a run that is welcome
    if address(base.clone()).await.is_none() {
        return gone();
    }
    let Ok(_place) = places.acquire().await else { return gone() };
    let (mut tries, mut busy) = (0, 0);
    loop {
        let failed = match ticket(&link, &ask).await {
            ArtifactAnswer::Ticket { artifact, token, .. } => {
                let url = match address(base.clone()).await {
                    Some(base) => format!("{}/api/v1/artifacts/{artifact}", base.trim_end_matches('/')),
                    None => return gone(),
                };
                let file = file.clone();
                match swarm_common::watch::blocking("upload", move || put(&url, &token, &file)).await {
                    Ok(()) => {
                        info!(package = ask.artifact.cpv, attempt = %ask.fence, bytes = ask.artifact.size, "uploaded");
                        return Uploaded::Done;
                    }
                    Err(PutError::Status { status: 503, text, .. }) if busy < MAX_BUSY => {
                        busy += 1;
                        debug!(package = ask.artifact.cpv, text, "the controller takes no upload now");
                        tokio::time::sleep(BUSY_WAIT).await;
                        continue;
                    }
                    Err(error) => chain(&error),
                }
            }
            ArtifactAnswer::Have {} => return Uploaded::Done,
            ArtifactAnswer::Superseded { .. } => return Uploaded::Superseded,
            ArtifactAnswer::Refused { reason } => format!("the controller refused it: {reason}"),
            ArtifactAnswer::Unknown => "the controller answered in a later version's words".to_owned(),
        };
        warn!(package = ask.artifact.cpv, attempt = %ask.fence, reason = failed, "an upload failed");
        if tries + 1 == TRIES {
            let cpv = &ask.artifact.cpv;
            return Uploaded::Failed { message: format!("uploading {cpv} failed {TRIES} times, the last: {failed}") };
        }
        tokio::time::sleep(BETWEEN_TRIES[tries as usize]).await;
        tries += 1;
    }
}

/// Asks until answered.
async fn ticket(link: &Link, ask: &ArtifactAsk) -> ArtifactAnswer {
    let mut wait = Duration::from_millis(250);
    loop {
        match link.ask(ReportKind::Artifact, ask, TICKET_TIMEOUT).await {
            Ok(answer) => return answer,
            Err(error) => debug!(%error, "no ticket yet"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(TICKET_WAIT_MAX);
    }
}

async fn address(mut base: watch::Receiver<Option<String>>) -> Option<String> {
    base.wait_for(Option::is_some).await.ok()?.clone()
}

/// Streams the file in one request; blocks.
fn put(url: &str, token: &str, file: &Path) -> Result<(), PutError> {
    let body = fs::File::open(file)?;
    let size = body.metadata()?.len();
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_per_read(Some(STALL))
        .timeout_per_write(Some(STALL))
        .build()
        .new_agent();
    let http = |source| PutError::Http { url: url.to_owned(), source: Box::new(source) };
    let mut answer = agent
        .put(url)
        .header("X-Upload-Ticket", token)
        .header("Content-Length", size.to_string())
        .header("Content-Type", "application/octet-stream")
        .send(ureq::SendBody::from_owned_reader(body))
        .map_err(http)?;
    if answer.status().is_success() {
        return Ok(());
    }
    let text = answer.body_mut().with_config().limit(512).read_to_string().unwrap_or_default();
    Err(PutError::Status { url: url.to_owned(), status: answer.status().as_u16(), text })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Serves one request with `status` and returns its head and body.
    fn serve(status: &'static str) -> (String, std::thread::JoinHandle<(String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api/v1/artifacts/7", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.trim().parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 4\r\nconnection: close\r\n\r\nword").unwrap();
            (head, body)
        });
        (url, served)
    }

    #[test]
    fn a_package_goes_up_whole_with_its_ticket_in_a_header() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.gpkg.tar");
        let bytes: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        fs::write(&file, &bytes).unwrap();
        let (url, served) = serve("201 Created");
        put(&url, "secret", &file).unwrap();
        let (head, body) = served.join().unwrap();
        assert!(head.starts_with("put /api/v1/artifacts/7 ") && head.contains("x-upload-ticket: secret\r\n"), "{head}");
        assert!(body == bytes);
    }

    #[test]
    fn a_refusal_says_what_the_controller_said_and_never_the_ticket() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.gpkg.tar");
        fs::write(&file, b"x").unwrap();
        let (url, served) = serve("507 Insufficient Storage");
        let text = chain(&put(&url, "secret", &file).unwrap_err());
        assert!(text.contains("507") && text.contains("word") && !text.contains("secret"), "{text}");
        served.join().unwrap();
    }
}
