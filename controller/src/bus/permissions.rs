//! Who may say what on the bus: a pure function from the members to the configuration file that makes the server
//! enforce it. The rules are the table "Who may say what" of `docs/protocol.md`.
//!
//! Never writes the file and never talks to the server (`server` does both); knows identities only, no names.

use std::collections::BTreeSet;

use swarm_protocol::DroneId;
use swarm_protocol::subject::Subjects;
use thiserror::Error;

use super::keys::is_user_id;

/// Everyone the bus lets in. Identities are nkey public keys (`U…`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// The controller.
    pub controller: String,
    /// Enrolled drones that are not revoked.
    pub drones: BTreeSet<DroneId>,
    /// Those who only read events.
    pub tappers: BTreeSet<String>,
}

/// Why no permissions can be written for these members.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PermissionsError {
    /// Would not be a literal subject.
    #[error("{prefix:?} can't be the subject prefix: tokens of letters, digits, '-' and '_', joined by '.'")]
    BadPrefix {
        /// The configured prefix.
        prefix: String,
    },
    /// Not a public key, so perhaps a wildcard or worse.
    #[error("{id:?} is not the identity of a bus user")]
    BadId {
        /// The identity.
        id: String,
    },
    /// One key in two roles would have the rights of one of them, and nobody could say which.
    #[error("{id} is to have two roles on the bus")]
    TwoRoles {
        /// The identity.
        id: String,
    },
}

/// The one account all members share; JetStream is on in it.
pub const ACCOUNT: &str = "SWARM";

/// Answers a drone may give to one order, and how long it may take for them. Long orders (payloads) report their
/// progress as reports; the answer itself comes at once.
const ANSWERS_PER_ORDER: u32 = 16;
const ANSWER_WITHIN: &str = "10m";

/// The include file with all users, `prefix` being the subject prefix (`swarm.v1`). The same members give the same
/// text, so that an unchanged file needs no reload.
///
/// # Errors
/// When a part of it would not be literal inside a subject, or one key has two roles.
pub fn render(prefix: &str, members: &Members) -> Result<String, PermissionsError> {
    check(prefix, members)?;
    let mut text = String::from(
        "# Written by the controller whenever a drone or tapper joins or leaves; edits are overwritten.\n\
         accounts {\n",
    );
    text.push_str(&format!("  {ACCOUNT} {{\n    jetstream: enabled\n    users: [\n"));
    let subjects = Subjects::new(prefix);
    text.push_str(&controller(&subjects, &members.controller));
    members.drones.iter().for_each(|id| text.push_str(&drone(&subjects, id)));
    members.tappers.iter().for_each(|id| text.push_str(&tapper(&subjects, id)));
    text.push_str("    ]\n  }\n}\n");
    Ok(text)
}

fn check(prefix: &str, members: &Members) -> Result<(), PermissionsError> {
    let literal =
        |token: &str| !token.is_empty() && token.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    // `_INBOX` and `$…` belong to the server and its clients
    if prefix.len() > 128 || prefix.starts_with('_') || !prefix.split('.').all(literal) {
        return Err(PermissionsError::BadPrefix { prefix: prefix.to_owned() });
    }
    let drones = members.drones.iter().map(|drone| &drone.0);
    let everyone = std::iter::once(&members.controller).chain(drones).chain(&members.tappers);
    let mut seen = BTreeSet::new();
    for id in everyone {
        if !is_user_id(id) {
            return Err(PermissionsError::BadId { id: id.clone() });
        }
        if !seen.insert(id) {
            return Err(PermissionsError::TwoRoles { id: id.clone() });
        }
    }
    Ok(())
}

/// Speaks and hears everything under the prefix, answers into any inbox (the link itself keeps to the asker's)
/// and keeps the event stream.
fn controller(subjects: &Subjects, id: &str) -> String {
    let everything = format!("{}.>", subjects.prefix());
    let publish = [everything.clone(), "_INBOX.>".to_owned(), "$JS.API.>".to_owned()];
    user(id, "controller", &[line("publish", &publish), line("subscribe", &[everything, below(&Subjects::inbox(id))])])
}

fn drone(subjects: &Subjects, id: &DroneId) -> String {
    let publish = [subjects.reports_of(id), subjects.logs_of(id), subjects.shell(id, "*", "out")];
    let subscribe =
        [subjects.orders_of(id), subjects.shell(id, "*", "in"), subjects.all(), below(&Subjects::inbox(id.as_str()))];
    user(
        id.as_str(),
        "drone",
        &[
            line("publish", &publish),
            line("subscribe", &subscribe),
            format!("allow_responses: {{ max: {ANSWERS_PER_ORDER}, expires: \"{ANSWER_WITHIN}\" }}"),
        ],
    )
}

/// Without `publish` a user may publish everything, so the refusal is written out.
fn tapper(subjects: &Subjects, id: &str) -> String {
    user(
        id,
        "tapper",
        &[
            "publish: { deny: [\">\"] }".to_owned(),
            line("subscribe", &[subjects.all_events(), subjects.all_json_events()]),
        ],
    )
}

fn below(subject: &str) -> String {
    format!("{subject}.>")
}

fn user(id: &str, role: &str, rules: &[String]) -> String {
    let mut text = format!("      {{ # {role}\n        nkey: {id}\n        permissions: {{\n");
    rules.iter().for_each(|rule| text.push_str(&format!("          {rule}\n")));
    text.push_str("        }\n      }\n");
    text
}

fn line(direction: &str, subjects: &[String]) -> String {
    let quoted: Vec<String> = subjects.iter().map(|subject| format!("\"{subject}\"")).collect();
    format!("{direction}: {{ allow: [{}] }}", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROLLER: &str = "UCUGQGTAZWLW4VZFMDRWZDKMVL7K6F54JRKXXBA5DOZQV5PTSQF5DUTJ";
    const ALPHA: &str = "UCZ7HC4COSCKWV4NLOOBLSZAM23U2NFEET6VS4JTSMJTQMAK6K3UVCAJ";

    const TAPPER: &str = "UBF63JZ5AAOEYW5QVBADKWOHTO5L4ORFQFRB2UN3LGSAFLHMQW2FFORO";

    fn members(drones: &[&str], tappers: &[&str]) -> Members {
        let drones = drones.iter().map(|id| DroneId::from(*id)).collect();
        let tappers = tappers.iter().map(|id| (*id).to_owned()).collect();
        Members { controller: CONTROLLER.to_owned(), drones, tappers }
    }

    #[test]
    fn members_become_users_with_their_rights_and_no_more() {
        let text = render("swarm.v1", &members(&[ALPHA], &[TAPPER])).unwrap();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn wildcards_and_syntax_never_enter_the_file() {
        for id in ["*", ">", "U", "alpha", "UA6N\"] } }", ""] {
            let refused = render("swarm.v1", &members(&[id], &[])).unwrap_err();
            assert_eq!(refused, PermissionsError::BadId { id: id.to_owned() });
        }
        for prefix in ["", ">", "swarm.*", "swarm..v1", ".swarm", "swarm.", "sw arm", "_INBOX", "$JS.API", "a\"b"] {
            let refused = render(prefix, &members(&[ALPHA], &[])).unwrap_err();
            assert_eq!(refused, PermissionsError::BadPrefix { prefix: prefix.to_owned() });
        }
    }

    #[test]
    fn one_key_in_two_roles_is_refused() {
        for members in [members(&[ALPHA], &[ALPHA]), members(&[CONTROLLER], &[]), members(&[], &[CONTROLLER])] {
            assert!(matches!(render("swarm.v1", &members), Err(PermissionsError::TwoRoles { .. })));
        }
    }
}
