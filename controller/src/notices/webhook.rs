//! Notices by webhook: a POST of JSON. Its address may be a secret, so it is never shown; redirects are not followed, or the token
//! would go to somebody else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use swarm_core::rows::NoticeRow;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::{Channel, Undelivered, UrlSource, WebhookSettings, authority, secret};

/// For the whole exchange.
const WITHIN: Duration = Duration::from_secs(20);

/// A webhook.
pub(super) struct Webhook {
    settings: WebhookSettings,
    ca: Option<PathBuf>,
    swarm: String,
    store_id: String,
}

impl Webhook {
    pub(super) fn new(settings: WebhookSettings, ca: Option<PathBuf>, swarm: &str, store_id: &str) -> Self {
        Self { settings, ca, swarm: swarm.to_owned(), store_id: store_id.to_owned() }
    }

    /// The fields for programs, and `text` as chat servers (Mattermost, Slack) want it.
    fn body(&self, notice: &NoticeRow) -> Value {
        json!({
            "swarm": self.swarm,
            "id": notice.id,
            "key": notice.key,
            "kind": notice.kind.name(),
            "subject": notice.subject,
            "body": notice.text,
            "text": format!("[{}] {}: {}\n{}", self.swarm, notice.kind.name(), notice.subject, notice.text).trim_end(),
            "at": swarm_api::seconds(notice.at),
        })
    }

    async fn post(&self, notice: &NoticeRow) -> Result<(), Undelivered> {
        let url = match &self.settings.url {
            UrlSource::Url(url) => url.clone(),
            UrlSource::File(path) => secret(path)?,
        };
        let token = self.settings.token.as_deref().map(secret).transpose()?;
        let body = self.body(notice);
        // whoever gets it twice can tell
        let once = format!("{}-{}", self.store_id, notice.id);
        let ca = authority(self.ca.as_deref())?;
        let sent = tokio::task::spawn_blocking(move || call(&url, token.as_deref(), &once, &body, ca.as_deref())).await;
        sent.map_err(|error| Undelivered::of("the webhook's thread", &error))?
    }
}

/// Blocking.
fn call(url: &str, token: Option<&str>, once: &str, body: &Value, ca: Option<&[u8]>) -> Result<(), Undelivered> {
    let uri: ureq::http::Uri = url.parse().map_err(|_| Undelivered::new("the webhook's address is no URL"))?;
    let host = uri.host().unwrap_or("nowhere").to_owned();
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(WITHIN))
        .user_agent(concat!("swarm/", env!("CARGO_PKG_VERSION")));
    if uri.scheme_str() == Some("https") {
        config = config.tls_config(trust(ca)?);
    }
    let mut request = config.build().new_agent().post(uri).header("Idempotency-Key", once);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let answer = request.send_json(body).map_err(|error| Undelivered::of(&format!("webhook on {host}"), &error))?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(Undelivered::new(format!("the webhook on {host} answered {}", answer.status())))
}

/// Whom this machine trusts, and the extra authority.
fn trust(ca: Option<&[u8]>) -> Result<TlsConfig, Undelivered> {
    // ureq takes the process's cryptography; whoever set one before is as good
    drop(async_nats::rustls::crypto::ring::default_provider().install_default());
    let mut roots: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    for item in parse_pem(ca.unwrap_or_default()) {
        let unreadable = |error: ureq::Error| Undelivered::of("the certificate authority can't be read", &error);
        if let PemItem::Certificate(certificate) = item.map_err(unreadable)? {
            roots.push(certificate);
        }
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).build())
}

impl Channel for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn send<'a>(&'a self, notice: &'a NoticeRow) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(self.post(notice))
    }
}
