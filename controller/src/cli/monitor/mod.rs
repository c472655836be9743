//! `swarm monitor`: the swarm on a whole screen. `screen` is what is shown, as a value; `keys` what each key does; `draw` how it
//! looks; `feed` asks the façade. This file is the loop around them: it waits for a key, for news, or for the next second,
//! and draws only what has changed.

mod draw;
mod feed;
mod help;
mod keys;
mod log;
mod reason;
mod screen;
#[cfg(test)]
mod tests;
mod theme;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use crossterm::event::{Event as Input, EventStream, KeyEventKind};
use futures::StreamExt as _;
use ratatui::DefaultTerminal;
use swarm_common::stop::Stop;
use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::client::Client;
use super::screen::now;
use super::{Context, Problem};
use feed::Feed;
use screen::{Screen, Setting, Wish};
use theme::Theme;

/// Times move on this often.
const TICK: Duration = Duration::from_secs(1);
/// News that may wait to be drawn.
const WAITING: usize = 64;
/// A round of questions that takes longer counts as no answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// `swarm monitor`
#[derive(Debug, Args)]
pub struct MonitorArgs {}

/// How the screen was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The swarm is to go on.
    Going,
    /// The swarm is to end (of `swarm up` only).
    Ending,
}

/// Runs the command.
pub fn run(context: &Context, _: &MonitorArgs) -> Result<(), Problem> {
    if context.screen.json {
        return Err(Problem::usage("the monitor has no JSON").next("`swarm --json status` and `swarm --json fleet` do"));
    }
    if !is_possible() {
        return Err(Problem::usage("the monitor needs a terminal")
            .next("use `swarm status`, or `swarm events --follow`, where there is none"));
    }
    show(context.client()?, context.screen.color, false).map(drop)
}

/// Whether there is a terminal to show it on.
pub fn is_possible() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb
}

/// Shows the swarm until somebody leaves.
///
/// # Errors
/// When the terminal fails.
pub fn show(client: Client, color: bool, is_up: bool) -> Result<Left, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Problem::new("can't start the screen").with(error))?;
    let broken = |error: io::Error| Problem::new("the terminal failed").with(error);
    let mut terminal = ratatui::try_init().map_err(broken)?;
    let left = runtime.block_on(attend(&mut terminal, client.with_patience(PATIENCE), Theme { color }, is_up));
    // the terminal is given back whatever happened
    let restored = ratatui::try_restore().map_err(broken);
    runtime.shutdown_background();
    restored.and(left.map_err(broken))
}

async fn attend(terminal: &mut DefaultTerminal, client: Client, theme: Theme, is_up: bool) -> io::Result<Left> {
    let setting = Setting {
        address: client.base().to_owned(),
        zone: jiff::tz::TimeZone::system(),
        may_act: client.has_key(),
        is_up,
    };
    let size = terminal.size()?;
    let mut screen = Screen::new(setting, (size.width, size.height));
    let (tell, mut news) = mpsc::channel(WAITING);
    let feed = Feed::start(client, tell);
    let mut inputs = EventStream::new();
    let mut stop = Stop::listen_for(&[SignalKind::terminate(), SignalKind::hangup()])?;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        terminal.draw(|frame| draw::draw(&screen, frame.area(), frame.buffer_mut(), now(), theme))?;
        let wishes = tokio::select! {
            input = inputs.next() => match input.transpose()? {
                Some(Input::Key(key)) if key.kind != KeyEventKind::Release => screen.press(key, now()),
                Some(Input::Resize(width, height)) => screen.resize((width, height)),
                Some(_) => Vec::new(),
                // nobody will press a key any more
                None => vec![ending(is_up)],
            },
            Some(told) = news.recv() => {
                let mut wishes = screen.hear(told, now());
                // what waits is drawn together
                while let Ok(told) = news.try_recv() {
                    wishes.extend(screen.hear(told, now()));
                }
                wishes
            }
            _ = tick.tick() => Vec::new(),
            () = stop.next() => vec![ending(is_up)],
        };
        for wish in wishes {
            match wish {
                Wish::Leave => return Ok(Left::Going),
                Wish::End => return Ok(Left::Ending),
                Wish::Redraw => terminal.clear()?,
                other => feed.carry_out(other),
            }
        }
    }
}

/// What a signal means, and a terminal that went away.
fn ending(is_up: bool) -> Wish {
    if is_up { Wish::End } else { Wish::Leave }
}
