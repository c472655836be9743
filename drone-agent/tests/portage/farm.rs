//! Roots, attempts and a signed binhost in a temporary directory.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drone_agent::attempt::{AttemptDir, AttemptJob, AttemptState};
use fs_err as fs;
use swarm_portage::processes::belonging_to;
use swarm_portage::{RootConfig, RootSpec, create, environment};
use swarm_protocol::ids::{Attempt, BuildId, Fence};
use swarm_protocol::order::BuildJob;
use swarm_protocol::report::{BinhostAccess, BuildResult};

/// The agent under test.
pub const AGENT: &str = env!("CARGO_BIN_EXE_drone-agent");
/// Every Portage that is supported, the newest first.
pub const VERSIONS: [&str; 4] = ["3.0.83", "3.0.82.2", "3.0.77", "3.0.66.1"];
/// Bound of every wait for a real build; one takes some seconds.
pub const BUILD: Duration = Duration::from_secs(100);

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// A virtual environment with Portage of this version.
pub fn venv(version: &str) -> PathBuf {
    let given = std::env::var_os("BUILD_SWARM_PORTAGE").filter(|_| version == "3.0.83").map(PathBuf::from);
    let venv = given.unwrap_or_else(|| workspace().join(".tools").join(format!("portage-{version}")));
    assert!(venv.join("bin/emerge").exists(), "no Portage {version} in {}; `make test` sets it up", venv.display());
    venv
}

/// A directory for one test.
pub struct Farm {
    dir: tempfile::TempDir,
    demo: PathBuf,
}

impl Farm {
    pub fn new() -> Self {
        let farm = Self::at(&std::env::temp_dir());
        let made = Command::new(workspace().join("tests/tools/repository.sh"))
            .arg(&farm.demo)
            .output()
            .expect("repository.sh");
        assert!(made.status.success(), "`make test` sets it up: {}", String::from_utf8_lossy(&made.stderr));
        farm
    }

    /// One below `place`, with a demo repository that was made before.
    pub fn at(place: &Path) -> Self {
        let demo = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("portage-demo");
        Self { dir: tempfile::tempdir_in(place).expect("a directory"), demo }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn config(&self, name: &str, version: &str) -> RootConfig {
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        RootConfig {
            path: self.path().join(name),
            venv: venv(version),
            repository: self.demo.join("repository"),
            profile: format!("default/{arch}"),
            distfiles: vec![self.demo.join("distfiles")],
            build_profile: "demo".to_owned(),
            makeopts: "-j2".to_owned(),
            // Tests speak to nobody but this machine.
            make_conf: vec!["GENTOO_MIRRORS=\"\"".to_owned()],
            ..Default::default()
        }
    }

    /// A root that was made.
    pub fn root(&self, name: &str) -> RootConfig {
        self.root_with(name, &[])
    }

    /// A root with lines of make.conf.
    pub fn root_with(&self, name: &str, make_conf: &[&str]) -> RootConfig {
        self.root_of(name, "3.0.83", make_conf)
    }

    /// A root with another Portage.
    pub fn root_of(&self, name: &str, version: &str, make_conf: &[&str]) -> RootConfig {
        let mut root = self.config(name, version);
        root.make_conf.extend(make_conf.iter().map(|line| (*line).to_owned()));
        create(&RootSpec { config: root.clone(), ..Default::default() }).expect("a root");
        root
    }

    pub fn attempts(&self) -> PathBuf {
        self.path().join("attempts")
    }

    /// Puts an attempt on disk.
    pub fn attempt(&self, build: u64, root: &RootConfig, binhost: &BinhostAccess, job: BuildJob) -> AttemptDir {
        let fence = Fence { build: BuildId(build), attempt: Attempt(1) };
        let job = BuildJob { fence, slot: "0".to_owned(), repository: "swarm-demo".to_owned(), ..job };
        let job = AttemptJob { job, root: root.clone(), binhost: binhost.clone(), ..Default::default() };
        AttemptDir::create(&self.attempts(), &job).expect("an attempt")
    }

    /// Builds `cpv` to its end without a binhost.
    pub fn build(&self, build: u64, root: &RootConfig, cpv: &str) -> (AttemptDir, BuildResult) {
        self.run(self.attempt(build, root, &BinhostAccess::default(), job(cpv)))
    }

    /// Runs an attempt to its end.
    pub fn run(&self, attempt: AttemptDir) -> (AttemptDir, BuildResult) {
        attempt.spawn(Path::new(AGENT)).expect("the attempt's process");
        let result = finished(&attempt);
        (attempt, result)
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        // A test that failed half-way must not leave a build running.
        for attempt in AttemptDir::list(&self.attempts()) {
            let _ = attempt.end(Duration::from_secs(15));
        }
    }
}

pub fn job(cpv: &str) -> BuildJob {
    BuildJob { cpv: cpv.to_owned(), ..Default::default() }
}

/// Says loudly that a test did not happen on this machine, and why; the runner prints it.
pub fn skipped(test: &str, why: &str) {
    println!("SKIPPED {test}: {why}");
}

/// Waits until something holds.
pub fn wait_for(what: &str, within: Duration, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + within;
    while !done() {
        assert!(Instant::now() < end, "{what} did not happen within {within:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits for an attempt's result.
pub fn finished(attempt: &AttemptDir) -> BuildResult {
    let mut result = None;
    let end = Instant::now() + BUILD;
    while result.is_none() {
        match attempt.state() {
            AttemptState::Finished(found) => result = Some(found),
            AttemptState::Vanished => panic!("the attempt vanished: {}\n{}", errors(attempt), log(attempt)),
            _ => assert!(Instant::now() < end, "no result: {}\n{}", errors(attempt), log(attempt)),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    result.expect("a result")
}

/// What an attempt left running; its own process, which may still be on its way out, is not meant.
pub fn left_running(attempt: &AttemptDir) -> usize {
    let own = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(AGENT));
    belonging_to(attempt.path()).iter().filter(|pid| !own(pid)).count()
}

pub fn log(attempt: &AttemptDir) -> String {
    let (mut text, mut offset) = (Vec::new(), 0);
    loop {
        let chunk = attempt.read_log(offset, 1 << 20).expect("the log");
        if chunk.bytes.is_empty() && chunk.cut == 0 {
            return String::from_utf8_lossy(&text).into_owned();
        }
        offset += chunk.bytes.len() as u64 + chunk.cut;
        text.extend(chunk.bytes);
    }
}

fn errors(attempt: &AttemptDir) -> String {
    fs::read_to_string(attempt.path().join("attempt.err")).unwrap_or_default()
}

/// Fails with the log if a build did not succeed.
pub fn succeeded(attempt: &AttemptDir, result: &BuildResult) {
    assert!(result.failure.is_none(), "{:?}\n{}{}", result.failure, errors(attempt), log(attempt));
}

/// A signed binhost on loopback.
pub struct Binhost {
    pub dir: PathBuf,
    pub access: BinhostAccess,
    pub door: Arc<Door>,
    gpg: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Binhost {
    pub fn new(farm: &Farm) -> Self {
        let (dir, gpg) = (farm.path().join("binhost"), farm.path().join("gpg"));
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir_all(&gpg).unwrap();
        fs::set_permissions(&gpg, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let user = "Test Binhost <binhost@example.invalid>";
        gpg_run(
            &gpg,
            &["--pinentry-mode", "loopback", "--passphrase", "", "--quick-gen-key", user, "ed25519", "sign", "never"],
        );
        let listing = gpg_run(&gpg, &["--list-keys", "--with-colons"]);
        let print = listing.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap().trim_matches(':').to_owned();
        let public_key = gpg_run(&gpg, &["--armor", "--export", &print]);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/demo", listener.local_addr().unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let door = Arc::new(Door::default());
        let thread = std::thread::spawn({
            let (dir, stop, door) = (dir.clone(), Arc::clone(&stop), Arc::clone(&door));
            move || serve(&listener, &dir, &stop, &door)
        });
        let access = BinhostAccess { url, fingerprint: print, public_key, ..Default::default() };
        Self { dir, access, door, gpg, stop, thread: Some(thread) }
    }

    /// Exchanges a published file for another one, and tells the index so.
    pub fn forge(&self, path: &str, by: &Path) {
        let file = self.dir.join(path);
        let index = fs::read_to_string(self.dir.join("Packages")).unwrap();
        fs::copy(by, &file).unwrap();
        let size = fs::metadata(&file).unwrap().len();
        let sum = |tool: &str| {
            let said = String::from_utf8(Command::new(tool).arg(&file).output().unwrap().stdout).unwrap();
            said.split(' ').next().unwrap().to_owned()
        };
        let (md5, sha1) = (sum("md5sum"), sum("sha1sum"));
        let forged: Vec<String> = index
            .lines()
            .map(|line| match line.split_once(": ") {
                Some(("MD5", _)) => format!("MD5: {md5}"),
                Some(("SHA1", _)) => format!("SHA1: {sha1}"),
                Some(("SIZE", _)) => format!("SIZE: {size}"),
                _ => line.to_owned(),
            })
            .collect();
        fs::write(self.dir.join("Packages"), forged.join("\n") + "\n\n").unwrap();
        let _ = fs::remove_file(self.dir.join("Packages.gz"));
    }

    /// Signs and publishes what an attempt made; returns the index's TIMESTAMP.
    pub fn publish(&self, root: &RootConfig, attempt: &AttemptDir, result: &BuildResult) -> u64 {
        swarm_portage::configure_binhost(root, &self.access).expect("the key ring");
        for (number, artifact) in result.artifacts.iter().enumerate() {
            let (category, pf) = artifact.cpv.split_once('/').unwrap();
            let place = self.dir.join(category).join(pf.rsplit_once('-').unwrap().0);
            fs::create_dir_all(&place).unwrap();
            let count = fs::read_dir(&place).unwrap().count() + number + 1;
            let file = place.join(format!("{pf}-{count}.gpkg.tar"));
            fs::copy(attempt.artifact_path(artifact), &file).unwrap();
            self.portage(root, "gpkg-sign", &[file.to_str().unwrap()]);
        }
        self.portage(root, "emaint", &["binhost", "--fix"]);
        let index = fs::read_to_string(self.dir.join("Packages")).unwrap();
        index.lines().find_map(|line| line.strip_prefix("TIMESTAMP: ")).unwrap().parse().unwrap()
    }

    fn portage(&self, root: &RootConfig, program: &str, arguments: &[&str]) {
        let lock = self.gpg.with_extension("lock");
        let output = Command::new(root.venv.join("bin").join(program))
            .args(arguments)
            .env_clear()
            .envs(environment(root))
            .env("PKGDIR", &self.dir)
            .env("FEATURES", "binpkg-signing")
            .env("BINPKG_GPG_SIGNING_GPG_HOME", &self.gpg)
            .env("BINPKG_GPG_SIGNING_KEY", format!("0x{}", self.access.fingerprint))
            .env(
                "BINPKG_GPG_SIGNING_BASE_COMMAND",
                format!("/usr/bin/flock {} /usr/bin/gpg --sign --armor [PORTAGE_CONFIG]", lock.display()),
            )
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program}: {said}{}", String::from_utf8_lossy(&output.stdout));
    }
}

impl Drop for Binhost {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = Command::new("gpgconf").arg("--homedir").arg(&self.gpg).args(["--kill", "all"]).output();
    }
}

fn gpg_run(home: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new("gpg").arg("--homedir").arg(home).args(["--batch", "--quiet"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "gpg: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the server does besides giving files, and what it saw.
#[derive(Default)]
pub struct Door {
    /// Asked for as password, by Basic or Bearer.
    pub secret: Mutex<String>,
    /// wget gets no answer it could use.
    pub broken_for_wget: AtomicBool,
    /// Requests that came with the secret, as `agent path`.
    pub let_in: Mutex<Vec<String>>,
    /// Command lines in which the secret stood while a request was answered.
    pub shown: Mutex<Vec<String>>,
}

impl Door {
    /// What to answer instead of a file.
    fn refuses(&self, request: &str, path: &str) -> Option<&'static str> {
        let header = |name: &str| {
            let lines = request.lines().map(str::to_owned);
            lines
                .filter_map(|line| line.split_once(": ").map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned())))
                .find(|(k, _)| k == name)
        };
        let agent = header("user-agent").map(|(_, agent)| agent).unwrap_or_default();
        if self.broken_for_wget.load(Ordering::SeqCst) && agent.starts_with("Wget") {
            return Some("500 Broken");
        }
        let secret = self.secret.lock().unwrap().clone();
        if secret.is_empty() {
            return None;
        }
        let offered = header("authorization").map(|(_, value)| value).unwrap_or_default();
        let basic = base64(format!("swarm:{secret}").as_bytes());
        if offered != format!("Bearer {secret}") && offered != format!("Basic {basic}") {
            return Some("401 Unauthorized");
        }
        self.let_in.lock().unwrap().push(format!("{} {path}", agent.split('/').next().unwrap_or_default()));
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        let shown = lines.map(|line| String::from_utf8_lossy(&line).into_owned()).filter(|line| line.contains(&secret));
        self.shown.lock().unwrap().extend(shown);
        None
    }
}

/// For one header of a test.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().chain(&[0; 3]).take(3).fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
        for at in 0..4 {
            let letter = char::from(LETTERS[(number >> (18 - 6 * at)) as usize & 63]);
            text.push(if at <= three.len() { letter } else { '=' });
        }
    }
    text
}

/// One request after the other, GET only; enough for emerge.
fn serve(listener: &std::net::TcpListener, dir: &Path, stop: &AtomicBool, door: &Door) {
    listener.set_nonblocking(true).unwrap();
    while !stop.load(Ordering::SeqCst) {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(count) if count > 0 => request.extend(&buffer[..count]),
                _ => break,
            }
        }
        let request = String::from_utf8_lossy(&request).into_owned();
        let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches("/demo/").to_owned();
        let refused = door.refuses(&request, &path);
        let answer = match fs::read(dir.join(path)) {
            _ if refused.is_some() => {
                format!("HTTP/1.0 {}\r\nContent-Length: 0\r\n\r\n", refused.unwrap_or_default()).into_bytes()
            }
            Ok(bytes) => {
                [format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).into_bytes(), bytes].concat()
            }
            Err(_) => b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        };
        let _ = stream.write_all(&answer);
    }
}
