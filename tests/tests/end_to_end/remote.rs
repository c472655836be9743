//! Drones of other machines: invited, joined, building, cut off. The other machine is a directory of its own that knows the
//! controller only by the token.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use swarm_protocol::invite::Invitation;
use swarm_tests::setup::answered;
use swarm_tests::{Setup, Swarm, tools, until};

/// A build with its dependencies on two busy cores.
const BUILD: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(60);

/// A swarm that others can reach, on loopback.
fn open_swarm(drones: usize, rules: &str) -> Result<Swarm> {
    let port = tools::free_port()?;
    let bus = format!("listen = \"0.0.0.0\"\nport = {port}\npublic_url = \"tls://localhost:{port}\"");
    Setup { drones, rules: rules.to_owned(), bus, ..Setup::default() }.start()
}

fn invite(swarm: &Swarm, arguments: &[&str]) -> Result<String> {
    let said = swarm.cli(&[&["--json", "drone", "invite"], arguments].concat())?;
    let answer: Value = serde_json::from_str(&said)?;
    Ok(answer["token"].as_str().context("a token")?.to_owned())
}

/// `drone-agent join` into an empty directory; what it said when it was refused.
fn refused(dir: &Path, token: &str) -> Result<String> {
    let mut command = Command::new(tools::program("drone-agent")?);
    command.arg("join").arg("--dir").arg(dir);
    Ok(format!("{:#}", answered(&mut command, token).err().context("it was let in")?))
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs_err::metadata(path)?.permissions().mode() & 0o777)
}

#[test]
fn an_invited_drone_joins_builds_survives_a_controller_s_death_and_is_cut_off_when_revoked() -> Result<()> {
    let mut swarm = open_swarm(0, "heartbeat = \"2s\"\noffline_after = \"6s\"\nstart_grace = \"1s\"")?;
    let token = invite(&swarm, &["r1"])?;
    let said = swarm.join_drone("r1", &token, &[])?;
    ensure!(said.contains("answers") && said.contains("is ready") && said.contains("Next:"), "{said}");
    let dir = swarm.drone("r1").dir().to_owned();
    for (file, bits) in [("drone.toml", 0o600), ("drone.nk", 0o600), ("bus-ca.pem", 0o644)] {
        ensure!(mode(&dir.join(file))? == bits, "{file}");
    }
    // what was acknowledged is on disk: the controller dies at once
    swarm.kill_controller()?;
    swarm.start_controller()?;
    swarm.drone("r1").start()?;
    swarm.until_online(1)?;
    swarm.queue(&["app-misc/waggle"])?;
    swarm.until_state("=app-misc/waggle", "received", BUILD)?;

    // cut off in the middle of a build
    swarm.queue(&["app-misc/honeydrip"])?;
    swarm.until_building("=app-misc/honeydrip", BUILD)?;
    swarm.cli(&["drone", "revoke", "r1"])?;
    let entry = swarm.entry("=app-misc/honeydrip")?.context("it is in the queue")?;
    ensure!(entry["status"] == "needed" && entry["failures"] == 0, "back in the queue at no cost: {entry}");
    let nodes = swarm.http.get("/api/v1/nodes?all=true")?;
    ensure!(nodes.as_array().is_some_and(Vec::is_empty), "{nodes}");
    until("the bus to refuse the revoked drone", SOON, || {
        Ok(swarm.drone("r1").log_since(0)?.contains("does not accept this drone's key").then_some(()))
    })?;
    let members: Value = serde_json::from_str(&swarm.cli(&["--json", "bus", "members", "--all"])?)?;
    ensure!(members["members"][0]["standing"] == "revoked", "{members}");

    // its old key and its old token are worth nothing; a new invitation and a new key are
    let said = refused(&swarm.dir().join("elsewhere"), &token)?;
    ensure!(said.contains("exit status 4") && said.contains("was used already"), "{said}");
    swarm.drone("r1").cut_power()?;
    let token = invite(&swarm, &["r1"])?;
    let stays = swarm.join_drone("r1", &token, &[]).err().context("it is in a swarm already")?;
    ensure!(format!("{stays:#}").contains("--force"), "{stays:#}");
    swarm.join_drone("r1", &token, &["--force"])?;
    swarm.drone("r1").start()?;
    swarm.until_state("=app-misc/honeydrip", "received", BUILD)?;
    Ok(())
}

#[test]
fn tokens_that_are_not_good_are_refused_with_the_reason_and_leave_nobody_in() -> Result<()> {
    let swarm = open_swarm(0, "max_invites = 3")?;
    let dir = swarm.dir().join("elsewhere");
    let good = invite(&swarm, &["r1"])?;
    let invitation = Invitation::read(&good)?;

    let said = refused(&dir, "hello")?;
    ensure!(said.contains("exit status 4") && said.contains("no invitation"), "{said}");
    let said = refused(&dir, &good[..good.len() - 3])?;
    ensure!(said.contains("exit status 4") && said.contains("damaged"), "{said}");

    // somebody who stands between shows another authority
    let other = Invitation { authority: Some("ab".repeat(32)), ..invitation.clone() };
    let said = refused(&dir, &other.token())?;
    ensure!(said.contains("another one than the invitation names"), "{said}");
    // a secret that was guessed
    let secret = nkeys::KeyPair::new_user().seed()?;
    let guessed = Invitation { secret, ..invitation.clone() };
    let said = refused(&dir, &guessed.token())?;
    ensure!(said.contains("exit status 4") && said.contains("not known here"), "{said}");
    // a controller that is not there
    let port = tools::free_port()?;
    let away = Invitation { facade: format!("http://127.0.0.1:{port}"), ..invitation };
    let said = refused(&dir, &away.token())?;
    ensure!(said.contains("exit status 3") && said.contains("can't be reached"), "{said}");

    // taken back, expired
    let back = invite(&swarm, &["r2"])?;
    swarm.cli(&["drone", "invite", "--revoke", "r2"])?;
    let said = refused(&dir, &back)?;
    ensure!(said.contains("exit status 4") && said.contains("taken back"), "{said}");
    let short = invite(&swarm, &["r3", "--ttl", "10s"])?;
    until("the invitation to expire", SOON, || {
        let list: Value = serde_json::from_str(&swarm.cli(&["--json", "drone", "invite", "--list"])?)?;
        let rows = list["invites"].as_array().context("a list")?;
        Ok(rows.iter().any(|row| row["name"] == "r3" && row["status"] == "expired").then_some(()))
    })?;
    let said = refused(&dir, &short)?;
    ensure!(said.contains("exit status 4") && said.contains("has expired"), "{said}");

    // bounded
    for name in ["r4", "r5"] {
        invite(&swarm, &[name])?;
    }
    let full = invite(&swarm, &["r6"]).err().context("the fourth open one")?;
    ensure!(format!("{full:#}").contains("no more than 3"), "{full:#}");
    let taken = invite(&swarm, &["r4"]).err().context("a second for one name")?;
    ensure!(format!("{taken:#}").contains("open already"), "{taken:#}");

    let members: Value = serde_json::from_str(&swarm.cli(&["--json", "bus", "members", "--all"])?)?;
    ensure!(members["members"].as_array().is_some_and(Vec::is_empty), "{members}");
    ensure!(!dir.join("drone.toml").exists() && !dir.join("bus-ca.pem").exists(), "nothing is left that looks joined");
    // no secret in the log or in the store's events
    let log = fs_err::read_to_string(swarm.dir().join("controller.log"))?;
    for token in [&good, &back, &short] {
        let secret = Invitation::read(token)?.secret;
        ensure!(!log.contains(&secret) && !log.contains(token.as_str()), "a secret is in the log");
        let events = swarm.http.text("/api/v1/events/history?limit=2000")?;
        ensure!(!events.contains(&secret), "a secret is in the events");
    }
    Ok(())
}

#[test]
fn a_swarm_that_listens_to_its_own_machine_only_invites_nobody_and_says_what_to_set() -> Result<()> {
    let swarm = Setup { drones: 0, ..Setup::default() }.start()?;
    let said = format!("{:#}", swarm.cli(&["drone", "invite", "r1"]).err().context("invited")?);
    ensure!(said.contains("bus.listen") && said.contains("http.public_url"), "{said}");
    Ok(())
}

#[test]
fn a_drone_of_this_machine_is_revoked_too_and_stays_out_after_a_restart() -> Result<()> {
    let mut swarm = Swarm::start(2, "heartbeat = \"2s\"\noffline_after = \"6s\"\nstart_grace = \"1s\"")?;
    swarm.cli(&["drone", "revoke", "d1"])?;
    until("the bus to refuse d1", SOON, || {
        Ok(swarm.drone("d1").log_since(0)?.contains("does not accept this drone's key").then_some(()))
    })?;
    swarm.kill_controller()?;
    swarm.start_controller()?;
    swarm.until_online(1)?;
    let log = fs_err::read_to_string(swarm.dir().join("controller.log"))?;
    ensure!(log.contains("this drone of local_drones stays out"), "{log}");
    // with a new key it comes in again
    swarm.drone("d1").cut_power()?;
    fs_err::remove_file(swarm.data().join("drones/d1.nk"))?;
    swarm.kill_controller()?;
    swarm.start_controller()?;
    swarm.drone("d1").start()?;
    swarm.until_online(2)
}
