//! An answer that costs a walk over many rows, shared by all who ask within some seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// A value and when it was made.
pub struct Aged<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Aged<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Aged<T> {
    /// The value if it is younger than `age`, else a new one; who asks meanwhile waits for that.
    ///
    /// # Errors
    /// Those of `make`; nothing is kept then.
    pub async fn get<E>(&self, age: Duration, make: impl AsyncFnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let mut known = self.0.lock().await;
        if let Some((at, value)) = &*known
            && at.elapsed() < age
        {
            return Ok(value.clone());
        }
        let value = Arc::new(make().await?);
        *known = Some((Instant::now(), value.clone()));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_is_made_once_and_anew_when_it_is_old() {
        let cache = Aged::default();
        let hour = Duration::from_secs(3600);
        assert_eq!(*cache.get(hour, async || Ok::<_, ()>(1)).await.unwrap(), 1);
        assert_eq!(*cache.get(hour, async || Ok::<_, ()>(2)).await.unwrap(), 1);
        assert_eq!(*cache.get(Duration::ZERO, async || Ok::<_, ()>(3)).await.unwrap(), 3);
        assert_eq!(cache.get(Duration::ZERO, async || Err("no")).await, Err("no"));
        assert_eq!(*cache.get(hour, async || Ok::<_, ()>(4)).await.unwrap(), 3, "an error leaves what was there");
    }
}
