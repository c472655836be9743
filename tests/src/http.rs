//! The façade as a client sees it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A client of one controller.
#[derive(Debug, Clone)]
pub struct Http {
    agent: ureq::Agent,
    /// Base address.
    pub url: String,
    key: String,
}

impl Http {
    /// A client with the admin key.
    pub fn new(url: String, key: String) -> Self {
        let config =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(20))).http_status_as_error(false);
        Self { agent: config.build().new_agent(), url, key }
    }

    /// `GET` with a JSON answer.
    ///
    /// # Errors
    /// When there is no answer, no JSON, or no success.
    pub fn get(&self, path: &str) -> Result<Value> {
        let mut answer = self.agent.get(format!("{}{path}", self.url)).call().with_context(|| format!("GET {path}"))?;
        let (status, body) = (answer.status(), answer.body_mut().read_to_string()?);
        if !status.is_success() {
            bail!("GET {path}: {status} {body}");
        }
        serde_json::from_str(&body).with_context(|| format!("GET {path}: {body}"))
    }

    /// `GET` with the admin key, and the JSON answer.
    ///
    /// # Errors
    /// As for [`Http::get`].
    pub fn admin_get(&self, path: &str) -> Result<Value> {
        let request = self.agent.get(format!("{}{path}", self.url)).header("X-Admin-Key", &self.key);
        let mut answer = request.call().with_context(|| format!("GET {path}"))?;
        let (status, body) = (answer.status(), answer.body_mut().read_to_string()?);
        if !status.is_success() {
            bail!("GET {path}: {status} {body}");
        }
        serde_json::from_str(&body).with_context(|| format!("GET {path}: {body}"))
    }

    /// `POST` of JSON with the admin key, and the JSON answer.
    ///
    /// # Errors
    /// When there is no answer, no JSON, or no success.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(path, body, None)
    }

    /// The same under an `Idempotency-Key`: asked again, it is done once.
    ///
    /// # Errors
    /// As for [`Http::post`].
    pub fn post_once(&self, path: &str, body: &Value, key: &str) -> Result<Value> {
        self.send(path, body, Some(key))
    }

    fn send(&self, path: &str, body: &Value, once: Option<&str>) -> Result<Value> {
        let mut request = self.agent.post(format!("{}{path}", self.url)).header("X-Admin-Key", &self.key);
        if let Some(key) = once {
            request = request.header("Idempotency-Key", key);
        }
        let mut answer = request.send_json(body).with_context(|| format!("POST {path}"))?;
        let (status, text) = (answer.status(), answer.body_mut().read_to_string()?);
        if !status.is_success() {
            bail!("POST {path}: {status} {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("POST {path}: {text}"))
    }

    /// Every event there is, oldest first: page after page of `/events/history`.
    ///
    /// # Errors
    /// When there is no answer, or it makes no sense.
    pub fn all_events(&self) -> Result<Vec<Value>> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            // 0 would ask for the newest ones; a number is cut to a whole one
            let since = all.last().map_or(Some(0.5), |event| event["id"].as_f64()).context("an event's number")?;
            let page = self.get(&format!("/api/v1/events/history?limit=2000&since={since}"))?;
            let page = page["events"].as_array().context("events are an array")?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page.iter().cloned());
        }
    }

    /// A body as text, whatever it is.
    ///
    /// # Errors
    /// When there is no answer or no success.
    pub fn text(&self, path: &str) -> Result<String> {
        let mut answer = self.agent.get(format!("{}{path}", self.url)).call()?;
        if !answer.status().is_success() {
            bail!("GET {path}: {}", answer.status());
        }
        Ok(answer.body_mut().read_to_string()?)
    }
}
