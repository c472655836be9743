//! `make demo` itself: a swarm of three drones builds the demo repository, and a client installs from the binhost alone
//! with signature verification on. The script checks each of its promises and ends with 0 only if all were kept.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use swarm_tests::tools;

#[test]
fn the_demo_keeps_its_promises() -> Result<()> {
    let parent = tools::project().join("target/e2e");
    fs_err::create_dir_all(&parent)?;
    // short, because unix sockets below it have at most 108 bytes of path
    let dir = tempfile::Builder::new().prefix("d").tempdir_in(&parent)?;
    fs_err::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let demo = dir.path().join("demo");
    let output = Command::new(tools::project().join("tests/demo.sh"))
        .env("EXIT", "1")
        .env("DEMO_DIR", &demo)
        // what is under test; another build would change it under the other tests
        .env("DEMO_PROGRAMS", tools::program("swarm")?.parent().context("a folder")?)
        .env("DEMO_SECONDS", "240")
        .stdin(Stdio::null())
        .output()
        .context("run the demo")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    ensure!(said.contains("ok    and it runs there") && !said.contains("FAIL"), "{said}");
    Ok(())
}
