//! Being told to end: signals as something to wait for. What follows from one is the caller's to decide.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that mean "end". From the moment it is made they end the process no more by themselves.
#[derive(Debug)]
pub struct Stop(Vec<Signal>);

impl Stop {
    /// Listens for TERM and INT from now on, within a runtime.
    ///
    /// # Errors
    /// When signals can't be heard.
    pub fn listen() -> io::Result<Self> {
        Self::listen_for(&[SignalKind::terminate(), SignalKind::interrupt()])
    }

    /// Listens for these.
    ///
    /// # Errors
    /// When signals can't be heard.
    pub fn listen_for(kinds: &[SignalKind]) -> io::Result<Self> {
        kinds.iter().map(|kind| signal(*kind)).collect::<Result<_, _>>().map(Self)
    }

    /// Waits for the next one, whichever it is. Giving up the wait loses none.
    pub async fn next(&mut self) {
        poll_fn(|context| {
            let heard = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if heard { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn each_signal_is_heard_and_none_that_came_while_nobody_waited_is_lost() {
        let mut stop = Stop::listen().unwrap();
        for sent in [Signal::TERM, Signal::INT, Signal::TERM] {
            assert!(tokio::time::timeout(Duration::from_millis(20), stop.next()).await.is_err());
            kill_process(getpid(), sent).unwrap();
            tokio::time::timeout(Duration::from_secs(20), stop.next()).await.unwrap();
        }
    }
}
