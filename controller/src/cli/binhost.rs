//! `swarm binhost …`

use clap::Subcommand;

use super::screen::{self, Screen};
use super::{Context, Problem};
use crate::http::views::BinhostAnswer;

/// `swarm binhost …`
#[derive(Debug, Subcommand)]
pub enum BinhostCommand {
    /// How a Gentoo machine uses it: binrepos.conf and the commands that make Portage trust the key
    Show {
        /// Only the signing key's public half
        #[arg(long)]
        key: bool,
    },
}

/// Runs the command.
pub fn run(context: &Context, command: &BinhostCommand) -> Result<(), Problem> {
    let BinhostCommand::Show { key } = command;
    let answer: BinhostAnswer = context.client()?.get("/api/v1/binhost")?;
    if *key && !context.screen.json {
        return context.screen.line(answer.public_key.trim_end());
    }
    context.screen.show(&answer, |answer| render(answer, &context.screen))
}

/// How to use the binhost, as text.
pub fn render(answer: &BinhostAnswer, screen: &Screen) -> String {
    let mut text = format!("signing key  {}\n             {}\n", answer.fingerprint, answer.key_url);
    if answer.indexes.is_empty() {
        return text + "\nnothing is published yet; `swarm queue add category/name` changes that\n";
    }
    for index in &answer.indexes {
        let size = screen::size(index.size_bytes);
        text += &format!("\n{} ({} packages, {size})\n{}\n", screen.bold(&index.index), index.packages, index.url);
        text += &format!("\n/etc/portage/binrepos.conf/swarm.conf:\n\n{}\n", indented(&index.snippet));
        if !index.commands.is_empty() {
            text += &format!("\nas root, once:\n\n{}\n", indented(&index.commands.join("\n")));
        }
    }
    text
}

fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
