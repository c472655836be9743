//! `drone-agent join`: comes into a swarm with the token of an invitation. Makes the drone's key here, where its secret half
//! stays; checks the bus's authority against the token; proves to have the token without showing it; and writes what
//! `drone-agent run` needs.
//!
//! Decides nothing about the swarm: the controller says whether the invitation is good. What is trusted comes from the
//! token; what came over HTTP is checked against it or only shown. A join that was interrupted is done again with the same
//! key, which the controller answers the same.

mod files;
mod http;

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use nkeys::KeyPair;
use swarm_common::errors::chain;
use swarm_portage::{RootConfig, RootSpec, create};
use swarm_protocol::invite::{EnrolRequest, Invitation, TokenError, signature_text, statement};
use thiserror::Error;

use self::files::ConfigDir;
use crate::bus::servers;

/// How long the bus may take to answer a drone that was let in.
const BUS_WITHIN: Duration = Duration::from_secs(10);
/// Tokens have a few hundred characters.
const MAX_TOKEN: u64 = 64 * 1024;

/// `drone-agent join …`
#[derive(Debug, Args)]
pub struct JoinArguments {
    /// The token; without it, it is asked for on the terminal or read from standard input, where no process list shows it
    token: Option<String>,
    /// Read the token from a file
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Where drone.toml, the key and the authority are written [default: /etc/build-swarm, or ~/.config/build-swarm]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The drone's memory, written into drone.toml [default: /var/lib/build-swarm/drone, or ~/.local/state/build-swarm/drone]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Leave the swarm this machine is in: its files are kept as *.old, and a new key is made
    #[arg(long)]
    force: bool,
    /// Make a root to build in at once, in this directory
    #[arg(long, value_name = "DIR", requires = "portage")]
    prefix: Option<PathBuf>,
    /// Python virtual environment with Portage in it, for the root
    #[arg(long, value_name = "VENV", requires = "prefix")]
    portage: Option<PathBuf>,
    /// The main ebuild repository, for the root
    #[arg(long, value_name = "DIR", requires = "prefix", default_value = "/var/db/repos/gentoo")]
    repository: PathBuf,
    /// Portage profile below the repository's profiles/, for the root; default: the only one it names
    #[arg(long, value_name = "PROFILE", requires = "prefix")]
    profile: Option<String>,
    /// Directory with sources already at hand, for the root; may be given more than once
    #[arg(long, value_name = "DIR", requires = "prefix")]
    distfiles: Vec<PathBuf>,
}

/// Why a drone did not come in. Nothing of the token is ever in it.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The token can't be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No token.
    #[error("read the token")]
    NoToken(#[source] std::io::Error),
    /// This machine is in a swarm.
    #[error("{} is there: this machine is in a swarm already; --force leaves it (its files are kept as *.old)", path.display())]
    Joined {
        /// Its configuration.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("write what the drone needs")]
    File(#[from] std::io::Error),
    /// The key that is there can't be used.
    #[error("{} is no key of a drone: remove it and join again", path.display())]
    BadKey {
        /// The key.
        path: PathBuf,
    },
    /// The random source failed.
    #[error("make a key: {0}")]
    Key(String),
    /// The façade does not answer.
    #[error(
        "the controller at {facade} can't be reached: {why}. Check the address, the network and the firewall, and join again"
    )]
    Unreachable {
        /// Its address.
        facade: String,
        /// What the client said, for people.
        why: String,
    },
    /// Somebody else answers in the bus's stead.
    #[error(
        "the authority at {facade} is another one than the invitation names (SHA-256 {found}, expected {expected}): somebody \
         stands between, or the controller was set up anew; ask for a new invitation"
    )]
    WrongAuthority {
        /// The façade's address.
        facade: String,
        /// What was found.
        found: String,
        /// What the token has.
        expected: String,
    },
    /// The controller said no.
    #[error("{error}{}", hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    Refused {
        /// HTTP status.
        status: u16,
        /// The controller's words.
        error: String,
        /// What to do next.
        hint: Option<String>,
    },
    /// The root could not be made; the drone is in all the same.
    #[error(
        "this machine is in the swarm, but its root could not be made: {0}; make it with `drone-agent root create`"
    )]
    Root(String),
}

impl JoinError {
    /// 3: the controller can't be reached; 4: the token is not good; 1: anything else.
    pub fn exit(&self) -> ExitCode {
        match self {
            Self::Unreachable { .. } => ExitCode::from(3),
            Self::Token(_) | Self::Refused { status: 401 | 410, .. } => ExitCode::from(4),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Joins.
///
/// # Errors
/// See [`JoinError`]; what was written before can be used by the next try.
pub fn run(arguments: &JoinArguments) -> Result<(), JoinError> {
    let invitation = Invitation::read(&token(arguments)?)?;
    let dir = arguments.dir.clone().unwrap_or_else(crate::config::source::own_dir);
    let place = ConfigDir::prepare(&dir, arguments.force)?;
    let key = place.key()?;
    let authority = http::authority(&invitation)?;
    println!("Joining the swarm at {} as {} …", invitation.facade, invitation.name);
    if authority.is_none() && !invitation.bus.contains("tls://") {
        eprintln!("warning: the bus at {} is not encrypted: who can listen in reads logs and tickets", invitation.bus);
    }
    let answer = http::enrol(&invitation, &request(&invitation, &key)?)?;
    if let Some(pem) = &authority {
        place.write("bus-ca.pem", pem, 0o644)?;
    }
    let root = root(arguments, &invitation);
    let config = files::config(&place, &invitation, authority.is_some(), arguments.state_dir.as_deref(), root.as_ref());
    place.write("drone.toml", &config, 0o600)?;
    println!("Let in: {} is {} on the bus.", answer.name, key.public_key());
    if answer.admitted {
        say_how_the_bus_is(&invitation, &place, &key);
    } else {
        println!(
            "The bus is not the controller's own: its operator adds this drone to its users (`swarm bus permissions`)."
        );
    }
    if let Some(root) = &root {
        make_root(root)?;
    }
    println!("{}", next(&place, root.is_some()));
    Ok(())
}

fn token(arguments: &JoinArguments) -> Result<String, JoinError> {
    if let Some(token) = &arguments.token {
        return Ok(token.clone());
    }
    if let Some(path) = &arguments.token_file {
        return fs_err::read_to_string(path).map_err(JoinError::NoToken);
    }
    let mut text = String::new();
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprint!("Token: ");
        let _shown_or_not = std::io::stderr().flush();
        stdin.read_line(&mut text).map_err(JoinError::NoToken)?;
    } else {
        stdin.lock().take(MAX_TOKEN).read_to_string(&mut text).map_err(JoinError::NoToken)?;
    }
    Ok(text)
}

/// Two signatures over the same words: the token's key says that we have the token, ours that the key is our own.
fn request(invitation: &Invitation, key: &KeyPair) -> Result<EnrolRequest, JoinError> {
    let public = key.public_key();
    let statement = statement(&invitation.id, &public);
    let token = KeyPair::from_seed(&invitation.secret).map_err(|_| TokenError::Damaged)?;
    let sign = |pair: &KeyPair| pair.sign(&statement).map_err(|error| JoinError::Key(error.to_string()));
    Ok(EnrolRequest {
        invitation: invitation.id.clone(),
        proof: signature_text(&sign(&token)?),
        possession: signature_text(&sign(key)?),
        key: public,
    })
}

fn root(arguments: &JoinArguments, invitation: &Invitation) -> Option<RootConfig> {
    let (path, venv) = (arguments.prefix.clone()?, arguments.portage.clone()?);
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let repository = absolute(&arguments.repository);
    let profile = arguments.profile.clone().or_else(|| crate::cli::only_profile(&repository).ok()).unwrap_or_default();
    Some(RootConfig {
        path: absolute(&path),
        venv: absolute(&venv),
        repository,
        profile,
        distfiles: arguments.distfiles.iter().map(|dir| absolute(dir)).collect(),
        build_profile: invitation.profile.clone().unwrap_or_default(),
        ..RootConfig::default()
    })
}

fn make_root(root: &RootConfig) -> Result<(), JoinError> {
    if root.profile.is_empty() {
        return Err(JoinError::Root(format!("{} names no single profile; give --profile", root.repository.display())));
    }
    let spec = RootSpec { config: root.clone(), binhost: None, request_signature: false };
    create(&spec).map_err(|error| JoinError::Root(chain(&error)))?;
    println!("root {} is ready", root.path.display());
    Ok(())
}

/// Connects once, so that a closed port is found now and not when the drone is missed.
fn say_how_the_bus_is(invitation: &Invitation, place: &ConfigDir, key: &KeyPair) {
    let Ok(seed) = key.seed() else { return };
    let connect = async {
        let mut options = async_nats::ConnectOptions::with_nkey(seed).connection_timeout(BUS_WITHIN);
        if invitation.authority.is_some() {
            options = options.add_root_certificates(place.dir.join("bus-ca.pem")).require_tls(true);
        }
        let tried = tokio::time::timeout(BUS_WITHIN, options.connect(servers(&invitation.bus).as_slice())).await;
        match tried {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", BUS_WITHIN.as_secs())),
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map(|runtime| runtime.block_on(connect)) {
        Ok(None) => println!("The bus at {} answers.", invitation.bus),
        Ok(Some(why)) => eprintln!(
            "warning: the bus at {} can't be reached from here: {why}. Open that port on the controller's side; the drone \
             goes on trying",
            invitation.bus
        ),
        Err(error) => eprintln!("warning: the bus was not tried: {error}"),
    }
}

fn next(place: &ConfigDir, has_root: bool) -> String {
    let config = place.dir.join("drone.toml");
    let mut steps = Vec::new();
    if !has_root {
        steps.push("drone-agent root create --prefix DIR --repository DIR --portage VENV".to_owned());
        steps.push(format!("name that root in the [root] section of {}", config.display()));
    }
    // where the agent looks by itself it need not be told
    let told = if place.dir == crate::config::source::own_dir() {
        String::new()
    } else {
        format!(" --config {}", config.display())
    };
    steps.push(format!("drone-agent{told} config check"));
    steps.push(format!("drone-agent{told} run"));
    let lines: Vec<String> = steps.iter().enumerate().map(|(n, step)| format!("  {}. {step}", n + 1)).collect();
    format!("Next:\n{}", lines.join("\n"))
}
