//! A small blocking client of the façade. Finds out where the controller is and which key to send; never shows the key.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use swarm_api::{ErrorBody, Orchestrator};
use swarm_common::errors::chain_once;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use super::problem::{Exit, Problem};
use super::sse::Stream;
use super::started::UpState;

/// Where the controller is if nothing else is said.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8100";
/// Where a controller installed as a service keeps its data.
const SYSTEM_DATA: &str = "/var/lib/build-swarm";
/// Where `swarm up` keeps its data if nothing else is said.
pub const UP_DATA: &str = ".swarm";
/// Longest wait for an answer that is not a stream.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest silence of a stream; the façade says something every 15 s.
const SILENCE: Duration = Duration::from_secs(50);
/// Without a byte taken or an answer for so long, an upload has failed.
const STALL: Duration = Duration::from_secs(120);
/// Tries with a controller that is busy or away.
const TRIES: u32 = 40;
/// Between two of them.
const BETWEEN: Duration = Duration::from_secs(3);
/// Largest answer taken.
const MAX_ANSWER: u64 = 256 << 20;

/// Where the controller is and which key to send, as the command line says.
#[derive(Debug, Clone, Default)]
pub struct Address {
    /// `--url`.
    pub url: Option<String>,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--admin-key-file`.
    pub key_file: Option<PathBuf>,
    /// `ADMIN_KEY`.
    pub key: Option<String>,
}

impl Address {
    /// The same with the data directory `swarm up` uses if none is named, where nothing else was said: `.swarm` below the
    /// current directory, if it is this user's. With a key from elsewhere it is not looked at, so that no directory can make
    /// that key go to an address of its own.
    #[must_use]
    pub fn or_here(mut self) -> Self {
        let said = self.url.is_some() || self.data.is_some() || self.key_file.is_some();
        let key = self.key.as_ref().is_some_and(|key| !key.trim().is_empty());
        let here = Path::new(UP_DATA);
        let owner = fs_err::metadata(here).map(|found| std::os::unix::fs::MetadataExt::uid(&found));
        if !said && !key && owner.is_ok_and(|owner| owner == nix::unistd::geteuid().as_raw()) {
            self.data = UpState::read(here).ok().flatten().map(|_| here.to_owned());
        }
        self
    }

    /// `--url`, else what `swarm up` wrote into the data directory, else this machine's public port.
    pub fn base(&self) -> String {
        let known = || Some(UpState::read(self.data.as_deref()?).ok()??.url);
        let url = self.url.clone().or_else(known).unwrap_or_else(|| DEFAULT_URL.to_owned());
        url.trim_end_matches('/').to_owned()
    }

    /// The admin key: a file that was named, the environment, the data directory, the service's data directory.
    fn admin_key(&self) -> Result<Option<String>, Problem> {
        if let Some(path) = &self.key_file {
            let text = fs_err::read_to_string(path)
                .map_err(|error| Problem::new("can't read the admin key").with(error).exit(Exit::Authentication))?;
            return Ok(Some(text.trim().to_owned()));
        }
        if let Some(key) = self.key.as_ref().filter(|key| !key.trim().is_empty()) {
            return Ok(Some(key.trim().to_owned()));
        }
        let places = [self.data.as_deref(), Some(Path::new(SYSTEM_DATA))];
        let found = places.into_iter().flatten().find_map(|dir| fs_err::read_to_string(dir.join("admin.key")).ok());
        Ok(found.map(|text| text.trim().to_owned()))
    }
}

/// An upload that was not taken.
#[derive(Debug)]
pub struct UploadFailed {
    /// What the person reads.
    pub problem: Problem,
    /// Trying again may help.
    pub again: bool,
    /// The controller has no room.
    pub full: bool,
}

/// Talks to one controller.
#[derive(Clone)]
pub struct Client {
    base: String,
    key: Option<String>,
    actor: String,
    agent: Agent,
    patience: Duration,
    /// The key goes with reads, too: the administrators' port wants it always.
    always_signed: bool,
}

/// A part of a build log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPart {
    /// Offset of the first byte.
    pub offset: u64,
    /// The bytes; none if there are none yet.
    pub bytes: Vec<u8>,
    /// Length of the log so far.
    pub total: u64,
    /// It grows no more.
    pub ended: bool,
}

impl Client {
    /// A client of the controller at `address`.
    ///
    /// # Errors
    /// When a key file was named that can't be read.
    pub fn new(address: &Address) -> Result<Self, Problem> {
        let base = address.base();
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            return Err(Problem::usage(format!("{base:?} is no address of a controller"))
                .next("write it like http://127.0.0.1:8100"));
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // a redirect would carry the key to somebody else
            .max_redirects(0)
            .user_agent(concat!("swarm/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(10)));
        if base.contains("//127.") || base.contains("//localhost") || base.contains("//[::1]") {
            config = config.proxy(None);
        }
        let user = std::env::var("USER").unwrap_or_else(|_| "admin".to_owned());
        let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok()).unwrap_or_default();
        let agent = config.build().new_agent();
        Ok(Self {
            base,
            key: address.admin_key()?,
            actor: format!("{user}@{host}"),
            agent,
            patience: PATIENCE,
            always_signed: false,
        })
    }

    /// The same with another patience for each answer.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// A client of the same controller's administrators' port.
    ///
    /// # Errors
    /// As [`Client::get`], without a key, and when there is no such port.
    pub fn admin(&self) -> Result<Self, Problem> {
        if self.key.is_none() {
            return Err(self.not_admitted());
        }
        let known: Orchestrator = self.get("/api/v1/orchestrator")?;
        let port = known.admin_port.ok_or_else(|| {
            Problem::new("this controller has no administrators' port").next("set http.admin_port in its configuration")
        })?;
        let uri: ureq::http::Uri = self.base.parse().unwrap_or_default();
        let (scheme, host) = (uri.scheme_str().unwrap_or("http"), uri.host().unwrap_or_default());
        Ok(Self { base: format!("{scheme}://{host}:{port}"), always_signed: true, ..self.clone() })
    }

    /// Where the controller is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether there is an admin key to send.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Reads.
    ///
    /// # Errors
    /// When the controller can't be reached, refuses, or answers something else.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        let request = self.reading(path).config().timeout_global(Some(self.patience)).build();
        self.finish(request.call())
    }

    /// Reads what only admins may read.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub fn get_as_admin<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        let request = self.agent.get(format!("{}{path}", self.base)).config().timeout_global(Some(PATIENCE)).build();
        self.finish(self.signed(request).call())
    }

    /// [`Client::post`], waiting for a controller that is busy or away for a while.
    ///
    /// # Errors
    /// As [`Client::post`]; after two minutes of being busy or away.
    pub fn post_patiently<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Problem> {
        self.patiently(|| {
            let request = self.agent.post(format!("{}{path}", self.base));
            let request = request.config().timeout_global(Some(PATIENCE)).build();
            self.signed(request).send_json(body)
        })
    }

    /// [`Client::get`], waiting for a controller that is busy or away for a while.
    ///
    /// # Errors
    /// As [`Client::get`]; after two minutes of being busy or away.
    pub fn get_patiently<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        self.patiently(|| {
            let request = self.agent.get(format!("{}{path}", self.base));
            request.config().timeout_global(Some(PATIENCE)).build().call()
        })
    }

    fn patiently<T: DeserializeOwned>(
        &self,
        send: impl Fn() -> Result<Response<Body>, ureq::Error>,
    ) -> Result<T, Problem> {
        for _ in 1..TRIES {
            match send() {
                Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => {}
                Err(ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::Timeout(_)) => {}
                done => return self.finish(done),
            }
            std::thread::sleep(BETWEEN);
        }
        self.finish(send())
    }

    /// Puts a file with the ticket it is wanted by, streamed.
    ///
    /// # Errors
    /// When it was not taken, with whether trying again helps.
    pub fn upload<T: DeserializeOwned>(&self, path: &str, ticket: &str, file: &Path) -> Result<T, UploadFailed> {
        let unread = |error: std::io::Error| UploadFailed { problem: error.into(), again: false, full: false };
        let body = fs_err::File::open(file).map_err(unread)?;
        let size = body.metadata().map_err(unread)?.len();
        let answer = self
            .agent
            .put(format!("{}{path}", self.base))
            .config()
            .timeout_per_read(Some(STALL))
            .timeout_per_write(Some(STALL))
            .build()
            .header("X-Upload-Ticket", ticket)
            .header("Content-Length", size.to_string())
            .header("Content-Type", "application/octet-stream")
            .send(ureq::SendBody::from_owned_reader(body));
        let status = answer.as_ref().map_or(StatusCode::SERVICE_UNAVAILABLE, Response::status);
        // who has no ticket any more gets a new one; a controller that stops or is busy comes back
        let again = [
            StatusCode::UNAUTHORIZED,
            StatusCode::CONFLICT,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        let (again, full) = (again.contains(&status), status == StatusCode::INSUFFICIENT_STORAGE);
        self.finish(answer).map_err(|problem| UploadFailed { problem, again, full })
    }

    /// Text that only admins may read.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub fn text_as_admin(&self, path: &str) -> Result<String, Problem> {
        let request = self.agent.get(format!("{}{path}", self.base)).config().timeout_global(Some(PATIENCE)).build();
        let answer = self.accepted(self.signed(request).call().map_err(|error| self.unreachable(&error))?)?;
        answer.into_body().with_config().limit(MAX_ANSWER).read_to_string().map_err(|error| self.unreachable(&error))
    }

    /// Writes.
    ///
    /// # Errors
    /// As [`Client::get`], and when the key is missing or wrong.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Problem> {
        let request =
            self.agent.post(format!("{}{path}", self.base)).config().timeout_global(Some(self.patience)).build();
        self.finish(self.signed(request).send_json(body))
    }

    /// Removes.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        let request =
            self.agent.delete(format!("{}{path}", self.base)).config().timeout_global(Some(self.patience)).build();
        self.finish(self.signed(request).call())
    }

    /// Opens a stream of bytes; without bound in time.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn stream(&self, path: &str) -> Result<impl Read + use<>, Problem> {
        let answer = self.reading(path).call().map_err(|error| self.unreachable(&error))?;
        Ok(self.accepted(answer)?.into_body().into_reader())
    }

    /// Opens a stream of events, after the one with the number `last` if that is given. A stream that is silent for longer
    /// than the façade's signs of life allow is broken off.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn told(&self, path: &str, last: Option<u64>) -> Result<Stream<impl Read + use<>>, Problem> {
        let request = self.reading(path).header("Accept", "text/event-stream");
        let request = match last {
            Some(last) => request.header("Last-Event-ID", last.to_string()),
            None => request,
        };
        let request = request.config().timeout_per_read(Some(SILENCE)).build();
        let answer = self.accepted(request.call().map_err(|error| self.unreachable(&error))?)?;
        Ok(Stream::new(answer.into_body().into_reader()))
    }

    /// A part of a build log, as an HTTP range names it; empty when there is nothing there yet.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn log_part(&self, build: u64, attempt: u32, range: &str) -> Result<LogPart, Problem> {
        let request = self.agent.get(format!("{}/api/v1/builds/{build}/{attempt}/log", self.base));
        let request = request.header("Range", range).config().timeout_global(Some(self.patience)).build();
        let answer = request.call().map_err(|error| self.unreachable(&error))?;
        let text = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let total = text("x-log-total").and_then(|total| total.parse().ok()).unwrap_or(0);
        let ended = text("x-log-ended").is_some_and(|ended| ended == "true");
        let place = text("content-range");
        let first = place.as_deref().and_then(|place| place.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok());
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(LogPart { offset: total, bytes: Vec::new(), total, ended });
        }
        let mut answer = self.accepted(answer)?;
        let bytes = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let bytes = bytes.map_err(|error| self.unreachable(&error))?;
        Ok(LogPart { offset: first.unwrap_or(0), bytes, total, ended })
    }

    fn reading(&self, path: &str) -> ureq::RequestBuilder<ureq::typestate::WithoutBody> {
        let request = self.agent.get(format!("{}{path}", self.base));
        if self.always_signed { self.signed(request) } else { request }
    }

    fn signed<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        let request = request.header("X-Swarm-Actor", &self.actor);
        match &self.key {
            Some(key) => request.header("X-Admin-Key", key),
            None => request,
        }
    }

    fn finish<T: DeserializeOwned>(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<T, Problem> {
        let answer = self.accepted(answer.map_err(|error| self.unreachable(&error))?)?;
        answer.into_body().with_config().limit(MAX_ANSWER).read_json().map_err(|error| {
            Problem::new("the controller's answer is not understood")
                .with(format!("{} ({})", self.base, chain_once(&error)))
                .next("compare `swarm --version` with the controller's, in `swarm status`")
        })
    }

    fn accepted(&self, mut answer: Response<Body>) -> Result<Response<Body>, Problem> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        let said = serde_json::from_str::<ErrorBody>(&text)
            .unwrap_or_else(|_| ErrorBody { error: format!("the controller answered {status}"), hint: None });
        if status == StatusCode::UNAUTHORIZED {
            return Err(self.not_admitted());
        }
        let missing = status == StatusCode::NOT_FOUND;
        // what was asked for makes no sense: that came from the command line
        let exit = if status == StatusCode::BAD_REQUEST { Exit::Usage } else { Exit::Error };
        Err(Problem { exit, what: said.error, with: None, next: said.hint, missing })
    }

    fn not_admitted(&self) -> Problem {
        let what =
            if self.key.is_some() { "the admin key is not the controller's" } else { "this needs the admin key" };
        Problem::new(what)
            .with(&self.base)
            .next(
                "give it with --admin-key-file FILE, in ADMIN_KEY, or name the controller's data directory with --data",
            )
            .exit(Exit::Authentication)
    }

    fn unreachable(&self, error: &ureq::Error) -> Problem {
        Problem::new("the controller can't be reached")
            .with(format!("{} ({})", self.base, chain_once(error)))
            .next("start one with `swarm up` or `swarm serve`, or say where it is with --url or --data")
            .exit(Exit::Unreachable)
    }
}

/// A part of a path, percent-encoded.
pub fn segment(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~+=:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

/// `category/name` as two parts of a path.
///
/// # Errors
/// When there is no category.
pub fn package_path(package: &str) -> Result<String, Problem> {
    let bare = package.strip_prefix('=').unwrap_or(package);
    let (category, name) = bare.split_once('/').ok_or_else(|| {
        Problem::usage(format!("{package:?} has no category")).next("write category/name or category/name-version")
    })?;
    Ok(format!("{}/{}", segment(category), segment(name)))
}
