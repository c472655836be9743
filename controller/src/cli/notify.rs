//! `swarm notify test|list`: what people are told outside the swarm, and whether it arrives.

use std::time::{Duration, Instant};

use clap::Subcommand;
use comfy_table::Cell;
use swarm_api::{NoticeList, NoticeView, TestNotice};

use super::screen::{self, Screen};
use super::{Context, Problem};

/// One try on each channel takes at most 30 s.
const PATIENCE: Duration = Duration::from_secs(45);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// `swarm notify …`
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a test by every channel, and wait until it has arrived or failed
    Test,
    /// The notices, newest first
    List {
        /// At most so many
        #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
        limit: usize,
    },
}

/// Runs the command.
pub fn run(context: &Context, command: &NotifyCommand) -> Result<(), Problem> {
    let admin = context.client()?.admin()?;
    let NotifyCommand::List { limit } = command else {
        return test(context, &admin);
    };
    let list: NoticeList = admin.get(&format!("/admin/api/notices?limit={limit}"))?;
    context.screen.show(&list, |list| render(list, &context.screen))
}

fn test(context: &Context, admin: &super::client::Client) -> Result<(), Problem> {
    let ordered: TestNotice = admin.post("/admin/api/notices/test", &())?;
    if ordered.channels.is_empty() {
        return Err(Problem::new("no channel is configured, so nobody was told")
            .next("set mail_server, webhook_url or command below [notify] in controller.toml"));
    }
    let until = Instant::now() + PATIENCE;
    let notice = loop {
        let list: NoticeList = admin.get("/admin/api/notices")?;
        let found = list.notices.into_iter().find(|notice| notice.id == ordered.id);
        match found {
            Some(notice) if is_over(&notice, ordered.channels.len()) || Instant::now() >= until => break notice,
            _ => std::thread::sleep(LOOK),
        }
    };
    context.screen.show(&notice, |notice| outcome(notice, &ordered.channels))?;
    if notice.delivered.len() == ordered.channels.len() {
        return Ok(());
    }
    Err(Problem::new("not every channel has the test")
        .next("it is tried again by itself; correct [notify] and restart"))
}

/// Every channel has it, or has failed once.
fn is_over(notice: &NoticeView, channels: usize) -> bool {
    notice.state != "due" || notice.delivered.len() + notice.failures.len() >= channels
}

/// What became of a notice, a line per channel.
pub fn outcome(notice: &NoticeView, channels: &[String]) -> String {
    let line = |channel: &String| match notice.failures.get(channel) {
        _ if notice.delivered.contains(channel) => format!("{channel}: delivered"),
        Some(why) => format!("{channel}: {why}"),
        None => format!("{channel}: no outcome yet"),
    };
    channels.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The notices as text.
pub fn render(list: &NoticeList, screen: &Screen) -> String {
    let channels = match list.channels.as_slice() {
        [] => "no channel is configured; see [notify] in controller.toml".to_owned(),
        channels => format!("channels: {}", channels.join(", ")),
    };
    if list.notices.is_empty() {
        return format!("nobody was told anything yet\n{channels}; `swarm notify test` tries them");
    }
    let mut table = screen.table(&["WHEN", "KIND", "STATE", "ARRIVED BY", "SUBJECT"]);
    let mut notes = String::new();
    for notice in &list.notices {
        table.add_row([
            Cell::new(screen::time(notice.at)),
            Cell::new(&notice.kind),
            Cell::new(&notice.state),
            Cell::new(screen::or_dash(Some(notice.delivered.join(", ")))),
            Cell::new(&notice.subject),
        ]);
        if notice.state != "sent" {
            notes.extend(notice.failures.iter().map(|(channel, why)| format!("{}: {channel}: {why}\n", notice.id)));
        }
    }
    format!("{table}\n{notes}{channels}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_over_when_each_channel_has_it_or_has_failed() {
        let mut notice = NoticeView { state: "due".to_owned(), ..NoticeView::default() };
        let channels = ["mail".to_owned(), "webhook".to_owned()];
        assert!(!is_over(&notice, 2));
        notice.delivered = vec!["mail".to_owned()];
        assert!(!is_over(&notice, 2));
        notice.failures.insert("webhook".to_owned(), "404 Not Found".to_owned());
        assert!(is_over(&notice, 2));
        assert_eq!(outcome(&notice, &channels), "mail: delivered\nwebhook: 404 Not Found");
    }

    #[test]
    fn an_empty_list_says_what_to_do() {
        let text = render(&NoticeList::default(), &Screen::default());
        assert!(text.contains("nobody was told") && text.contains("[notify]"), "{text}");
    }
}
