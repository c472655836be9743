//! The ways to a drone whose supervisor is gone, and a drone that nobody reaches.

use std::process::Command;

use serde_json::json;
use swarm_tests::network::Cable;
use swarm_tests::{Sshd, tools};

use super::*;

fn wish(swarm: &Swarm, wishes: &Value) -> Result<()> {
    swarm.admin()?.post("/admin/api/drone-configs/d1", wishes).map(drop)
}

/// The SSH host keys d1 named in its hello: those of the machine the tests run on, if it has any.
fn known_keys(swarm: &Swarm) -> Result<Vec<String>> {
    let wishes = swarm.admin()?.admin_get("/admin/api/drone-configs/d1")?;
    Ok(serde_json::from_value(wishes["ssh_host_keys_learned"].clone())?)
}

/// Notices whose key begins with `key`, kinds only, oldest first.
fn notices(swarm: &Swarm, key: &str) -> Result<Vec<String>> {
    let list = swarm.admin()?.admin_get("/admin/api/notices?limit=200")?;
    let notices = list["notices"].as_array().context("notices are a list")?;
    let mine = notices.iter().rev().filter(|notice| notice["key"].as_str().is_some_and(|text| text.starts_with(key)));
    Ok(mine.map(|notice| notice["kind"].as_str().unwrap_or("?").to_owned()).collect())
}

#[test]
fn a_hung_supervisor_is_restarted_by_ssh_and_a_host_with_another_key_hears_nothing() -> Result<()> {
    if !Sshd::there_is("a_hung_supervisor_is_restarted_by_ssh") {
        return Ok(());
    }
    let place = tempfile::tempdir()?;
    let (manager, restarts) = recorder(place.path(), "manager", "")?;
    let drone = format!("healing.service_command = [{manager:?}, \"restart\"]");
    let mut swarm = Setup { drone, ..setup(healing("12s")) }.start()?;
    let forced = format!(
        "{} --config {} escalate --forced",
        tools::program("drone-agent")?.display(),
        swarm.dir().join("drones/d1/drone.toml").display()
    );
    let mut sshd = Sshd::start(&place.path().join("ssh"), &forced)?;
    let login = json!({
        "ssh_user": Sshd::user()?, "ssh_host": "127.0.0.1", "ssh_port": sshd.port, "ssh_key_path": sshd.key(),
    });
    wish(&swarm, &login)?;
    // beside the keys this machine has itself, and names in its hello
    let own = known_keys(&swarm)?;
    let with_own = |key: String| json!({ "ssh_host_keys": own.iter().cloned().chain([key]).collect::<Vec<_>>() });
    wish(&swarm, &with_own(sshd.host_key()?))?;
    let atom = "=stand-in/long_ms90000-1";
    let attempts = building(&mut swarm, atom)?;

    signal_supervisor(&mut swarm, Signal::SIGSTOP)?;
    let began = Instant::now();
    let call = until_called(&swarm, &restarts, 0).map_err(|error| error.context(sshd.log()))?;
    ensure!(call == "restart", "{call}");
    restarted(&mut swarm)?;
    let recovered = until_recovered(&swarm, "supervisor hung, restarted by SSH", began)?;
    let message = recovered["message"].as_str().unwrap_or_default();
    ensure!(message.contains("by ssh"), "{message}");
    ensure!(attempts.iter().all(|pid| processes::lives(*pid)), "the build lives on");

    // somebody else answers in its place
    sshd.new_host_key()?;
    let calls = recorded(&restarts).len();
    signal_supervisor(&mut swarm, Signal::SIGSTOP)?;
    until_event(&swarm, "alert", "the SSH host key of d1 is another")?;
    let told = notices(&swarm, "host-key/")?;
    ensure!(told == ["alert"], "{told:?}\n{}", swarm.logs());
    ensure!(recorded(&restarts).len() == calls, "nothing was said to it");
    // a person compares, and gives the new one
    wish(&swarm, &with_own(sshd.host_key()?))?;
    ensure!(notices(&swarm, "host-key/")? == ["alert", "resolved"]);
    until_called(&swarm, &restarts, calls).map_err(|error| error.context(sshd.log()))?;
    restarted(&mut swarm)?;
    unharmed(&mut swarm, atom)
}

#[test]
fn a_drone_whose_supervisor_is_hung_is_restarted_by_the_operators_command() -> Result<()> {
    let place = tempfile::tempdir()?;
    let (program, calls) = recorder(place.path(), "hypervisor", "")?;
    let tables =
        healing("4s") + &format!("hypervisor_restart = [{program:?}, \"restart\", \"{{vmid}}\", \"{{name}}\"]\n");
    let mut swarm = setup(tables).start()?;
    wish(&swarm, &json!({ "vmid": "104; reboot" })).expect_err("what could become a command is refused");
    wish(&swarm, &json!({ "vmid": 104 }))?;
    signal_supervisor(&mut swarm, Signal::SIGSTOP)?;
    let began = Instant::now();
    let call = until_called(&swarm, &calls, 0)?;
    ensure!(call == "restart 104 d1", "{call}");
    restarted(&mut swarm)?;
    let recovered = until_recovered(&swarm, "supervisor hung, restarted by the hypervisor", began)?;
    ensure!(recovered["message"].as_str().is_some_and(|text| text.contains("by hypervisor")), "{recovered}");
    Ok(())
}

/// Words before an agent's command line that make its machine a container by its own detection: in a mount namespace of its
/// own, /run says so. `None`, loudly, where that is not permitted.
fn in_a_container(test: &str) -> Option<Vec<String>> {
    let make = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd && echo lxc > /run/systemd/container";
    let tried = Command::new("unshare").args(["-m", "sh", "-c", make]).output();
    if !tried.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED {test}: no mount namespace can be made here; run it as root: {tried:?}");
        return None;
    }
    Some(["unshare", "-m", "sh", "-c", &format!("{make} && exec \"$@\""), "sh"].map(str::to_owned).to_vec())
}

#[test]
fn a_container_is_rebooted_where_both_agree_after_it_has_answered_and_from_outside_where_it_is_silent() -> Result<()> {
    let Some(within) = in_a_container("a_container_is_rebooted") else { return Ok(()) };
    let place = tempfile::tempdir()?;
    // the machine goes down at once: whoever was to be answered afterwards never is
    let (init, reboots) = recorder(place.path(), "init", "kill -KILL $PPID")?;
    let (program, calls) = recorder(place.path(), "hypervisor", "")?;
    let drone = format!("healing.reboot = \"dry-run\"\nhealing.reboot_command = [{init:?}, \"reboot\"]");
    // a machine that comes up says hello before its pongs count
    let healing = healing("4s").replace("wait_reboot = \"5s\"", "wait_reboot = \"20s\"");
    let tables = healing + &format!("hypervisor_reboot = [{program:?}, \"reboot\", \"{{vmid}}\"]\n");
    let mut swarm = Setup { drone, ..setup(tables) }.make()?;
    swarm.drone("d1").within = within;
    swarm.start_drone(0)?;
    swarm.until_online(1)?;
    wish(&swarm, &json!({ "vmid": "104" }))?;
    let now = ladder(&swarm)?;
    ensure!(now["detected_type"] == "lxc" && now["own_reboot"] == "dry-run", "{now}");

    let reboot = |swarm: &Swarm| swarm.admin()?.post("/admin/api/drones/d1/reboot", &json!({}));
    reboot(&swarm)?;
    let last = until_done(&swarm)?;
    ensure!(last["outcome"] == "dry-run" && last["route"] == "bus", "{last}");
    ensure!(recorded(&reboots).is_empty(), "it only said so");

    // the operator's word against it: refused before anything is sent
    swarm.http.post("/api/v1/nodes/d1/set-type", &json!({ "drone_type": "bare-metal" }))?;
    let refused = format!("{:#}", reboot(&swarm).expect_err("bare metal is never rebooted"));
    ensure!(refused.contains("409") && refused.contains("only lxc and qemu"), "{refused}");
    swarm.http.post("/api/v1/nodes/d1/set-type", &json!({ "drone_type": "auto" }))?;

    // now in earnest
    swarm.drone("d1").environment = vec![("BUILD_SWARM_HEALING_REBOOT".to_owned(), "auto".to_owned())];
    restarted(&mut swarm)?;
    until("d1 to allow reboots", SOON, || Ok((ladder(&swarm)?["own_reboot"] == "auto").then_some(())))?;
    reboot(&swarm)?;
    until_called(&swarm, &reboots, 0)?;
    let last = until_done(&swarm)?;
    ensure!(last["outcome"] == "done", "it had answered before it went down: {last}");
    // the machine is up again
    restarted(&mut swarm)?;
    until("d1 to answer", SOON, || Ok((swarm.http.get("/api/v1/ping?name=d1")?["status"] == "ok").then_some(())))?;

    signal_supervisor(&mut swarm, Signal::SIGSTOP)?;
    let began = Instant::now();
    let call = until_called(&swarm, &calls, 0)?;
    ensure!(call == "reboot 104", "{call}");
    let tried = tried(&swarm)?;
    ensure!(tried.iter().any(|deed| deed.starts_with("hard_restart bus")), "the lower levels came first: {tried:?}");
    restarted(&mut swarm)?;
    let recovered = until_recovered(&swarm, "container silent, rebooted from outside", began)?;
    ensure!(recovered["details"]["level"] == "3", "{recovered}");
    ensure!(recorded(&reboots).len() == 1, "and by nobody else: {:?}", recorded(&reboots));
    Ok(())
}

#[test]
fn a_drone_that_is_cut_off_ends_with_a_person_and_is_well_by_itself_when_it_is_back() -> Result<()> {
    let cable = Cable::lay()?;
    let environment = match cable.url() {
        url if url.is_empty() => Vec::new(),
        url => vec![("BUILD_SWARM_HTTP_PUBLIC_URL".to_owned(), url)],
    };
    let mut swarm = Setup { environment, ..setup(healing("3s")) }.make()?;
    cable.connect(&fs_err::read_to_string(swarm.data().join("bus.url"))?, &swarm.http.url)?;
    let far = swarm.drone("d1");
    far.within = cable.within();
    far.environment = vec![("BUILD_SWARM_BUS_URL".to_owned(), format!("nats://{}", cable.bus.address))];
    swarm.start_drone(0)?;
    swarm.until_online(1)?;
    let atom = "=stand-in/long_ms60000-1";
    building(&mut swarm, atom)?;
    cable.pull(true)?;
    let began = Instant::now();
    until_event(&swarm, "alert", "d1 needs a person")?;
    println!("cut off: a person was told after {:.1} s", began.elapsed().as_secs_f64());
    let tried = tried(&swarm)?;
    ensure!(tried.len() == 2 && tried.iter().all(|deed| deed.contains(" bus ")), "a reboot was not tried: {tried:?}");
    cable.pull(false)?;
    until_recovered(&swarm, "cut off, and plugged in again", began)?;
    ensure!(
        notices(&swarm, "drone/")?.last().is_some_and(|kind| kind == "resolved"),
        "{:?}",
        notices(&swarm, "drone/")?
    );
    unharmed(&mut swarm, atom)
}
