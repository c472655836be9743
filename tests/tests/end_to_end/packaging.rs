//! Packaging as its users meet it: what `make install` puts where, units and scripts that service managers accept, the
//! services under a real systemd, ebuilds that a real Portage reads. What takes minutes or the network is in
//! `make soak-packaging`.
//!
//! `SWARM_BLESS=1` writes the list of installed files anew.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use swarm_tests::tools;
use tempfile::TempDir;

/// A folder of ours; below the project, because a box shows the whole system but for what is mounted.
fn scratch() -> Result<TempDir> {
    let parent = tools::project().join("target/e2e");
    fs_err::create_dir_all(&parent)?;
    Ok(tempfile::Builder::new().prefix("p").tempdir_in(parent)?)
}

fn run(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("run {command:?}"))
}

/// Runs it; an error has all it printed.
fn succeed(command: &mut Command) -> Result<String> {
    let output = run(command)?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(output.status.success(), "{command:?} ended with {}:\n{text}", output.status);
    Ok(text)
}

/// `make install` or `make uninstall` of the programs beside this test.
fn make(target: &str, destination: &Path, places: &[(&str, &str)]) -> Result<String> {
    let programs = tools::program("swarm")?;
    let mut command = Command::new("make");
    command.arg("-C").arg(tools::project()).arg(target).arg(format!("DESTDIR={}", destination.display()));
    command.arg(format!("FROM={}", programs.parent().context("a folder")?.display()));
    command.args(places.iter().map(|(name, value)| format!("{name}={value}")));
    // a make above us must not hand down its jobs
    succeed(command.env_remove("MAKEFLAGS").env_remove("MFLAGS"))
}

fn files(below: &Path) -> Result<Vec<String>> {
    let (mut open, mut found) = (vec![below.to_owned()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in fs_err::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let mode = fs_err::metadata(&path)?.permissions().mode() & 0o7777;
                found.push(format!("{mode:04o} /{}", path.strip_prefix(below)?.display()));
            }
        }
    }
    found.sort_by(|a, b| a[5..].cmp(&b[5..]));
    Ok(found)
}

/// Pages of the book come and go; a subcommand has a manual page; neither is a matter of installation.
fn listed(file: &str) -> bool {
    !file.contains("/share/doc/build-swarm/docs/") && !file.contains("/share/man/man1/")
}

#[test]
fn make_install_puts_exactly_these_files_there_and_a_user_can_run_them() -> Result<()> {
    let dir = scratch()?;
    make("install", dir.path(), &[("PREFIX", "/usr")])?;
    let found = files(dir.path())?;
    let text = found.iter().filter(|file| listed(file)).fold(String::new(), |text, file| text + file + "\n");
    let golden = tools::project().join("tests/golden/installed.txt");
    if std::env::var_os("SWARM_BLESS").is_some() {
        fs_err::create_dir_all(golden.parent().context("a folder")?)?;
        fs_err::write(&golden, &text)?;
    }
    let wanted = fs_err::read_to_string(&golden)?;
    ensure!(text == wanted, "other files than tests/golden/installed.txt lists (SWARM_BLESS=1 renews it):\n{text}");
    ensure!(found.iter().any(|file| file.ends_with("/usr/share/doc/build-swarm/docs/quickstart.md")), "the book");

    let at = |path: &str| dir.path().join(path);
    let version = succeed(Command::new(at("usr/bin/swarm")).arg("--version"))?;
    ensure!(version.trim() == concat!("swarm ", env!("CARGO_PKG_VERSION")), "{version}");
    let version = succeed(Command::new(at("usr/bin/drone-agent")).arg("--version"))?;
    ensure!(version.trim() == concat!("drone-agent ", env!("CARGO_PKG_VERSION")), "{version}");
    succeed(Command::new(at("usr/bin/swarm")).args(["config", "check"]).arg(at("etc/build-swarm/controller.toml")))?;
    let check = || {
        let mut command = Command::new(at("usr/bin/drone-agent"));
        command.args(["config", "check", "--config"]).arg(at("usr/share/doc/build-swarm/drone.toml"));
        command
    };
    let refused = run(check().env("BUILD_SWARM_CREDENTIALS", at("drone.nk")))?;
    ensure!(!refused.status.success(), "a drone without a key is not ready");
    let seed = nkeys::KeyPair::new_user().seed()?;
    fs_err::write(at("drone.nk"), seed)?;
    fs_err::set_permissions(at("drone.nk"), PermissionsExt::from_mode(0o600))?;
    succeed(check().env("BUILD_SWARM_CREDENTIALS", at("drone.nk")))?;
    Ok(())
}

#[test]
fn an_upgrade_keeps_a_changed_configuration_and_uninstalling_leaves_nothing_else() -> Result<()> {
    let dir = scratch()?;
    let places = [("PREFIX", "/opt/swarm"), ("SYSCONFDIR", "/opt/etc")];
    make("install", dir.path(), &places)?;
    let unit = fs_err::read_to_string(dir.path().join("opt/swarm/lib/systemd/system/build-swarm.service"))?;
    ensure!(unit.contains("\nExecStart=/opt/swarm/bin/swarm serve --config /opt/etc/build-swarm/controller.toml\n"));
    ensure!(unit.contains("\nEnvironmentFile=-/opt/etc/build-swarm/controller.env\n"), "{unit}");
    let script = fs_err::read_to_string(dir.path().join("opt/etc/init.d/build-swarm-drone"))?;
    ensure!(script.contains("\ncommand=/opt/swarm/bin/drone-agent\n"), "{script}");
    ensure!(!script.contains(" /etc/build-swarm") && !script.contains("=/etc/build-swarm"), "{script}");

    let mine = dir.path().join("opt/etc/build-swarm/controller.toml");
    fs_err::write(&mine, "name = \"mine\"\n")?;
    make("install", dir.path(), &places)?;
    ensure!(fs_err::read_to_string(&mine)? == "name = \"mine\"\n", "an upgrade keeps it");
    make("uninstall", dir.path(), &places)?;
    ensure!(files(dir.path())? == ["0644 /opt/etc/build-swarm/controller.toml"], "{:?}", files(dir.path())?);
    Ok(())
}

#[test]
fn components_are_installed_each_for_itself_and_nonsense_is_refused() -> Result<()> {
    let dir = scratch()?;
    make("install", dir.path(), &[("COMPONENTS", "drone openrc")])?;
    let found = files(dir.path())?;
    ensure!(found.iter().any(|file| file.ends_with(" /usr/local/bin/drone-agent")), "{found:?}");
    ensure!(found.iter().any(|file| file.ends_with(" /etc/init.d/build-swarm-drone")), "{found:?}");
    for not in ["/bin/swarm", "systemd", "controller", "/init.d/build-swarm\n"] {
        ensure!(!format!("{}\n", found.join("\n")).contains(not), "{not} in {found:?}");
    }
    let fresh = scratch()?;
    for (places, word) in [
        ([("COMPONENTS", "drones")], "no component drones"),
        ([("PREFIX", "usr")], "usr is not"),
        ([("PREFIX", "/a|b")], "can't be written"),
        ([("FROM", "/nowhere")], "make release"),
    ] {
        let refused = make("install", fresh.path(), &places).err().context("it is refused")?;
        ensure!(refused.to_string().contains(word), "{word} is not in {refused}");
        ensure!(files(fresh.path())?.iter().all(|file| !file.contains("bin/")), "nothing was installed");
    }
    Ok(())
}

#[test]
fn units_are_valid_and_the_controllers_is_as_closed_as_it_can_be() -> Result<()> {
    let dir = scratch()?;
    make("install", dir.path(), &[("PREFIX", "/usr")])?;
    let units: Vec<PathBuf> = ["build-swarm", "build-swarm-drone"]
        .map(|name| dir.path().join(format!("usr/lib/systemd/system/{name}.service")))
        .into();
    let adapt = |unit: &PathBuf| -> Result<PathBuf> {
        // the programs are not installed on this machine, so verify is shown where they are
        let text = fs_err::read_to_string(unit)?;
        let copy = dir.path().join(unit.file_name().context("a name")?);
        fs_err::write(&copy, text.replace("=/usr/bin/", &format!("={}/usr/bin/", dir.path().display())))?;
        Ok(copy)
    };
    for unit in units.iter().map(adapt) {
        let said = succeed(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(unit?))?;
        ensure!(said.trim().is_empty(), "systemd-analyze verify says:\n{said}");
    }
    // 0 is closed, 10 open; the tool rounds 1.2 as "OK"
    let secure = |unit: &Path, threshold: &str| {
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--no-pager", "--offline=true", &format!("--threshold={threshold}")]).arg(unit);
        succeed(&mut command)
    };
    secure(&units[0], "15")?;
    ensure!(secure(&units[1], "15").is_err(), "a drone builds as root: if this closes, builds break");
    let drone = fs_err::read_to_string(&units[1])?;
    for line in ["Type=notify", "KillMode=process", "OOMPolicy=continue", "WatchdogSec=30s", "Restart=always"] {
        ensure!(drone.lines().any(|found| found == line), "the drone's unit has no {line}");
    }
    ensure!(!drone.contains("\nPrivateTmp="), "builds that outlive the agent would lose their /tmp");
    Ok(())
}

#[test]
fn openrc_lets_builds_outlive_their_agent_whatever_rc_conf_says() -> Result<()> {
    let dir = scratch()?;
    make("install", dir.path(), &[("PREFIX", "/usr"), ("COMPONENTS", "drone openrc")])?;
    let script = dir.path().join("etc/init.d/build-swarm-drone");
    // OpenRC has read rc.conf and conf.d when it reads the script
    let asks =
        r#"rc_cgroup_cleanup=YES; . "$1"; . "$2"; printf '%s %s %s' "$rc_cgroup_cleanup" "$supervisor" "$retry""#;
    let confd = dir.path().join("etc/conf.d/build-swarm-drone");
    let said = succeed(Command::new("sh").args(["-euc", asks, "sh"]).args([&confd, &script]).env("DRONE_ARGS", ""))?;
    ensure!(said == "no supervise-daemon TERM/30/KILL/5", "{said}");
    Ok(())
}

/// Runs a script of `tests/tools/box` in a box. `None`, said aloud, on a machine that can't have one.
fn boxed(systemd: bool, script: &str, arguments: &[&Path]) -> Result<Option<String>> {
    let tool = tools::project().join("tests/tools/box.sh");
    let possible = run(Command::new(&tool).arg("--possible"))?;
    if !possible.status.success() {
        eprintln!("not run: {}", String::from_utf8_lossy(&possible.stdout).trim());
        return Ok(None);
    }
    let mut command = Command::new(&tool);
    command.args(systemd.then_some("--systemd")).arg(tools::project().join("tests/tools/box").join(script));
    succeed(command.args(arguments)).map(Some)
}

/// An installed tree and a nats-server.
fn tree() -> Result<(TempDir, PathBuf)> {
    let dir = scratch()?;
    make("install", dir.path(), &[("PREFIX", "/usr")])?;
    Ok((dir, tools::tool("nats.sh", &[])?))
}

#[test]
fn the_controller_is_a_service_of_a_real_systemd_and_its_watchdog_bites() -> Result<()> {
    let (tree, nats) = tree()?;
    let containerfile = tools::project().join("packaging/container/Containerfile");
    let Some(said) = boxed(true, "systemd.sh", &[tree.path(), &nats, &containerfile])? else { return Ok(()) };
    ensure!(said.contains("ok    a controller that hangs is ended by the watchdog and started again"), "{said}");
    ensure!(said.contains("ok    and leaves nothing behind"), "{said}");
    Ok(())
}

#[test]
fn builds_go_on_while_systemd_stops_and_starts_their_agent() -> Result<()> {
    let (tree, nats) = tree()?;
    let (repository, portage) = (tools::repository()?, tools::tool("portage.sh", &[])?);
    let arguments = [tree.path(), &nats, &repository, &portage];
    let Some(said) = boxed(true, "systemd_farm.sh", &arguments)? else { return Ok(()) };
    ensure!(said.contains("ok    the attempt is the same process") && said.contains("ok    built once"), "{said}");
    ensure!(said.contains("ok    both stop"), "{said}");
    Ok(())
}

#[test]
fn the_ebuilds_are_read_by_a_real_portage() -> Result<()> {
    let dir = scratch()?;
    let version = env!("CARGO_PKG_VERSION");
    // Portage hashes what is there; the real ones are installed from in `make soak-packaging`
    let distfiles = dir.path().join("distfiles");
    fs_err::create_dir(&distfiles)?;
    for end in ["", "-crates", "-x86_64"] {
        fs_err::write(distfiles.join(format!("build-swarm-{version}{end}.tar.xz")), "something to hash")?;
    }
    let overlay = dir.path().join("overlay");
    tools::tool("overlay.sh", &[&overlay.display().to_string(), &distfiles.display().to_string()])?;
    let cache = |name: &str| fs_err::read_to_string(overlay.join("overlay/metadata/md5-cache").join(name));
    let source = cache(&format!("app-admin/build-swarm-{version}"))?;
    for line in [
        "IUSE=+controller +drone debug".to_owned(),
        format!("SRC_URI=build-swarm-{version}.tar.xz build-swarm-{version}-crates.tar.xz"),
        "RESTRICT=fetch test".to_owned(),
        "KEYWORDS=~amd64 ~arm64".to_owned(),
    ] {
        ensure!(source.lines().any(|found| found == line), "{line} is not in:\n{source}");
    }
    ensure!(source.contains("controller? ( acct-group/build-swarm acct-user/build-swarm )"), "{source}");
    let live = cache("app-admin/build-swarm-9999")?;
    ensure!(live.contains("PROPERTIES=live") && !live.contains("KEYWORDS=") && !live.contains("SRC_URI="), "{live}");
    ensure!(cache(&format!("app-admin/build-swarm-bin-{version}"))?.contains("SRC_URI=amd64? ("));
    ensure!(cache("acct-user/build-swarm-0")?.contains("RDEPEND=acct-group/build-swarm"));
    let manifest = fs_err::read_to_string(overlay.join("overlay/app-admin/build-swarm/Manifest"))?;
    ensure!(manifest.lines().count() == 2 && manifest.contains(" BLAKE2B ") && manifest.contains(" SHA512 "));
    Ok(())
}

/// Text between two others.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Result<&'a str> {
    let begin = text.find(from).with_context(|| format!("no {from:?}"))? + from.len();
    Ok(&text[begin..begin + text[begin..].find(to).with_context(|| format!("no {to:?} after {from:?}"))?])
}

#[test]
fn versions_are_the_same_everywhere() -> Result<()> {
    let project = tools::project();
    let read = |path: &str| fs_err::read_to_string(project.join(path));
    let version = env!("CARGO_PKG_VERSION");
    let ebuild = |name: &str| read(&format!("packaging/gentoo/app-admin/{name}.ebuild"));
    let (release, live) =
        (ebuild(&format!("build-swarm/build-swarm-{version}"))?, ebuild("build-swarm/build-swarm-9999")?);
    ensure!(release == live, "the live ebuild is the release's");
    ebuild(&format!("build-swarm-bin/build-swarm-bin-{version}"))?;
    let (cargo, container) = (read("Cargo.toml")?, read("packaging/container/Containerfile")?);
    let rust = between(&cargo, "rust-version = \"", "\"")?;
    ensure!(release.contains(&format!("RUST_MIN_VER=\"{rust}.0\"")), "the ebuild's Rust is not {rust}");
    ensure!(container.contains(&format!("FROM rust:{rust}-")), "the container's Rust is not {rust}");
    let nats = read("tests/tools/nats.sh")?;
    let nats = between(&nats, "\nversion=", "\n")?;
    ensure!(container.contains(&format!("FROM nats:{nats}-alpine")), "the container's nats-server is not {nats}");
    Ok(())
}

#[test]
fn licences_of_the_crates_are_named_by_the_ebuilds() -> Result<()> {
    // Gentoo's names of what deny.toml allows
    let gentoo = |name: &str| {
        match name {
            "Apache-2.0 WITH LLVM-exception" => "Apache-2.0-with-LLVM-exceptions",
            "BSD-2-Clause" => "BSD-2",
            "BSD-3-Clause" => "BSD",
            "BSL-1.0" => "Boost-1.0",
            "Zlib" => "ZLIB",
            "bzip2-1.0.6" => "BZIP2",
            _ => name,
        }
        .to_owned()
    };
    let deny = fs_err::read_to_string(tools::project().join("deny.toml"))?;
    let allowed = between(&deny, "allow = [", "]")?;
    let ebuilds = tools::project().join("packaging/gentoo/app-admin");
    for package in ["build-swarm", "build-swarm-bin"] {
        let name = format!("{package}/{package}-{}.ebuild", env!("CARGO_PKG_VERSION"));
        let text = fs_err::read_to_string(ebuilds.join(name))?;
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("LICENSE")).collect();
        let named = lines.join(" ").replace(['"', '='], " ");
        for licence in allowed.split('"').skip(1).step_by(2).map(gentoo) {
            if !named.split_whitespace().any(|word| word == licence) {
                bail!("{package} does not name the licence {licence}");
            }
        }
    }
    Ok(())
}

#[test]
fn services_start_an_agent_again_before_the_controller_judges_its_drone() -> Result<()> {
    let seconds = |file: &str, before: &str, after: char| -> Result<u64> {
        let text = fs_err::read_to_string(tools::project().join("packaging").join(file))?;
        let rest = text.split_once(before).with_context(|| format!("{file} says {before}"))?.1;
        Ok(rest.split_once(after).with_context(|| format!("{file}: {before} has an end"))?.0.parse()?)
    };
    let judged = swarm_core::Settings::default().healing.judge_after;
    for wait in [
        seconds("systemd/build-swarm-drone.service", "\nRestartSec=", 's')?,
        seconds("openrc/build-swarm-drone.initd", "respawn_delay:-", '}')?,
    ] {
        // with as long again for its start
        ensure!(wait * 2 * 1_000 < judged, "{wait} s, and it is judged after {judged} ms");
    }
    Ok(())
}
