//! The endpoint: OpenAI's moderation API, or one that speaks it.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Once;
use std::time::{Duration, Instant};

use btvep_domain::{ConfigError, Secret};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::Config;
use super::breaker::Breaker;

/// Most bytes of an answer.
const ANSWER: usize = 1 << 20;
/// Most categories of a verdict, and most characters of each: they go into the log.
const CATEGORIES: usize = 32;
const CATEGORY: usize = 64;

/// Why nobody can say whether a prompt is flagged. Shows neither the key nor the prompt.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unavailable {
    /// Neither endpoint nor list.
    #[error("nothing is configured that could moderate")]
    NotConfigured,
    /// It failed too often just now.
    #[error("the moderation endpoint is left alone after repeated failures")]
    Paused,
    /// It did not answer in time.
    #[error("the moderation endpoint did not answer within {0:?}")]
    Timeout(Duration),
    /// No connection, or it broke.
    #[error("the moderation endpoint cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It refused our key.
    #[error("the moderation endpoint refused the key with {0}; check `filters.moderation.key`")]
    Key(StatusCode),
    /// It answered with an error.
    #[error("the moderation endpoint answered {0}")]
    Status(StatusCode),
    /// Its answer is larger than any verdict.
    #[error("the moderation endpoint's answer is longer than {ANSWER} bytes")]
    TooLarge,
    /// Its answer is no verdict.
    #[error("the moderation endpoint's answer is no verdict")]
    Malformed(#[source] Option<serde_json::Error>),
}

/// A client of the endpoint, with a breaker.
#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
    url: Url,
    model: String,
    timeout: Duration,
    categories: Option<Vec<String>>,
    breaker: Breaker,
}

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    input: &'a [&'a str],
}

#[derive(Deserialize)]
struct Reply {
    results: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    flagged: bool,
    /// Null where a model does not know a category.
    #[serde(default)]
    categories: BTreeMap<String, Option<bool>>,
}

impl Remote {
    /// Makes the client; opens no connection.
    pub(super) fn new(config: &Config, secret: Option<&Secret>) -> Result<Self, ConfigError> {
        if config.timeout.is_zero() {
            return Err(ConfigError::new("filters.moderation.timeout", "write at least 1ms; 5s is usual"));
        }
        let url = endpoint(&config.base_url)?;
        Ok(Self {
            client: client(&url, config.timeout, secret)?,
            url,
            model: config.model.clone(),
            timeout: config.timeout,
            categories: config.categories.clone(),
            breaker: Breaker::default(),
        })
    }

    /// Returns the categories for which any of the texts is flagged; empty when none is.
    pub(super) async fn ask(&self, texts: &[&str], began: Instant) -> Result<Vec<String>, Unavailable> {
        if !self.breaker.admits(began) {
            return Err(Unavailable::Paused);
        }
        let found = self.send(texts).await;
        match &found {
            Ok(_) if self.breaker.succeeded() => info!("moderation answers again"),
            Err(error) if self.breaker.failed(Instant::now()) => {
                warn!(%error, "moderation has failed repeatedly and is left alone for a while");
            }
            _ => {}
        }
        found
    }

    async fn send(&self, texts: &[&str]) -> Result<Vec<String>, Unavailable> {
        let question = Question { model: &self.model, input: texts };
        let sent = self.client.post(self.url.clone()).json(&question).send().await;
        let response = sent.map_err(|error| self.broken(error))?;
        match response.status() {
            status if status.is_success() => {}
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => return Err(Unavailable::Key(status)),
            status => return Err(Unavailable::Status(status)),
        }
        let body = self.read(response).await?;
        let reply: Reply = serde_json::from_slice(&body).map_err(|error| Unavailable::Malformed(Some(error)))?;
        self.judge(&reply)
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Unavailable> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(error))? {
            if body.len() + chunk.len() > ANSWER {
                return Err(Unavailable::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn broken(&self, error: reqwest::Error) -> Unavailable {
        if error.is_timeout() {
            return Unavailable::Timeout(self.timeout);
        }
        Unavailable::Unreachable(error.without_url())
    }

    /// Sums up the findings. An answer about nothing is no verdict: it must not let prompts pass.
    fn judge(&self, reply: &Reply) -> Result<Vec<String>, Unavailable> {
        if reply.results.is_empty() {
            return Err(Unavailable::Malformed(None));
        }
        let mut found: Vec<String> = Vec::new();
        let mut is_flagged = false;
        for finding in &reply.results {
            let hit = finding.categories.iter().filter(|(_, hit)| **hit == Some(true)).map(|(name, _)| name);
            let counting: Vec<&String> = hit.filter(|name| self.counts(name)).collect();
            is_flagged |= if self.categories.is_some() { !counting.is_empty() } else { finding.flagged };
            found.extend(counting.into_iter().map(|name| name.chars().take(CATEGORY).collect()));
        }
        if !is_flagged {
            return Ok(Vec::new());
        }
        found.sort_unstable();
        found.dedup();
        found.truncate(CATEGORIES);
        if found.is_empty() {
            found.push("flagged".to_owned());
        }
        Ok(found)
    }

    fn counts(&self, category: &str) -> bool {
        self.categories.as_ref().is_none_or(|counting| counting.iter().any(|name| name == category))
    }
}

fn endpoint(base_url: &str) -> Result<Url, ConfigError> {
    let refuse = |message: &str| ConfigError::new("filters.moderation.base_url", message);
    let url = Url::parse(&format!("{}/moderations", base_url.trim_end_matches('/')))
        .map_err(|_| refuse("this is no URL; write for example `https://api.openai.com/v1`"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(refuse("only http and https URLs with a host can be asked"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("a URL with credentials or a query would be shown in pages; give the secret as `key`"));
    }
    Ok(url)
}

fn client(url: &Url, timeout: Duration, secret: Option<&Secret>) -> Result<Client, ConfigError> {
    install_tls();
    let mut headers = HeaderMap::new();
    if let Some(secret) = secret {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.expose())).map_err(|_| {
            ConfigError::new("filters.moderation.key", "the key holds characters that no header can carry")
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let mut builder = Client::builder()
        .default_headers(headers)
        .timeout(timeout)
        // A redirect would take prompts to somebody who was not configured, and so would a proxy of the environment.
        .redirect(redirect::Policy::none())
        .no_proxy();
    if url.scheme() == "http" {
        // Nobody's certificate is checked, so a machine without root certificates will do.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| ConfigError::new("filters.moderation", with_causes(&error)))
}

fn with_causes(error: &reqwest::Error) -> String {
    let mut message = format!("no HTTP client can be made: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    message
}

/// Chooses the process's TLS provider if nobody has: without one the client would panic.
fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Whoever was first is right; all of us use ring.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
