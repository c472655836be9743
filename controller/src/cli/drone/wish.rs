//! `swarm drone wish` and `swarm drone ssh-key`: what the operator wants of a drone, and the host keys it is known by.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::client::{Client, segment};
use crate::cli::problem::Problem;
use crate::cli::screen::Screen;
use swarm_api::DroneWishes;

/// `swarm drone wish`
#[derive(Debug, Default, Args)]
pub struct WishArgs {
    /// Name or identity
    name: String,
    /// Never reboot it
    #[arg(long, value_name = "BOOL")]
    protected: Option<bool>,
    /// Whether it may be rebooted, if its type allows it: true, false, or empty for the default (true)
    #[arg(long, value_name = "BOOL")]
    auto_reboot: Option<String>,
    /// Its number or name on the hypervisor, for {vmid} in healing.hypervisor_…
    #[arg(long, value_name = "ID")]
    vmid: Option<String>,
    /// SSH user; without one SSH is no way to it
    #[arg(long, value_name = "USER")]
    ssh_user: Option<String>,
    /// SSH address, if it is not the one it shows
    #[arg(long, value_name = "HOST")]
    ssh_host: Option<String>,
    /// SSH port, if it is not 22; 0 takes it back
    #[arg(long, value_name = "PORT")]
    ssh_port: Option<u16>,
    /// Private key on the controller
    #[arg(long, value_name = "FILE")]
    ssh_key_path: Option<String>,
    /// Name for people
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Whatever is to be remembered
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
}

/// `swarm drone ssh-key`
#[derive(Debug, Default, Args)]
pub struct SshKeyArgs {
    /// Name or identity
    name: String,
    /// Take the keys it names now for its own, after it was installed anew
    #[arg(long, conflicts_with_all = ["key", "learned"])]
    accept: bool,
    /// Know it by this key, as in /etc/ssh/ssh_host_ed25519_key.pub; may be given more than once
    #[arg(long, value_name = "KEY", conflicts_with = "learned")]
    key: Vec<String>,
    /// Know it by the keys it joined with
    #[arg(long)]
    learned: bool,
}

/// Shows or changes wishes.
pub(super) fn wish(admin: &Client, screen: &Screen, args: &WishArgs) -> Result<(), Problem> {
    let path = format!("/admin/api/drone-configs/{}", segment(&args.name));
    let changes = changes(args)?;
    let wishes: DroneWishes = if changes.is_empty() { admin.get(&path)? } else { admin.post(&path, &changes)? };
    screen.show(&wishes, |wishes| {
        let lines = wishes_of(wishes);
        if lines.is_empty() {
            return format!("nothing is wished for {}; `swarm drone wish --help` has what can be", wishes.node_name);
        }
        lines.join("\n")
    })
}

fn changes(args: &WishArgs) -> Result<Map<String, Value>, Problem> {
    let mut changes = Map::new();
    let texts = [
        ("vmid", &args.vmid),
        ("ssh_user", &args.ssh_user),
        ("ssh_host", &args.ssh_host),
        ("ssh_key_path", &args.ssh_key_path),
        ("display_name", &args.display_name),
        ("notes", &args.notes),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            let value = if text.is_empty() { Value::Null } else { Value::from(text.clone()) };
            changes.insert(name.to_owned(), value);
        }
    }
    if let Some(protected) = args.protected {
        changes.insert("protected".to_owned(), protected.into());
    }
    if let Some(port) = args.ssh_port {
        changes.insert("ssh_port".to_owned(), if port == 0 { Value::Null } else { port.into() });
    }
    if let Some(text) = &args.auto_reboot {
        let value = match text.as_str() {
            "" => Value::Null,
            "true" => true.into(),
            "false" => false.into(),
            other => {
                return Err(Problem::usage(format!("--auto-reboot {other:?} is neither true nor false"))
                    .next("an empty value takes the wish back"));
            }
        };
        changes.insert("auto_reboot".to_owned(), value);
    }
    Ok(changes)
}

/// Each wish in a line.
pub(super) fn wishes_of(wishes: &DroneWishes) -> Vec<String> {
    let text = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} = {value}"));
    [
        wishes.protected.then(|| "protected = true".to_owned()),
        wishes.auto_reboot.map(|value| format!("auto_reboot = {value}")),
        text("vmid", &wishes.vmid),
        text("ssh_user", &wishes.ssh_user),
        text("ssh_host", &wishes.ssh_host),
        wishes.ssh_port.map(|port| format!("ssh_port = {port}")),
        text("ssh_key_path", &wishes.ssh_key_path),
        wishes.ssh_host_keys.as_ref().map(|keys| format!("ssh_host_keys: {} given", keys.len())),
        text("display_name", &wishes.display_name),
        text("notes", &wishes.notes),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Shows host keys or gives others.
pub(super) fn ssh_key(admin: &Client, screen: &Screen, args: &SshKeyArgs) -> Result<(), Problem> {
    let path = format!("/admin/api/drone-configs/{}", segment(&args.name));
    let mut wishes: DroneWishes = admin.get(&path)?;
    let keys = match () {
        () if args.accept && wishes.ssh_host_keys_offered.is_empty() => {
            return Err(Problem::new(format!("{} names no other SSH host keys than it is known by", args.name))
                .next("give them with --key"));
        }
        // exactly the keys that were looked at
        () if args.accept => Some(Value::from(wishes.ssh_host_keys_offered.clone())),
        () if args.learned => Some(Value::Null),
        () if !args.key.is_empty() => Some(Value::from(args.key.iter().map(|key| bare(key)).collect::<Vec<_>>())),
        () => None,
    };
    if let Some(keys) = keys {
        wishes = admin.post(&path, &json!({ "ssh_host_keys": keys }))?;
    }
    screen.show(&wishes, render_keys)
}

/// A key without its comment.
fn bare(key: &str) -> String {
    key.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// A drone's host keys as text.
fn render_keys(wishes: &DroneWishes) -> String {
    let name = &wishes.node_name;
    let (whose, known) = match &wishes.ssh_host_keys {
        Some(given) => ("given by the operator", given),
        None => ("named when it joined", &wishes.ssh_host_keys_learned),
    };
    if known.is_empty() && wishes.ssh_host_keys_offered.is_empty() {
        return format!(
            "no SSH host key of {name} is known, so it is not logged into\n\
             give one: swarm drone ssh-key {name} --key \"$(cat ssh_host_ed25519_key.pub)\""
        );
    }
    let mut lines = vec![format!("{name} is known by ({whose}):")];
    lines.extend(known.iter().map(|key| format!("  {key}")));
    if !wishes.ssh_host_keys_offered.is_empty() {
        lines.push("it names these now, which are not used:".to_owned());
        lines.extend(wishes.ssh_host_keys_offered.iter().map(|key| format!("  {key}")));
        lines.push(format!("if they are its own, `swarm drone ssh-key {name} --accept`"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::problem::Exit;

    #[test]
    fn wishes_are_named_changed_and_taken_back() {
        let args = WishArgs {
            name: "d1".to_owned(),
            protected: Some(false),
            vmid: Some("104".to_owned()),
            ssh_user: Some(String::new()),
            ssh_port: Some(0),
            auto_reboot: Some(String::new()),
            ..WishArgs::default()
        };
        let expected = json!({
            "vmid": "104", "ssh_user": null, "protected": false, "ssh_port": null, "auto_reboot": null
        });
        assert_eq!(Value::from(changes(&args).unwrap()), expected);
        let wrong = WishArgs { auto_reboot: Some("perhaps".to_owned()), ..WishArgs::default() };
        assert_eq!(changes(&wrong).unwrap_err().exit, Exit::Usage);
        assert!(changes(&WishArgs::default()).unwrap().is_empty());
    }

    #[test]
    fn host_keys_are_shown_with_whose_word_counts_and_what_to_do() {
        let mut wishes = DroneWishes { node_name: "d1".to_owned(), ..DroneWishes::default() };
        assert!(render_keys(&wishes).contains("not logged into"));
        wishes.ssh_host_keys_learned = vec!["ssh-ed25519 AAAA".to_owned()];
        assert!(render_keys(&wishes).contains("named when it joined"));
        wishes.ssh_host_keys_offered = vec!["ssh-ed25519 BBBB".to_owned()];
        assert!(render_keys(&wishes).contains("--accept"));
        assert_eq!(bare(" ssh-ed25519  AAAA root@box\n"), "ssh-ed25519 AAAA");
    }
}
