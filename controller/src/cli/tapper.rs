//! `swarm events tapper …`: a key for a program that reads events on the bus. The secret half is made here and stays here.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use swarm_api::{DroneDone, MembersAnswer, TapperAnswer, TapperBody};
use swarm_common::errors::chain_once;

use super::bus::{members, tapper_path};
use super::{Context, Problem};
use crate::bus::keys;

/// `swarm events tapper NAME`, `--list`, `--revoke NAME`
#[derive(Debug, Args)]
pub struct TapperArgs {
    /// Name of the tapper
    #[arg(required_unless_present_any = ["list", "revoke"])]
    name: Option<String>,
    /// Where its key and the bus's authority are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Show the tappers
    #[arg(long, conflicts_with_all = ["name", "revoke"])]
    list: bool,
    /// Let a tapper read no more
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    revoke: Option<String>,
}

/// What a tapper has on disk and where it connects.
#[derive(Debug, Serialize)]
struct Made {
    #[serde(flatten)]
    answer: TapperAnswer,
    key_file: PathBuf,
    authority_file: Option<PathBuf>,
}

/// Runs the command.
pub fn run(context: &Context, args: &TapperArgs) -> Result<(), Problem> {
    let client = context.client()?;
    if args.list {
        let mut answer: MembersAnswer = client.get_as_admin("/api/v1/bus/members")?;
        answer.members.retain(|member| member.role == "tapper");
        return context.screen.show(&answer, |answer| members(&answer.members, &context.screen));
    }
    if let Some(name) = &args.revoke {
        let done: DroneDone = client.delete(&tapper_path(name))?;
        return context.screen.show(&done, |done| format!("the tapper {} is {}", done.name, done.status));
    }
    let name = args.name.clone().unwrap_or_default();
    let key = keys::enrol_tapper(&args.dir, &name)
        .map_err(|error| Problem::new("can't make the tapper's key").with(chain_once(&error)))?;
    let answer: TapperAnswer = client.post("/api/v1/tappers", &TapperBody { name, key: key.id })?;
    let authority_file = answer.authority.as_ref().map(|pem| write_authority(&args.dir, pem)).transpose()?;
    let made = Made { answer, key_file: key.seed_file, authority_file };
    context.screen.show(&made, render)
}

fn write_authority(dir: &Path, pem: &str) -> Result<PathBuf, Problem> {
    let path = dir.join("bus-ca.pem");
    fs_err::write(&path, pem)?;
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
    Ok(path)
}

fn render(made: &Made) -> String {
    let answer = &made.answer;
    let url = answer.public_url.as_ref().unwrap_or(&answer.url);
    let mut tap = format!("nats sub --server {url} --nkey {}", made.key_file.display());
    if let Some(path) = &made.authority_file {
        tap += &format!(" --tlsca {}", path.display());
    }
    let waiting = if answer.status == "waiting" {
        "\nThe bus is not the controller's own: its operator adds this tapper first (`swarm bus permissions`)."
    } else {
        ""
    };
    format!(
        "{name} may read events and nothing else.{waiting}\n  key        {key} (keep it private)\n  events     {events} \
         (MessagePack)\n  as JSON    {json} (with events.json = true)\n  try it     {tap} '{json}'\n  replay     GET \
         /api/v1/events/history?since=<number>",
        name = answer.name,
        key = made.key_file.display(),
        events = answer.events,
        json = answer.json_events,
    )
}
