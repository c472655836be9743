//! Notices by mail: SMTP with STARTTLS or TLS, the server's certificate checked, and a password that comes from its file at each
//! try. Notices of one story are one thread.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use sha2::{Digest, Sha256};
use swarm_core::rows::{NoticeKind, NoticeRow};

use super::{Channel, MailSecurity, MailSettings, Undelivered, authority, secret};

/// How long the server may be silent.
const SILENCE: Duration = Duration::from_secs(15);
/// Longest subject; more is cut.
const MAX_SUBJECT: usize = 200;

/// A mail server.
pub(super) struct Mail {
    settings: MailSettings,
    ca: Option<PathBuf>,
    swarm: String,
    store_id: String,
}

impl Mail {
    pub(super) fn new(settings: MailSettings, ca: Option<PathBuf>, swarm: &str, store_id: &str) -> Self {
        Self { settings, ca, swarm: swarm.to_owned(), store_id: store_id.to_owned() }
    }

    async fn post(&self, notice: &NoticeRow) -> Result<(), Undelivered> {
        let (message, transport) = (self.message(notice)?, self.transport()?);
        let sent = transport.send(message).await;
        sent.map(drop).map_err(|error| Undelivered::of(&format!("mail server {}", self.settings.server), &error))
    }

    fn message(&self, notice: &NoticeRow) -> Result<Message, Undelivered> {
        let mailbox = |text: &str| {
            text.parse::<Mailbox>().map_err(|_| Undelivered::new(format!("{text:?} is no address for mail")))
        };
        let domain = self.settings.from.rsplit('@').next().unwrap_or("localhost").trim_end_matches('>').to_owned();
        let story = hex::encode(&Sha256::digest(format!("{} {}", self.store_id, notice.key))[..12]);
        let what = match notice.kind {
            NoticeKind::Alert => "alert",
            NoticeKind::Repeat => "reminder",
            NoticeKind::Resolved => "resolved",
            NoticeKind::Test => "test",
        };
        let subject: String = notice.subject.chars().filter(|c| !c.is_control()).take(MAX_SUBJECT).collect();
        let mut builder: MessageBuilder = Message::builder()
            .from(mailbox(&self.settings.from)?)
            .subject(format!("[{}] {what}: {subject}", self.swarm))
            // the same for every try, so that a mail that arrives twice is seen to be one
            .message_id(Some(format!("<{story}.{}@{domain}>", notice.id)))
            .references(format!("<{story}@{domain}>"))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.settings.to {
            builder = builder.to(mailbox(to)?);
        }
        let text = format!("{}\n\n{}\n-- \n{}\n", notice.subject, notice.text, self.swarm);
        let mut message = builder.body(text).map_err(|error| Undelivered::of("the mail can't be written", &error))?;
        // nobody's holiday notes are wanted back (RFC 3834)
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
        Ok(message)
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, Undelivered> {
        let MailSettings { server, port, security, login, .. } = &self.settings;
        let tls = match security {
            MailSecurity::StartTls => Tls::Required(self.tls()?),
            MailSecurity::Tls => Tls::Wrapper(self.tls()?),
            MailSecurity::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.as_str())
            .port(*port)
            .tls(tls)
            .timeout(Some(SILENCE));
        if let Some((user, password)) = login {
            builder = builder.credentials(Credentials::new(user.clone(), secret(password)?));
        }
        Ok(builder.build())
    }

    fn tls(&self) -> Result<TlsParameters, Undelivered> {
        let unusable = |error: &dyn std::error::Error| Undelivered::of("TLS can't be used", error);
        let mut builder = TlsParameters::builder(self.settings.server.clone());
        if let Some(pem) = authority(self.ca.as_deref())? {
            builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| unusable(&error))?);
        }
        builder.build_rustls().map_err(|error| unusable(&error))
    }
}

impl Channel for Mail {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn send<'a>(&'a self, notice: &'a NoticeRow) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(self.post(notice))
    }
}
