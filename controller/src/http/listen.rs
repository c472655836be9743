//! The façade's sockets: listening, serving, and the end of it. Called by `serve`, once per port.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{debug, warn};

/// Milliseconds after which a connection is cut whose other end takes nothing of what is sent: without this bound, readers
/// that stall could hold every place there is for those who follow something.
const STALLED: u32 = 60_000;
/// Connections of one port at one time; those beyond wait in the kernel's queue. Fewer where the process may have few files.
const MAX_CONNECTIONS: usize = 4096;
/// Files the controller may have open, as in its systemd unit.
const FILES: u64 = 65_536;
/// How long the head of a request may take, and how long a connection may lie idle: as long as clients keep theirs.
const HEAD_WITHIN: Duration = Duration::from_secs(75);

/// A port can't be had.
#[derive(Debug, Error)]
#[error("can't listen on {address}; is another controller running? {hint}")]
pub struct ListenError {
    address: SocketAddr,
    hint: &'static str,
    source: io::Error,
}

/// A listening socket; `hint` says what to do when it can't be had.
///
/// # Errors
/// When the port is taken, or not ours to have.
pub async fn listen(address: IpAddr, port: u16, hint: &'static str) -> Result<TcpListener, ListenError> {
    let address = SocketAddr::new(address, port);
    TcpListener::bind(address).await.map_err(|source| ListenError { address, hint, source })
}

/// Serves `app` until `stop`, or until it breaks; the token is cancelled when the last answer is out.
pub fn serve_until(
    name: &'static str,
    listener: TcpListener,
    app: Router,
    stop: &CancellationToken,
) -> CancellationToken {
    let (asked, done) = (stop.clone(), CancellationToken::new());
    let served = done.clone();
    drop(swarm_common::watch::spawn(name, async move {
        serve(listener, app, &asked, room_for()).await;
        served.cancel();
    }));
    done
}

/// A quarter of the files the process may have, so that two ports leave half of them to uploads, logs and the bus.
fn room_for() -> usize {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(files / 4).unwrap_or(MAX_CONNECTIONS).clamp(64, MAX_CONNECTIONS)
}

/// As many files as we need, if the system lets us have them: the limit a process begins with is meant for programs of old.
pub fn allow_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < FILES.min(hard)
        && let Err(reason) = setrlimit(Resource::RLIMIT_NOFILE, FILES.min(hard), hard)
    {
        warn!(soft, hard, %reason, "no more files may be opened than by default");
    }
}

/// Not by `axum::serve`, which bounds neither connections nor the time a request's head may take.
async fn serve(listener: TcpListener, app: Router, stop: &CancellationToken, most: usize) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    let room = Arc::new(Semaphore::new(most));
    while let Some((socket, peer, place)) = next(&listener, &room, stop).await {
        // neither an old kernel nor a socket that is closed already is worth a word
        let _ = socket.set_nodelay(true);
        let _ = setsockopt(&socket, TcpUserTimeout, &STALLED);
        let app = app.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            app.clone().oneshot(request)
        });
        let connection = http.serve_connection(TokioIo::new(socket), service).with_upgrades();
        let stop = stop.clone();
        drop(swarm_common::watch::spawn("connection", async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = stop.cancelled() => {
                    // what was asked is answered
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(reason) = ended {
                debug!(%peer, %reason, "a connection ended");
            }
            drop(place);
        }));
    }
    drop(listener);
    // all places free: the last one has ended
    let _ = room.acquire_many(u32::try_from(most).unwrap_or(u32::MAX)).await;
}

/// The next connection, once there is room for it; `None` when there shall be no more.
async fn next(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let accepted = async {
        let place = room.clone().acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => return Some((socket, peer, place)),
                Err(reason) => {
                    // one that was given up before it was taken says nothing; without file descriptors it is a while
                    warn!(%reason, "a connection can't be taken");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        accepted = accepted => accepted,
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    struct Served {
        address: SocketAddr,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    async fn served(most: usize) -> Served {
        let listener = listen("127.0.0.1".parse().unwrap(), 0, "").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let app = Router::new()
            .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }));
        let asked = stop.clone();
        let task = swarm_common::watch::spawn("test", async move { serve(listener, app, &asked, most).await });
        Served { address, stop, task }
    }

    async fn ask(socket: &mut TcpStream) -> String {
        socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn beyond_the_bound_connections_wait_for_one_that_ends() {
        let served = served(2).await;
        let first = TcpStream::connect(served.address).await.unwrap();
        let _second = TcpStream::connect(served.address).await.unwrap();
        let mut third = TcpStream::connect(served.address).await.unwrap();
        let asked = async { ask(&mut third).await };
        tokio::pin!(asked);
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut asked).await.is_err(), "there is no room");
        drop(first);
        let answer = tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
        served.stop.cancel();
        tokio::time::timeout(Duration::from_secs(20), served.task).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn one_that_says_nothing_is_cut_off() {
        let served = served(10).await;
        let mut idle = TcpStream::connect(served.address).await.unwrap();
        let mut half = TcpStream::connect(served.address).await.unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nHost").await.unwrap();
        // both are taken before time is let pass
        assert!(ask(&mut TcpStream::connect(served.address).await.unwrap()).await.contains("200"));
        tokio::time::pause();
        tokio::time::advance(HEAD_WITHIN + Duration::from_secs(1)).await;
        tokio::time::resume();
        for socket in [&mut idle, &mut half] {
            let mut rest = Vec::new();
            let read = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut rest)).await;
            assert!(read.is_ok(), "it is closed: {:?}", String::from_utf8_lossy(&rest));
        }
    }
}
