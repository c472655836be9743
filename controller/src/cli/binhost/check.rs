//! `swarm binhost verify`

use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use swarm_api::{VerifyAnswer, VerifyBody};

use super::super::client::Client;
use super::super::problem::Exit;
use super::super::screen;
use super::super::{Context, Problem};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// A controller that does not answer is waited for this many looks.
const MAX_SILENT: u32 = 120;

/// Runs the command. The exit status is 1 if something is wrong that was not mended, or the check was broken off.
pub(super) fn run(context: &Context, rebuild: bool, force: bool, no_wait: bool) -> Result<ExitCode, Problem> {
    let client = context.client()?;
    let started: VerifyAnswer = client.post("/api/v1/binhost/verify", &VerifyBody { rebuild, force })?;
    if no_wait {
        context.screen.show(&started, |_| "checking; `GET /api/v1/binhost/verify` says how far it is\n".to_owned())?;
        return Ok(ExitCode::SUCCESS);
    }
    let answer = wait(context, &client)?;
    context.screen.show(&answer, render)?;
    let well = answer.status == "ended" && answer.found == answer.mended;
    Ok(if well { ExitCode::SUCCESS } else { Exit::Error.into() })
}

fn wait(context: &Context, client: &Client) -> Result<VerifyAnswer, Problem> {
    let bar = if context.screen.live { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} packages, {msg}") {
        bar.set_style(style);
    }
    let mut silent = 0;
    loop {
        match client.get::<VerifyAnswer>("/api/v1/binhost/verify") {
            Ok(answer) => {
                silent = 0;
                bar.set_length(answer.total);
                bar.set_position(answer.checked);
                bar.set_message(format!("{}, {} found", screen::size(answer.bytes), answer.found));
                match answer.status.as_str() {
                    "running" => {}
                    "never" => {
                        bar.finish_and_clear();
                        return Err(Problem::new("the controller was restarted and the check with it is gone")
                            .next("start it again"));
                    }
                    _ => {
                        bar.finish_and_clear();
                        return Ok(answer);
                    }
                }
            }
            Err(problem) if problem.exit == Exit::Unreachable && silent < MAX_SILENT => silent += 1,
            Err(problem) => return Err(problem),
        }
        std::thread::sleep(LOOK);
    }
}

fn render(answer: &VerifyAnswer) -> String {
    let mut text = String::new();
    for one in &answer.findings {
        let mended = one.mended.as_deref().unwrap_or("not mended");
        text += &format!("{} {}: {mended}\n", one.place, one.problem);
    }
    let more = answer.found.saturating_sub(answer.findings.len() as u64);
    if more > 0 {
        text += &format!("and {more} more\n");
    }
    if let Some(reason) = &answer.reason {
        text += &format!("broken off: {reason}\n");
    }
    let (checked, size) = (answer.checked, screen::size(answer.bytes));
    text + &match answer.found {
        0 => format!("{checked} packages, {size}: all is as it should be\n"),
        found => format!("{checked} packages, {size}: {found} things found, {} mended\n", answer.mended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_api::VerifyFinding;

    #[test]
    fn findings_stand_before_the_sum() {
        let finding = VerifyFinding {
            place: "amd64/x".to_owned(),
            package: None,
            id: None,
            problem: "is not there".to_owned(),
            mended: None,
        };
        let mended = VerifyFinding { mended: Some("set right".to_owned()), ..finding.clone() };
        let answer = VerifyAnswer {
            status: "stopped".to_owned(),
            checked: 2,
            total: 2,
            found: 3,
            mended: 1,
            findings: vec![finding, mended],
            reason: Some("why".to_owned()),
            bytes: 1024,
        };
        let expected = "amd64/x is not there: not mended\namd64/x is not there: set right\nand 1 more\nbroken off: why\n\
                        2 packages, 1.0 KiB: 3 things found, 1 mended\n";
        assert_eq!(render(&answer), expected);
        assert!(render(&VerifyAnswer::default()).contains("all is as it should be"));
    }
}
