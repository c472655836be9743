//! What the tests need of the machine: the two programs, a nats-server, Portage, the demo repository. `make test` brings
//! what is missing; a test without it fails and says so.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The project's root.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the project").to_owned()
}

/// One of the two programs, beside the test's own binary (or the folder above, for tests are in `deps`).
///
/// # Errors
/// When it was not built.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("a program lies in a folder")?;
    let target = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let path = target.join(name);
    if !path.exists() {
        bail!("{} is not built; run `cargo build --workspace --bins`, or `make test`", path.display());
    }
    Ok(path)
}

/// A port of loopback that nobody listens on now; whoever asks next may be told the same.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Runs a setup script of `tests/tools` and gives the path it prints.
///
/// # Errors
/// When the script fails; its own words are on stderr.
pub fn tool(script: &str, arguments: &[&str]) -> Result<PathBuf> {
    let path = project().join("tests/tools").join(script);
    let output = Command::new(&path).args(arguments).output().with_context(|| format!("run {}", path.display()))?;
    if !output.status.success() {
        bail!("{script} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// The demo repository with its sources and metadata cache, made once for all tests: `<dir>/repository`,
/// `<dir>/distfiles`.
///
/// # Errors
/// When it can't be made.
pub fn repository() -> Result<PathBuf> {
    let place = project().join(".tools/repository");
    tool("repository.sh", &[place.to_str().context("a path in UTF-8")?])
}
