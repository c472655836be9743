//! The façade's sockets: listening, serving, and the end of it. Called by `serve`, once per port.

use std::io;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::serve::ListenerExt as _;
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Milliseconds after which a connection is cut whose other end takes nothing of what is sent: without this bound, readers
/// that stall could hold every place there is for those who follow something.
const STALLED: u32 = 60_000;

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
    let listener = listener.tap_io(|socket| {
        // neither an old kernel nor a socket that is closed already is worth a word
        let _ = socket.set_nodelay(true);
        let _ = setsockopt(&*socket, TcpUserTimeout, &STALLED);
    });
    let (asked, done) = (stop.clone(), CancellationToken::new());
    let served = done.clone();
    drop(crate::watch::spawn(name, async move {
        let graceful = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(asked.cancelled_owned());
        if let Err(reason) = graceful.await {
            error!(%reason, "the façade ended");
        }
        served.cancel();
    }));
    done
}
