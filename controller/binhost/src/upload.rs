//! Takes a package a drone uploads: streamed to disk and hashed on the way, kept only if it is the file the ticket was given
//! for. Who may upload is decided before; what is in the file is judged after ([`super::gpkg::inspect`]).

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Bytes;
use futures::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use swarm_common::files::{create_folders, sync_folder};
use thiserror::Error;
use tokio::io::AsyncWriteExt;

use super::durable;

/// Longest wait for the next bytes; a drone that says nothing for so long has gone, and will upload again.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes a second an upload must have on the whole; a slow line of 1 Mbit/s has fifteen times as many.
const SLOWEST: u64 = 8 << 10;

/// Why an upload was not taken. Nothing is left of it.
#[derive(Debug, Error)]
pub enum UploadError {
    /// Larger than any package may be.
    #[error("the package has {size} bytes, at most {max} are taken")]
    TooLarge {
        /// Bytes the ticket is for.
        size: u64,
        /// Bytes allowed.
        max: u64,
    },
    /// More bytes came than the ticket is for.
    #[error("more than the {0} bytes the ticket is for were sent")]
    TooLong(u64),
    /// Fewer bytes came.
    #[error("{got} of {wanted} bytes were sent")]
    TooShort {
        /// Bytes sent.
        got: u64,
        /// Bytes the ticket is for.
        wanted: u64,
    },
    /// Other bytes came.
    #[error("the bytes sent have SHA-256 {got}, the ticket is for {wanted}")]
    WrongHash {
        /// Of what was sent.
        got: String,
        /// Of the ticket.
        wanted: String,
    },
    /// Nothing came for too long.
    #[error("nothing was sent for {} s", SILENCE.as_secs())]
    Silent,
    /// It would go on for ever.
    #[error("{got} of {wanted} bytes came in {} s: slower than {} KiB/s", within.as_secs(), SLOWEST >> 10)]
    Slow {
        /// Bytes sent.
        got: u64,
        /// Bytes the ticket is for.
        wanted: u64,
        /// The time it had.
        within: Duration,
    },
    /// The connection broke.
    #[error("the upload broke off: {0}")]
    Broken(String),
    /// Writing failed.
    #[error("write the upload into {}", dir.display())]
    Write {
        /// The folder.
        dir: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
}

/// Where the upload of an artifact is kept until it is signed.
pub fn path_of(incoming: &Path, artifact: u64) -> PathBuf {
    incoming.join(format!("{artifact}.gpkg.tar"))
}

/// Takes the upload of `artifact` from `body` into the folder `incoming` (made if need be) and answers where it is.
/// `sha256` is lower-case hex; `max` bounds `size`. Durable when it returns; a repeated upload replaces the first.
pub async fn receive<S, E>(
    mut body: S,
    incoming: &Path,
    artifact: u64,
    sha256: &str,
    size: u64,
    max: u64,
) -> Result<PathBuf, UploadError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Display,
{
    if size > max {
        return Err(UploadError::TooLarge { size, max });
    }
    let dir = incoming.to_owned();
    let write = |source| UploadError::Write { dir: dir.clone(), source };
    // removed when this future is dropped, too: the drone hung up
    let file = blocking(&dir, |dir| {
        create_folders(dir)?;
        durable::temporary(dir)
    })
    .await?;
    let mut out = tokio::fs::File::from_std(file.reopen().map_err(write)?);
    let mut hash = Sha256::new();
    let mut got = 0;
    let within = SILENCE + Duration::from_secs(size / SLOWEST);
    let end = tokio::time::Instant::now() + within;
    loop {
        let silent = tokio::time::Instant::now() + SILENCE;
        let next = tokio::time::timeout_at(silent.min(end), body.next()).await.map_err(|_| {
            if silent <= end { UploadError::Silent } else { UploadError::Slow { got, wanted: size, within } }
        })?;
        let Some(piece) = next else { break };
        let piece = piece.map_err(|error| UploadError::Broken(error.to_string()))?;
        got += piece.len() as u64;
        if got > size {
            return Err(UploadError::TooLong(size));
        }
        hash.update(&piece);
        out.write_all(&piece).await.map_err(write)?;
    }
    if got < size {
        return Err(UploadError::TooShort { got, wanted: size });
    }
    let found = hex::encode(hash.finalize());
    if found != sha256 {
        return Err(UploadError::WrongHash { got: found, wanted: sha256.to_owned() });
    }
    out.flush().await.map_err(write)?;
    let target = path_of(incoming, artifact);
    let place = target.clone();
    blocking(&dir, move |dir| {
        file.as_file().sync_all()?;
        file.persist(place).map_err(|error| error.error)?;
        sync_folder(dir)
    })
    .await?;
    Ok(target)
}

async fn blocking<T: Send + 'static>(
    dir: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, UploadError> {
    let owned = dir.to_owned();
    let done =
        tokio::task::spawn_blocking(move || work(&owned)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|source| UploadError::Write { dir: dir.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const CONTENT: &[u8] = b"a package in three pieces";

    fn pieces() -> Vec<Result<Bytes, String>> {
        CONTENT.chunks(10).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect()
    }

    async fn send(
        dir: &Path,
        body: Vec<Result<Bytes, String>>,
        sha256: &str,
        size: u64,
    ) -> Result<PathBuf, UploadError> {
        receive(stream::iter(body), &dir.join("incoming"), 7, sha256, size, 1000).await
    }

    fn left(dir: &Path) -> usize {
        fs_err::read_dir(dir.join("incoming")).map_or(0, Iterator::count)
    }

    #[tokio::test]
    async fn the_file_of_the_ticket_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let sha256 = hex::encode(Sha256::digest(CONTENT));
        for _ in 0..2 {
            let path = send(dir.path(), pieces(), &sha256, 25).await.unwrap();
            assert_eq!(path, path_of(&dir.path().join("incoming"), 7));
            assert_eq!(fs_err::read(&path).unwrap(), CONTENT);
            assert_eq!(left(dir.path()), 1);
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let sha256 = hex::encode(Sha256::digest(CONTENT));
        let mut broken = pieces();
        broken.insert(1, Err("reset by peer".to_owned()));
        let cases: [(Vec<_>, &str, u64, &str); 6] = [
            (pieces(), &sha256, 24, "more than the 24 bytes"),
            (pieces(), &sha256, 26, "25 of 26 bytes"),
            (pieces(), &"0".repeat(64), 25, "the ticket is for 000"),
            (broken, &sha256, 25, "reset by peer"),
            (Vec::new(), &sha256, 25, "0 of 25 bytes"),
            (pieces(), &sha256, 1001, "at most 1000 are taken"),
        ];
        for (body, sha256, size, expected) in cases {
            let error = send(dir.path(), body, sha256, size).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(left(dir.path()), 0, "{expected}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_drone_that_falls_silent_or_hangs_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let silent = stream::iter(pieces().into_iter().take(1)).chain(stream::pending());
        let incoming = dir.path().join("incoming");
        let upload = receive(Box::pin(silent), &incoming, 7, "", 25, 1000);
        assert!(matches!(upload.await, Err(UploadError::Silent)));
        assert_eq!(left(dir.path()), 0);
        let silent = stream::iter(pieces().into_iter().take(1)).chain(stream::pending());
        let upload = receive(Box::pin(silent), &incoming, 7, "", 25, 1000);
        assert!(tokio::time::timeout(Duration::from_secs(1), upload).await.is_err());
        assert_eq!(left(dir.path()), 0);
    }
}
