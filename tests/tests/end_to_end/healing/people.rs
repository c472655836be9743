//! What people see and do on the command line.

use std::process::{Command, Output};

use swarm_tests::tools;

use super::*;

struct Cli {
    url: String,
    key: PathBuf,
}

impl Cli {
    fn run(&self, words: &[&str]) -> Result<Output> {
        let mut command = Command::new(tools::program("swarm")?);
        command.args(["--url", &self.url]).arg("--admin-key-file").arg(&self.key).args(words);
        Ok(command.env_remove("ADMIN_KEY").output()?)
    }

    /// Standard output of a command that must end well.
    fn text(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words)?;
        ensure!(output.status.success(), "swarm {}: {output:?}", words.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn json(&self, words: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.text(&[words, &["--json"]].concat())?)?)
    }

    /// Exit status and standard error of a command that must not.
    fn fails(&self, words: &[&str]) -> Result<(i32, String)> {
        let output = self.run(words)?;
        ensure!(!output.status.success(), "swarm {}: {output:?}", words.join(" "));
        Ok((output.status.code().unwrap_or(-1), String::from_utf8(output.stderr)?))
    }
}

#[test]
fn people_ping_look_and_act_on_the_command_line() -> Result<()> {
    let swarm = Setup { drones: 2, ..setup(healing("5s")) }.start()?;
    let cli = Cli { url: swarm.http.url.clone(), key: swarm.data().join("admin.key") };

    let ping = until("the worker to be there", SOON, || {
        let ping = cli.json(&["drone", "ping", "d1"])?;
        Ok((ping["metrics"]["worker"] != "starting").then_some(ping))
    })?;
    ensure!(ping["status"] == "ok" && ping["latency_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{ping}");
    ensure!(ping["clock_skew_ms"].is_i64() && ping["metrics"]["worker"] == "alive", "{ping}");
    let all = cli.json(&["drone", "ping", "--all"])?;
    ensure!(all["answered"] == 2 && all["pinged"] == 2, "one broadcast, everybody answers: {all}");
    let last = cli.json(&["drone", "ping"])?;
    ensure!(last["drones"]["d2"]["latency"]["count"].as_u64().is_some_and(|count| count > 0), "{last}");
    ensure!(cli.text(&["drone", "ping"])?.contains("MEDIAN"));
    let (status, error) = cli.fails(&["drone", "ping", "nobody"])?;
    ensure!(status == 1 && error.contains("there is no drone nobody"), "{status} {error}");

    let shown = until("a heartbeat with it", SOON, || {
        let shown = cli.text(&["drone", "show", "d1"])?;
        Ok((!shown.contains("worker starting")).then_some(shown))
    })?;
    for part in ["identity", "type", "round trip", "min ", "well, worker alive", "reboots", "never: only lxc and qemu"]
    {
        ensure!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    ensure!(cli.json(&["drone", "show", "d1"])?["escalation"]["evidence"].is_array());
    let healing = cli.text(&["healing"])?;
    ensure!(healing.contains("all 2 drones are well") && healing.contains("swarm notify test"), "{healing}");

    cli.text(&["drone", "wish", "d1", "--vmid", "104", "--protected", "true"])?;
    let wishes = cli.json(&["drone", "wish", "d1"])?;
    ensure!(wishes["vmid"] == "104" && wishes["protected"] == true, "{wishes}");
    ensure!(cli.text(&["drone", "set-type", "d1", "lxc"])?.contains("d1 counts as lxc"));
    let (status, error) = cli.fails(&["drone", "reboot", "d1"])?;
    ensure!(status == 1 && error.contains("by its own detection it is"), "both must agree: {status} {error}");
    ensure!(cli.text(&["drone", "set-type", "d1", "auto"])?.contains("d1 counts as "));
    ensure!(cli.text(&["drone", "restart", "d1"])?.contains("restart_service by bus: done"));
    ensure!(cli.text(&["drone", "restart", "d1", "--hard"])?.contains("hard_restart by bus: done"));
    ensure!(cli.text(&["drone", "reset", "d1"])?.contains("d1 is at level 0"));
    ensure!(cli.text(&["healing"])?.contains("d1: hard_restart by bus: done"));
    cli.text(&["drone", "ssh-key", "d1"])?;

    ensure!(cli.text(&["control", "unground"])?.contains("nothing to do"));
    ensure!(cli.text(&["control", "reset-upload", "d1"])?.contains("nothing to do"));
    let (status, error) = cli.fails(&["notify", "test"])?;
    ensure!(status == 1 && error.contains("[notify]"), "{status} {error}");
    ensure!(cli.text(&["notify", "list"])?.contains("test"), "it is listed all the same");

    let stranger = Cli { key: swarm.dir().join("no.key"), ..cli };
    fs_err::write(&stranger.key, "wrong")?;
    let (status, error) = stranger.fails(&["healing"])?;
    ensure!(status == 4, "{status} {error}");
    Ok(())
}
