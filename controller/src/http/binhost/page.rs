//! A page for people who come to `/binhost` with a browser.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use swarm_api::BinhostAnswer;

use super::Binhost;
use super::clients::{KEY_PATH, answer};
use crate::http::error::ApiError;
use crate::http::{About, Reading};

/// A page for people who come to `/binhost` with a browser.
pub async fn page(
    State(about): State<About>,
    State(reading): State<Reading>,
    State(binhost): State<Binhost>,
) -> Result<impl IntoResponse, ApiError> {
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    Ok((
        [(header::CONTENT_SECURITY_POLICY, policy)],
        Html(html(&about.name(), &answer(&about, &reading, &binhost).await?)),
    ))
}

fn html(name: &str, answer: &BinhostAnswer) -> String {
    let mut body = String::new();
    for index in &answer.indexes {
        let newest = index.newest.as_ref().map(|newest| format!(", newest {}", newest.package)).unwrap_or_default();
        let path = format!("/binhost/{}/Packages", index.index);
        let _ = write!(
            body,
            "<h2>{}</h2><p>{} packages, {} MiB{}. <a href=\"{}\">Packages</a></p>\
             <p>/etc/portage/binrepos.conf/swarm.conf:</p><pre>{}</pre><p>As root, once:</p><pre>{}</pre>",
            escaped(&index.index),
            index.packages - index.restricted,
            index.size_bytes >> 20,
            escaped(&newest),
            escaped(&path),
            escaped(&index.snippet),
            escaped(&index.commands.join("\n")),
        );
    }
    if answer.indexes.is_empty() {
        body.push_str("<p>Nothing is published yet.</p>");
    }
    let style = "body{font:1rem/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}pre{overflow:auto;padding:1rem;background:#8882}@media(prefers-color-scheme:dark){body{background:#111;color:#eee}a{color:#9cf}}";
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Binhost of {0}</title><style>{style}</style><h1>Binhost of {0}</h1>\
         <p>Signing key <code>{1}</code>, <a href=\"{KEY_PATH}\">its public half</a>.</p>{body}</html>\n",
        escaped(name),
        escaped(&answer.fingerprint),
    )
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}
