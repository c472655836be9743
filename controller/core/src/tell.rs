//! How the rooms around the core tell it what became of an effect. The core itself calls nothing here: it only names the port,
//! so that a room which carries out effects needs to know no engine. The engine is who listens.

use std::pin::Pin;

use crate::Input;

/// Whoever hands inputs to the core.
pub trait Tell: Send + Sync + 'static {
    /// Hands over what repeats anyway. False: there was no room, and it was shed.
    fn offer(&self, input: Input) -> bool;

    /// Hands over what does not repeat; waits for room. Ends also when nobody listens any more.
    fn tell(&self, input: Input) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// [`Tell::tell`] for whoever has a thread of its own.
    ///
    /// # Errors
    /// [`Stopped`]: nobody listens any more, so there is no use in going on.
    fn tell_blocking(&self, input: Input) -> Result<(), Stopped>;
}

/// The engine is gone or going; the input was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the controller is stopping")]
pub struct Stopped;
