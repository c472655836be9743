//! `swarm up` and `swarm down`: a controller and some drones on this machine, to try it out. Each drone gets a Portage prefix
//! of its own; nothing of the system's Portage is touched.

pub mod state;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::Context;
use super::client::{Address, Client};
use super::problem::Problem;
use state::{Started, UpState, attempts_below};

/// How long the controller and the drones may take to be there.
const START: Duration = Duration::from_secs(90);
/// How long a process may take to end.
const END: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);
/// Where a Gentoo machine has its tree.
const GENTOO: &str = "/var/db/repos/gentoo";

/// What to start.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Drones to start
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    drones: u8,
    /// The ebuild repository [default: /var/db/repos/gentoo]
    #[arg(long, value_name = "DIR")]
    repository: Option<PathBuf>,
    /// Source archives already at hand
    #[arg(long, value_name = "DIR")]
    distfiles: Option<PathBuf>,
    /// Portage profile, below the repository's profiles [default: default/amd64 or default/arm64, by this machine]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Python virtual environment with Portage
    #[arg(long, value_name = "VENV", env = "BUILD_SWARM_PORTAGE")]
    portage: Option<PathBuf>,
    /// Port of the façade [default: 8100 if free, else any]
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// Port for administrators [default: 8093 if free, else any]
    #[arg(long, value_name = "PORT")]
    admin_port: Option<u16>,
    /// Free space a drone needs
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    min_free_disk: String,
    /// Return when all drones are online; `swarm down` ends them
    #[arg(long)]
    detach: bool,
}

/// Runs `swarm up`.
pub fn run(context: &Context, args: &UpArgs) -> Result<(), Problem> {
    let data = context.address.data.clone().unwrap_or_else(|| PathBuf::from(".swarm"));
    fs_err::create_dir_all(&data).map_err(|error| Problem::new("can't make the data directory").with(error))?;
    let data = fs_err::canonicalize(&data).map_err(|error| Problem::new("can't use the data directory").with(error))?;
    if let Ok(Some(known)) = UpState::read(&data)
        && known.processes.iter().any(Started::lives)
    {
        return Err(Problem::new("a swarm is up already")
            .with(data.display())
            .next(format!("swarm down --data {}", data.display())));
    }
    let place = Place::new(args, data)?;
    let mut state = UpState { url: place.url.clone(), processes: Vec::new() };
    let started = place.start(context, args, &mut state);
    if let Err(problem) = started {
        end(&place.data, &state);
        return Err(problem);
    }
    place.summary(context, &state, args.detach)?;
    if args.detach {
        return Ok(());
    }
    place.stay(context);
    end(&place.data, &state);
    context.screen.line("Ended.")
}

/// Runs `swarm down`.
pub fn down(context: &Context) -> Result<(), Problem> {
    let data = context.address.data.clone().unwrap_or_else(|| PathBuf::from(".swarm"));
    let data = fs_err::canonicalize(&data).unwrap_or(data);
    let known = UpState::read(&data).map_err(|error| Problem::new("can't read what was started").with(error))?;
    let Some(known) = known else {
        return context.screen.show(&json!({ "ended": 0 }), |_| format!("Nothing was started in {}.", data.display()));
    };
    let living = known.processes.iter().filter(|process| process.lives()).count();
    let left = end(&data, &known);
    if let Some(left) = left {
        return Err(Problem::new("a process does not end").with(left));
    }
    context.screen.show(&json!({ "ended": living }), |_| format!("Ended {living} processes."))
}

/// Where a swarm is started, and from what.
struct Place {
    data: PathBuf,
    port: u16,
    admin_port: u16,
    url: String,
    repository: PathBuf,
    portage: PathBuf,
    profile: String,
    agent: PathBuf,
    own: PathBuf,
}

impl Place {
    fn new(args: &UpArgs, data: PathBuf) -> Result<Self, Problem> {
        let repository = args.repository.clone().unwrap_or_else(|| PathBuf::from(GENTOO));
        let whole = |path: &Path| fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if !repository.join("profiles/repo_name").exists() {
            return Err(Problem::usage("there is no ebuild repository")
                .with(repository.display())
                .next("name one with --repository DIR"));
        }
        let portage = args.portage.clone().ok_or_else(|| {
            Problem::usage("no Portage for the drones")
                .next("python3 -m venv DIR && DIR/bin/pip install portage; then --portage DIR")
        })?;
        if !portage.join("bin/emerge").exists() {
            return Err(Problem::usage("there is no Portage in this environment")
                .with(portage.display())
                .next("DIR/bin/pip install portage"));
        }
        let own = std::env::current_exe().map_err(|error| Problem::new("can't find this program").with(error))?;
        let beside = own.with_file_name("drone-agent");
        let agent = if beside.exists() { beside } else { PathBuf::from("drone-agent") };
        let port = args.http_port.map_or_else(|| free_port(8100), Ok)?;
        let admin_port = args.admin_port.map_or_else(|| free_port(8093), Ok)?;
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        Ok(Self {
            data,
            port,
            admin_port,
            url: format!("http://127.0.0.1:{port}"),
            repository: whole(&repository),
            portage: whole(&portage),
            profile: args.profile.clone().unwrap_or_else(|| format!("default/{arch}")),
            agent,
            own,
        })
    }

    fn start(&self, context: &Context, args: &UpArgs, state: &mut UpState) -> Result<(), Problem> {
        let names: Vec<String> = (1..=args.drones).map(|n| format!("d{n}")).collect();
        let text = format!(
            "data_dir = {:?}\nlocal_drones = {names:?}\n[http]\nlisten = \"127.0.0.1\"\nport = {}\n\
             admin_port = {}\n[rules]\nmin_free_disk = {:?}\n",
            self.data, self.port, self.admin_port, args.min_free_disk
        );
        let config = self.data.join("controller.toml");
        self.write(&config, &text)?;
        let mut serve = Command::new(&self.own);
        serve.arg("serve").arg("--config").arg(&config);
        let mut controller = self.spawn(&mut serve, "controller", state)?;
        let client = Client::new(&Address {
            url: Some(self.url.clone()),
            data: Some(self.data.clone()),
            key_file: None,
            key: None,
        })?;
        self.until("the controller to answer", "controller", Some(&mut controller), || {
            client.get::<Value>("/api/v1/health").is_ok()
        })?;
        for name in &names {
            self.make_root(name, args)?;
            let mut agent = Command::new(&self.agent);
            agent.arg("run").arg("--config").arg(self.drone_config(name, args)?);
            self.spawn(&mut agent, name, state)?;
        }
        let online = || {
            client.get::<Value>("/api/v1/status").is_ok_and(|status| status["nodes_online"] == u64::from(args.drones))
        };
        if context.screen.live {
            context.screen.line("Waiting for the drones …")?;
        }
        self.until("the drones to be online", &names[0], None, online)
    }

    fn make_root(&self, name: &str, args: &UpArgs) -> Result<(), Problem> {
        let mut command = Command::new(&self.agent);
        command.args(["root", "create", "--prefix"]).arg(self.root(name)).arg("--repository").arg(&self.repository);
        command.arg("--portage").arg(&self.portage).arg("--profile").arg(&self.profile);
        if let Some(distfiles) = &args.distfiles {
            command.arg("--distfiles").arg(distfiles);
        }
        let made = command
            .output()
            .map_err(|error| Problem::new("can't run drone-agent").with(error).next("install it beside swarm"))?;
        if made.status.success() {
            return Ok(());
        }
        Err(Problem::new(format!("can't make a Portage root for {name}"))
            .with(String::from_utf8_lossy(&made.stderr).trim()))
    }

    fn root(&self, name: &str) -> PathBuf {
        self.data.join("roots").join(name)
    }

    fn drone_config(&self, name: &str, args: &UpArgs) -> Result<PathBuf, Problem> {
        let bus = fs_err::read_to_string(self.data.join("bus.url"))
            .map_err(|error| Problem::new("can't find the bus").with(error))?;
        let distfiles: Vec<PathBuf> = args.distfiles.iter().filter_map(|dir| fs_err::canonicalize(dir).ok()).collect();
        let text = format!(
            "name = {name:?}\nstate_dir = {:?}\ncredentials = {:?}\n[bus]\nurl = {:?}\n[root]\npath = {:?}\nvenv = {:?}\n\
             repository = {:?}\nprofile = {:?}\ndistfiles = {distfiles:?}\n",
            self.data.join("agents").join(name),
            self.data.join("drones").join(format!("{name}.nk")),
            bus.trim(),
            self.root(name),
            self.portage,
            self.repository,
            self.profile,
        );
        let path = self.data.join("agents").join(format!("{name}.toml"));
        fs_err::create_dir_all(self.data.join("agents").join(name))
            .map_err(|error| Problem::new("can't make a drone's directory").with(error))?;
        self.write(&path, &text)?;
        Ok(path)
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), Problem> {
        fs_err::write(path, text).map_err(|error| Problem::new("can't write a configuration").with(error))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.data.join(format!("{name}.log"))
    }

    fn spawn(&self, command: &mut Command, name: &str, state: &mut UpState) -> Result<Child, Problem> {
        let failed = |error: std::io::Error| Problem::new(format!("can't start {name}")).with(error);
        let log =
            fs_err::OpenOptions::new().create(true).append(true).open(self.log(name)).map_err(failed)?.into_parts().0;
        let errors = log.try_clone().map_err(failed)?;
        // a group of its own: Ctrl-C on this terminal is for us, who end everything in order
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0).spawn().map_err(failed)?;
        state.processes.push(Started::new(name, child.id()));
        state.write(&self.data).map_err(failed)?;
        Ok(child)
    }

    fn until(
        &self,
        what: &str,
        log: &str,
        mut child: Option<&mut Child>,
        mut done: impl FnMut() -> bool,
    ) -> Result<(), Problem> {
        let end = Instant::now() + START;
        while !done() {
            let died = child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_some()));
            if died || Instant::now() >= end {
                let text = fs_err::read_to_string(self.log(log)).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let last = lines[lines.len().saturating_sub(5)..].join("\n");
                return Err(Problem::new(format!("waited for {what}"))
                    .with(last)
                    .next(format!("look into {}", self.log(log).display())));
            }
            sleep(PAUSE);
        }
        Ok(())
    }

    fn summary(&self, context: &Context, state: &UpState, detached: bool) -> Result<(), Problem> {
        let drones: Vec<&str> = state.processes.iter().skip(1).map(|process| process.name.as_str()).collect();
        let data = self.data.display();
        let shown = json!({ "url": self.url, "data": self.data, "drones": drones, "admin_key_file": self.data.join("admin.key") });
        context.screen.show(&shown, |_| {
            let how_to_end = if detached { format!("swarm down --data {data}") } else { "Ctrl-C".to_owned() };
            format!(
                "The swarm is up at {}\n  drones     {}\n  admin key  {}\n  next       swarm --data {data} queue add CATEGORY/NAME --wait\n  end        {how_to_end}",
                self.url,
                drones.join(" "),
                self.data.join("admin.key").display()
            )
        })
    }

    /// Shows events until a signal comes.
    fn stay(&self, context: &Context) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let address = Address { url: Some(self.url.clone()), data: Some(self.data.clone()), key_file: None, key: None };
        let Ok(client) = Client::new(&address) else { return };
        runtime.block_on(async {
            let mut since = 0;
            loop {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => return,
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
                let Ok(answer) = client.get::<Value>(&format!("/api/v1/events/history?since={since}&limit=200")) else {
                    continue;
                };
                for event in answer["events"].as_array().into_iter().flatten() {
                    since = event["id"].as_u64().unwrap_or(since);
                    if context.screen.line(event["message"].as_str().unwrap_or_default()).is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// Ends what was started, last first: drones, their builds, the controller. Gives what would not end.
fn end(data: &Path, state: &UpState) -> Option<String> {
    for process in state.processes.iter().rev() {
        if process.name == "controller" {
            for attempt in attempts_below(data) {
                let _ = kill(Pid::from_raw(attempt), Signal::SIGTERM);
            }
            wait_for(|| attempts_below(data).is_empty());
        }
        if process.lives() {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGTERM);
        }
        // agents end side by side
        if process.name == "controller" {
            wait_for(|| !process.lives());
        }
    }
    wait_for(|| !state.processes.iter().any(Started::lives));
    let left: Vec<&Started> = state.processes.iter().filter(|process| process.lives()).collect();
    for process in &left {
        let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
    }
    if left.is_empty() || wait_for(|| !left.iter().any(|process| process.lives())) {
        UpState::forget(data);
        return None;
    }
    Some(left.iter().map(|process| format!("{} ({})", process.name, process.pid)).collect::<Vec<_>>().join(", "))
}

fn wait_for(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + END;
    while !done() {
        if Instant::now() >= end {
            return false;
        }
        sleep(PAUSE);
    }
    true
}

/// The usual port if nobody has it, else any free one.
fn free_port(usual: u16) -> Result<u16, Problem> {
    let probe = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());
    let address = probe(usual).or_else(|_| probe(0)).map_err(|error| Problem::new("no port is free").with(error))?;
    Ok(address.port())
}
