//! `[notify]`: as it is written, what it means, and what in it can't be meant.

use std::path::PathBuf;

use crate::notices::{MailSecurity, MailSettings, NotifySettings, UrlSource, WebhookSettings};

/// `[notify]`, as it is written; [`Notify::settings`] is what it means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notify {
    /// Mail server.
    pub mail_server: Option<String>,
    /// Its port.
    pub mail_port: Option<u16>,
    /// How the connection is protected.
    pub mail_security: MailSecurity,
    /// User there.
    pub mail_user: Option<String>,
    /// File with the password.
    pub mail_password_file: Option<PathBuf>,
    /// Sender.
    pub mail_from: Option<String>,
    /// Recipients.
    pub mail_to: Vec<String>,
    /// A webhook's address.
    pub webhook_url: Option<String>,
    /// File with it.
    pub webhook_url_file: Option<PathBuf>,
    /// File with its token.
    pub webhook_token_file: Option<PathBuf>,
    /// A command.
    pub command: Vec<String>,
    /// An extra certificate authority.
    pub ca: Option<PathBuf>,
}

impl Notify {
    /// The channels it means.
    pub fn settings(&self) -> NotifySettings {
        let mail = self.mail_server.as_ref().map(|server| MailSettings {
            server: server.clone(),
            port: self.mail_port.unwrap_or(match self.mail_security {
                MailSecurity::StartTls => 587,
                MailSecurity::Tls => 465,
                MailSecurity::None => 25,
            }),
            security: self.mail_security,
            login: self.mail_user.clone().zip(self.mail_password_file.clone()),
            from: self.mail_from.clone().unwrap_or_default(),
            to: self.mail_to.clone(),
        });
        let url = self.webhook_url.clone().map(UrlSource::Url);
        let url = url.or_else(|| self.webhook_url_file.clone().map(UrlSource::File));
        let webhook = url.map(|url| WebhookSettings { url, token: self.webhook_token_file.clone() });
        NotifySettings { mail, webhook, command: self.command.clone(), ca: self.ca.clone() }
    }

    /// What is wrong with it.
    pub(super) fn contradictions(&self, wrong: &mut impl FnMut(bool, String)) {
        let mail = self.mail_server.is_some();
        wrong(
            mail && (self.mail_from.is_none() || self.mail_to.is_empty()),
            "notify.mail_server needs notify.mail_from and notify.mail_to, too".to_owned(),
        );
        wrong(
            !mail && (self.mail_user.is_some() || self.mail_from.is_some() || !self.mail_to.is_empty()),
            "notify.mail_… without notify.mail_server: no mail would be sent".to_owned(),
        );
        wrong(
            self.mail_user.is_some() != self.mail_password_file.is_some(),
            "notify.mail_user and notify.mail_password_file belong together".to_owned(),
        );
        wrong(
            self.mail_user.is_some() && self.mail_security == MailSecurity::None,
            "notify.mail_security = \"none\" would send the password in the clear: use starttls or tls".to_owned(),
        );
        for address in self.mail_from.iter().chain(&self.mail_to) {
            wrong(
                address.parse::<lettre::message::Mailbox>().is_err(),
                format!("notify: {address:?} is no address for mail"),
            );
        }
        wrong(
            self.webhook_url.is_some() && self.webhook_url_file.is_some(),
            "notify.webhook_url and notify.webhook_url_file both say where the webhook is: drop one".to_owned(),
        );
        wrong(
            self.webhook_token_file.is_some() && self.webhook_url.is_none() && self.webhook_url_file.is_none(),
            "notify.webhook_token_file without an address: nothing would be posted".to_owned(),
        );
        let url = self.webhook_url.as_deref().unwrap_or("https://");
        wrong(
            !(url.starts_with("http://") || url.starts_with("https://")),
            "notify.webhook_url begins with http:// or https://".to_owned(),
        );
        wrong(
            url.contains('@'),
            "notify.webhook_url contains a user or password: put a token into notify.webhook_token_file, or the whole \
             address into notify.webhook_url_file"
                .to_owned(),
        );
    }
}
