//! What people are told outside the swarm: by mail, by webhook, by a command of theirs. The core says what, to whom it has gone
//! already and when it is tried again; here one try is made on each channel that lacks it, and told.
//!
//! Decides nothing, and logs no address, password or token. Started by `serve`.

#[cfg(test)]
mod channel_tests;
mod command;
mod mail;

mod webhook;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, join_all};
use swarm_common::errors::chain_once;
use swarm_core::rows::NoticeRow;
use swarm_core::{Input, Tell};
use thiserror::Error;
use tracing::{info, warn};

use crate::engine::Work;

/// Notices under way at one time.
const UNDER_WAY: usize = 8;
/// How long one channel may take for one notice. With it a try ends well before the core makes it again (2 min).
const WITHIN: Duration = Duration::from_secs(30);
/// Largest file with a secret or an address in it.
const MAX_SECRET: u64 = 16 << 10;

/// `[notify]`: the channels there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotifySettings {
    /// Mail.
    pub mail: Option<MailSettings>,
    /// A webhook.
    pub webhook: Option<WebhookSettings>,
    /// A command: program and arguments; none if empty.
    pub command: Vec<String>,
    /// A certificate authority to trust besides those of this machine, PEM.
    pub ca: Option<PathBuf>,
}

/// Mail by SMTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSettings {
    /// Host name of the server; its certificate must be for it.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: MailSecurity,
    /// User, and the file with the password.
    pub login: Option<(String, PathBuf)>,
    /// Sender.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MailSecurity {
    /// It begins in the clear and must change to TLS before anything is said.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// None; for a server on this machine.
    None,
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The address, or the file that has it: an address can be a secret.
    pub url: UrlSource,
    /// File with a token, sent as `Authorization: Bearer`.
    pub token: Option<PathBuf>,
}

/// An address, or the file it is in: that of some webhooks is a secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlSource {
    /// As it is.
    Url(String),
    /// The first line of a file.
    File(PathBuf),
}

/// Why a channel does not have a notice. Told to people; contains no secret.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Undelivered(String);

impl Undelivered {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn of(what: &str, error: &dyn std::error::Error) -> Self {
        Self(format!("{what}: {}", chain_once(error)))
    }
}

/// One way to people.
trait Channel: Send + Sync {
    /// Its name in rows and for people.
    fn name(&self) -> &'static str;
    /// Makes one try.
    fn send<'a>(&'a self, notice: &'a NoticeRow) -> BoxFuture<'a, Result<(), Undelivered>>;
}

/// Sends notices.
pub struct Notices {
    channels: Vec<Box<dyn Channel>>,
    /// Notices in our hands; a second order for one of them is let go.
    held: Mutex<BTreeSet<u64>>,
}

impl Notices {
    /// The channels of the configuration. `swarm` is the controller's name, `store_id` makes numbers of notices unique.
    pub fn new(settings: &NotifySettings, swarm: &str, store_id: &str) -> Self {
        let mut channels: Vec<Box<dyn Channel>> = Vec::new();
        let ca = settings.ca.clone();
        if let Some(mail) = &settings.mail {
            channels.push(Box::new(mail::Mail::new(mail.clone(), ca.clone(), swarm, store_id)));
        }
        if let Some(webhook) = &settings.webhook {
            channels.push(Box::new(webhook::Webhook::new(webhook.clone(), ca, swarm, store_id)));
        }
        if !settings.command.is_empty() {
            channels.push(Box::new(command::Command::new(settings.command.clone(), swarm)));
        }
        Self { channels, held: Mutex::default() }
    }

    /// Names of the channels.
    pub fn channels(&self) -> Vec<String> {
        self.channels.iter().map(|channel| channel.name().to_owned()).collect()
    }

    /// Sends what comes until no more can come.
    pub async fn run(&self, queue: Work<Box<NoticeRow>>, engine: &dyn Tell) {
        let notices = futures::stream::unfold(queue, async |mut queue| queue.next().await.map(|one| (one, queue)));
        notices
            .for_each_concurrent(Some(UNDER_WAY), |notice| async move {
                let id = notice.id;
                if !self.lock().insert(id) {
                    return;
                }
                let (delivered, failed) = self.send(&notice).await;
                engine.tell(Input::Notified { notice: id, delivered, failed }).await;
                self.lock().remove(&id);
            })
            .await;
    }

    /// One try on each channel that lacks it: who has it now, and who does not, with why.
    pub async fn send(&self, notice: &NoticeRow) -> (Vec<String>, Vec<(String, String)>) {
        let wanted = self.channels.iter().filter(|channel| !notice.delivered.contains(channel.name()));
        let tries = wanted.map(|channel| async {
            let sent = tokio::time::timeout(WITHIN, channel.send(notice)).await;
            let sent = sent.unwrap_or_else(|_| Err(Undelivered::new(format!("no end within {} s", WITHIN.as_secs()))));
            (channel.name().to_owned(), sent)
        });
        let (mut delivered, mut failed) = (Vec::new(), Vec::new());
        for (channel, sent) in join_all(tries).await {
            match sent {
                Ok(()) => {
                    info!(notice = notice.id, channel, kind = notice.kind.name(), "a notice is delivered");
                    delivered.push(channel);
                }
                Err(error) => {
                    warn!(notice = notice.id, channel, kind = notice.kind.name(), %error, "a notice is not delivered");
                    failed.push((channel, error.to_string()));
                }
            }
        }
        (delivered, failed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first line of a file with a secret; one that everybody can read is none.
fn secret(path: &Path) -> Result<String, Undelivered> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs_err::metadata(path).map_err(|error| Undelivered::new(error.to_string()))?;
    if meta.mode() & 0o007 != 0 {
        return Err(Undelivered::new(format!("{} can be read by everybody; run chmod 600 on it", path.display())));
    }
    if meta.len() > MAX_SECRET {
        return Err(Undelivered::new(format!("{} is too large for what it should hold", path.display())));
    }
    let text = fs_err::read_to_string(path).map_err(|error| Undelivered::new(error.to_string()))?;
    match text.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
        Some(line) => Ok(line.to_owned()),
        None => Err(Undelivered::new(format!("{} is empty", path.display()))),
    }
}

/// Certificates of the extra authority, PEM.
fn authority(ca: Option<&Path>) -> Result<Option<Vec<u8>>, Undelivered> {
    ca.map(|path| fs_err::read(path).map_err(|error| Undelivered::new(error.to_string()))).transpose()
}
