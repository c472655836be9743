//! `swarm up` and `swarm down`: a controller and some drones on this machine, to try it out. Each drone gets a Portage prefix
//! of its own; nothing of the system's Portage is touched.

mod stop;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use swarm_api::{Event, Events};

use super::client::{Address, Client, UP_DATA};
use super::monitor::{self, Left};
use super::problem::Problem;
use super::progress::Steps;
use super::started::{Started, UpState, attempts_below};
use super::{Context, events};
use crate::program::keep_ours;
use stop::Stop;

/// How long the controller and the drones may take to be there.
const START: Duration = Duration::from_secs(90);
/// How long a process may take to end.
const END: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);
/// Events of the past shown by the plain list.
const RECENT: usize = 20;
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
    #[arg(long, short)]
    detach: bool,
    /// Show a plain list of events, also on a terminal, instead of the monitor
    #[arg(long, conflicts_with = "detach")]
    events: bool,
}

/// Runs `swarm up`.
pub fn run(context: &Context, args: &UpArgs) -> Result<(), Problem> {
    let data = context.address.data.clone().unwrap_or_else(|| PathBuf::from(UP_DATA));
    fs_err::create_dir_all(&data).map_err(|error| Problem::new("can't make the data directory").with(error))?;
    let data = fs_err::canonicalize(&data).map_err(|error| Problem::new("can't use the data directory").with(error))?;
    if let Ok(Some(known)) = UpState::read(&data)
        && known.processes.iter().any(Started::lives)
    {
        return Err(Problem::new("a swarm is up already")
            .with(data.display())
            .next(format!("swarm down --data {}", data.display())));
    }
    let swarm = LocalSwarm::new(args, data)?;
    let mut state = UpState { url: swarm.url.clone(), processes: Vec::new() };
    let started = swarm.start(context, args, &mut state);
    if let Err(problem) = started {
        end(&swarm.data, &state);
        return Err(problem);
    }
    if args.detach {
        return swarm.summary(context, &state, true);
    }
    let watched = !args.events && !context.screen.json && monitor::is_possible();
    if watched {
        let left = monitor::show(swarm.client()?, context.screen.color, true);
        // a terminal that failed ends what was started for it
        if matches!(left, Ok(Left::Going)) {
            return swarm.summary(context, &state, true);
        }
        return finish(context, &swarm.data, &state).and(left.map(drop));
    }
    swarm.summary(context, &state, false)?;
    swarm.stay(context);
    finish(context, &swarm.data, &state)
}

/// Ends what was started, and says so.
fn finish(context: &Context, data: &Path, state: &UpState) -> Result<(), Problem> {
    let steps = Steps::new(&context.screen);
    steps.now("ending the drones, then the controller");
    let left = end(data, state);
    steps.end();
    match left {
        Some(left) => Err(Problem::new("a process does not end").with(left)),
        None if context.screen.json => Ok(()),
        None => context.screen.line("The swarm has ended. What it built stays; `swarm up` goes on from there."),
    }
}

/// Runs `swarm down`.
pub fn down(context: &Context) -> Result<(), Problem> {
    let data = context.address.data.clone().unwrap_or_else(|| PathBuf::from(UP_DATA));
    let data = fs_err::canonicalize(&data).unwrap_or(data);
    let known = UpState::read(&data).map_err(|error| Problem::new("can't read what was started").with(error))?;
    let Some(known) = known else {
        return context.screen.show(&json!({ "ended": 0 }), |_| format!("Nothing was started in {}.", data.display()));
    };
    let living = known.processes.iter().filter(|process| process.lives()).count();
    let steps = Steps::new(&context.screen);
    steps.detail("ending the drones, then the controller");
    let left = end(&data, &known);
    steps.end();
    if let Some(left) = left {
        return Err(Problem::new("a process does not end").with(left).next("look at it with ps, and run this again"));
    }
    context.screen.show(&json!({ "ended": living }), |_| match living {
        0 => format!("Nothing ran any more in {}.", data.display()),
        1 => "Ended 1 process.".to_owned(),
        living => format!("Ended {living} processes."),
    })
}

/// Where a swarm is started, and from what.
struct LocalSwarm {
    data: PathBuf,
    port: u16,
    admin_port: u16,
    url: String,
    repository: PathBuf,
    portage: PathBuf,
    profile: String,
    agent: PathBuf,
    own: PathBuf,
    stop: Stop,
}

impl LocalSwarm {
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
            stop: Stop::listen().map_err(|error| Problem::new("can't listen for signals").with(error))?,
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
        let steps = Steps::new(&context.screen);
        steps.now("starting the controller");
        let mut controller = self.spawn(&mut serve, "controller", state)?;
        let client = self.client()?;
        self.until("the controller to answer", "controller", Some(&mut controller), || {
            client.get::<Value>("/api/v1/health").is_ok()
        })?;
        for name in &names {
            if self.stop.wanted() {
                return Err(Problem::new("interrupted; what was started is ended"));
            }
            steps.now(&format!("making {name}'s Portage root and starting it"));
            self.make_root(name, args)?;
            let mut agent = Command::new(&self.agent);
            keep_ours(&mut agent);
            agent.arg("run").arg("--config").arg(self.drone_config(name, args)?);
            self.spawn(&mut agent, name, state)?;
        }
        steps.now("waiting for the drones to be online");
        let online = || {
            let status = client.get::<Value>("/api/v1/status").unwrap_or_default();
            let online = status["nodes_online"].as_u64().unwrap_or(0);
            steps.detail(&format!("waiting for the drones: {online} of {} online", args.drones));
            online == u64::from(args.drones)
        };
        let ready = self.until("the drones to be online", &names[0], None, online);
        steps.end();
        ready
    }

    /// A client of the controller that was started, with its key.
    fn client(&self) -> Result<Client, Problem> {
        let (url, data) = (Some(self.url.clone()), Some(self.data.clone()));
        Client::new(&Address { url, data, key_file: None, key: None })
    }

    fn make_root(&self, name: &str, args: &UpArgs) -> Result<(), Problem> {
        let mut command = Command::new(&self.agent);
        keep_ours(&mut command);
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
            "name = {name:?}\nstate_dir = {:?}\ncredentials = {:?}\n[bus]\nurl = {:?}\nca = {:?}\n[root]\npath = {:?}\nvenv = {:?}\n\
             repository = {:?}\nprofile = {:?}\ndistfiles = {distfiles:?}\n",
            self.data.join("agents").join(name),
            self.data.join("drones").join(format!("{name}.nk")),
            bus.trim(),
            self.data.join("bus-ca.pem"),
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
            if self.stop.wanted() {
                return Err(Problem::new("interrupted; what was started is ended"));
            }
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

    /// Shows events until somebody wants it to end: from a thread of their own, which the end of the process ends.
    fn stay(&self, context: &Context) {
        let Ok(client) = self.client() else { return };
        let screen = context.screen;
        std::thread::spawn(move || {
            let print = |event: &Event| events::print(&screen, std::slice::from_ref(event));
            let past = client.get::<Events>(&format!("/api/v1/events?limit={RECENT}")).unwrap_or_default();
            // whoever closed the output still ends the swarm by a signal
            drop(events::print(&screen, &past.events));
            drop(events::follow(&client, past.latest_id, "", &screen, print));
        });
        while !self.stop.wanted() {
            sleep(PAUSE);
        }
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
