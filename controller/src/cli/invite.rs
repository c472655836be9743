//! `swarm drone invite …`

use clap::Args;
use swarm_api::{DroneDone, Invite, InviteAnswer, InviteBody, Invites};

use super::client::segment;
use super::screen::{self, Screen};
use super::{Context, Problem};

/// `swarm drone invite NAME`, `--list`, `--revoke NAME`
#[derive(Debug, Args)]
pub struct InviteArgs {
    /// Name the drone will have
    #[arg(required_unless_present_any = ["list", "revoke"])]
    name: Option<String>,
    /// How long the invitation is good: 10m, 1h 30m, 2d [default: rules.invite_life, an hour]
    #[arg(long, value_name = "TIME", requires = "name")]
    ttl: Option<String>,
    /// The build profile it is to serve
    #[arg(long, value_name = "NAME", requires = "name")]
    profile: Option<String>,
    /// Show the invitations and what became of them
    #[arg(long, conflicts_with_all = ["name", "revoke"])]
    list: bool,
    /// Take an open invitation back, by its number or the name it is for
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    revoke: Option<String>,
}

/// Runs the command.
pub fn run(context: &Context, args: &InviteArgs) -> Result<(), Problem> {
    let client = context.client()?;
    if args.list {
        let invites: Invites = client.get_as_admin("/api/v1/invites")?;
        return context.screen.show(&invites, |invites| render(&invites.invites, &context.screen));
    }
    if let Some(which) = &args.revoke {
        let done: DroneDone = client.delete(&format!("/api/v1/invites/{}", segment(which)))?;
        return context.screen.show(&done, |done| format!("the invitation for {} is {}", done.name, done.status));
    }
    let name = args.name.clone().unwrap_or_default();
    let body = InviteBody { name, ttl: args.ttl.clone(), profile: args.profile.clone() };
    let answer: InviteAnswer = client.post("/api/v1/invites", &body)?;
    context.screen.show(&answer, fresh)
}

/// A fresh invitation as text.
pub fn fresh(answer: &InviteAnswer) -> String {
    let InviteAnswer { token, invitation } = answer;
    format!(
        "{token}\n\n\
         On the machine that is to be {name}, as the user that will build:\n\n    \
         drone-agent join        # asks for the token above\n\n\
         It is good for one drone, until {until}, and is not shown again. `swarm drone invite --revoke {name}` takes it back.",
        name = invitation.name,
        until = screen::time(invitation.expires_at),
    )
}

/// Invitations as text.
pub fn render(invites: &[Invite], screen: &Screen) -> String {
    if invites.is_empty() {
        return "no invitations; `swarm drone invite NAME` makes one\n".to_owned();
    }
    let mut table = screen.table(&["FOR", "STATE", "BY", "MADE", "GOOD UNTIL", "PROFILE", "NUMBER"]);
    for invite in invites {
        table.add_row([
            invite.name.clone(),
            invite.status.clone(),
            invite.by.clone(),
            screen::time(invite.created_at),
            screen::time(invite.expires_at),
            screen::or_dash(invite.profile.clone()),
            invite.id.clone(),
        ]);
    }
    format!("{table}\n")
}
