//! `swarm log`.

use std::io::{Read, Write};

use clap::Args;

use super::client::Client;
use super::screen::CLOSED;
use super::{Context, Problem};
use crate::http::views::{BuildAnswer, History, QueueEntry};

/// Which log.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// A package (category/name or category/name-version), or the number of a build
    #[arg(value_name = "PACKAGE|BUILD")]
    what: String,
    /// The attempt; the newest if none is named
    attempt: Option<u32>,
    /// Go on until the attempt has ended
    #[arg(long, short)]
    follow: bool,
}

/// Runs the command.
pub fn run(context: &Context, args: &LogArgs) -> Result<(), Problem> {
    let client = context.client()?;
    let build = match args.what.parse::<u64>() {
        Ok(build) => build,
        Err(_) => find(&client, &args.what)?,
    };
    let answer: BuildAnswer = client.get(&format!("/api/v1/builds/{build}"))?;
    let attempt = match (args.attempt, answer.attempts.last()) {
        (Some(attempt), _) => attempt,
        (None, Some(newest)) => newest.attempt,
        (None, None) => {
            return Err(Problem::new(format!("{} has not been tried yet", answer.package))
                .next(format!("`swarm why {}` says what it waits for", answer.package)));
        }
    };
    if context.screen.json {
        let of_attempt = answer.attempts.iter().find(|each| each.attempt == attempt);
        return context.screen.show(&of_attempt, |_| String::new());
    }
    let follow = if args.follow { "?follow=true" } else { "" };
    copy(client.stream(&format!("/api/v1/builds/{build}/{attempt}/log{follow}"))?)
}

/// The newest build of a package: in the queue, else in the history.
fn find(client: &Client, package: &str) -> Result<u64, Problem> {
    let queue: Vec<QueueEntry> = client.get("/api/v1/queue")?;
    let queued = queue.iter().filter(|entry| means(package, &entry.package)).map(|entry| entry.id).max();
    if let Some(build) = queued {
        return Ok(build);
    }
    let history: History = client.get("/api/v1/history?limit=2000")?;
    let past = history.history.iter().find(|entry| means(package, &entry.package)).map(|entry| entry.build);
    past.ok_or_else(|| {
        Problem::new(format!("nothing is known of {package}"))
            .next("`swarm queue list` and `swarm history` show what is known")
    })
}

/// Whether `asked` (name or exact version) means the atom `known`.
pub fn means(asked: &str, known: &str) -> bool {
    let (asked, known) = (asked.trim_start_matches('='), known.trim_start_matches('='));
    asked == known || known.parse::<swarm_protocol::Cpv>().is_ok_and(|cpv| cpv.cp() == asked)
}

fn copy(mut log: impl Read) -> Result<(), Problem> {
    let mut out = std::io::stdout().lock();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = log
            .read(&mut buffer)
            .map_err(|error| Problem::new("the log broke off").with(error).next("run this again"))?;
        if read == 0 {
            return Ok(());
        }
        out.write_all(&buffer[..read]).and_then(|()| out.flush()).map_err(|_| Problem::new(CLOSED))?;
    }
}
