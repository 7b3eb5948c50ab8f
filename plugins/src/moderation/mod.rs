//! Whether a prompt may be answered: a list of the operator's own, and a moderation endpoint.

mod breaker;
mod local;
mod remote;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use btvep_domain::{
    ConfigError, Exchange, Filter, Flow, Kind, ModerationMode, Needs, Prompt, Rejection, Secret, SecretRef, Verdict,
    written,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::debug;

use local::WordList;
use remote::{Remote, Unavailable};

/// OpenAI's own endpoint.
const OPENAI: &str = "https://api.openai.com/v1";

/// `[filters.moderation]`: what prompts are refused for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What happens to a flagged prompt, and when the endpoint cannot answer, if the key does not say otherwise.
    pub mode: ModerationMode,
    /// Where the endpoint is, up to and without `/moderations`. It is asked when `key` is given, or when this is not
    /// OpenAI's own.
    pub base_url: String,
    /// The endpoint's model.
    pub model: String,
    /// The endpoint's API key. Without one OpenAI's endpoint is not asked.
    #[schemars(example = &"env:OPENAI_API_KEY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretRef>,
    /// How long the endpoint may take to answer.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub timeout: Duration,
    /// The endpoint's categories that count. When absent, whatever the endpoint flags counts.
    #[schemars(example = ["violence", "self-harm"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub categories: Option<Vec<String>>,
    /// Words and phrases for which a prompt is flagged without asking the endpoint; whole words, whatever the case of
    /// their letters.
    #[schemars(example = ["forbidden phrase"])]
    pub keywords: Vec<String>,
    /// Regular expressions for which a prompt is flagged without asking the endpoint; `(?i)` in front ignores case.
    #[schemars(example = [r"(?i)\bforbidden\b"])]
    pub patterns: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: ModerationMode::Off,
            base_url: OPENAI.to_owned(),
            model: "omni-moderation-latest".to_owned(),
            key: None,
            timeout: Duration::from_secs(5),
            categories: None,
            keywords: Vec::new(),
            patterns: Vec::new(),
        }
    }
}

/// Flags prompts by the operator's list first, then by asking the endpoint about all messages at once.
///
/// What was found stands on the exchange. An endpoint that cannot answer, refuses our key, or has failed
/// several times in a row is *unavailable*: the mode says what that means for the prompt. Only text is
/// looked at: images, sounds and the arguments of tool calls pass as they are.
#[derive(Debug)]
pub struct Moderation {
    mode: ModerationMode,
    list: WordList,
    remote: Option<Remote>,
}

impl Moderation {
    /// Makes it from its configuration and the endpoint's key, already read.
    ///
    /// # Errors
    ///
    /// A pattern, the base URL or the key cannot be used; or prompts shall be moderated and nothing can.
    pub fn new(config: &Config, secret: Option<&Secret>) -> Result<Self, ConfigError> {
        let list = WordList::new(&config.keywords, &config.patterns)?;
        let is_remote = secret.is_some() || config.base_url != OPENAI;
        let remote = is_remote.then(|| Remote::new(config, secret)).transpose()?;
        if config.mode != ModerationMode::Off && list.is_empty() && remote.is_none() {
            let message = "nothing can moderate; set `key`, `keywords` or `patterns`, or the mode to `off`";
            return Err(ConfigError::new("filters.moderation.mode", message));
        }
        Ok(Self { mode: config.mode, list, remote })
    }

    /// Returns what the prompt is flagged for; empty when it is not.
    async fn inspect(&self, prompt: &Prompt) -> Result<Vec<String>, Unavailable> {
        let texts: Vec<&str> = prompt.messages.iter().map(|m| m.text.as_str()).filter(|t| !t.is_empty()).collect();
        let found = self.list.find(&texts);
        if !found.is_empty() || texts.is_empty() {
            return Ok(found);
        }
        match &self.remote {
            Some(remote) => remote.ask(&texts, Instant::now()).await,
            None if self.list.is_empty() => Err(Unavailable::NotConfigured),
            None => Ok(found),
        }
    }
}

#[async_trait]
impl Filter for Moderation {
    fn name(&self) -> &'static str {
        "moderation"
    }

    fn needs(&self) -> Needs {
        Needs { network: true, ..Needs::default() }
    }

    async fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let policy = exchange.key.as_ref().and_then(|key| key.policy.as_deref());
        let mode = policy.and_then(|policy| policy.moderation).unwrap_or(self.mode);
        let Some(prompt) = exchange.prompt().filter(|_| mode != ModerationMode::Off) else { return Ok(()) };
        let found = self.inspect(prompt).await;
        let (verdict, flow) = judge(mode, found);
        exchange.verdict = Some(verdict);
        flow
    }
}

/// Says what a finding means in this mode.
fn judge(mode: ModerationMode, found: Result<Vec<String>, Unavailable>) -> (Verdict, Flow) {
    let verdict = |categories: Vec<String>, unavailable| Verdict {
        flagged: !categories.is_empty(),
        categories,
        mode,
        unavailable,
    };
    match found {
        Ok(categories) => {
            let is_refused = !categories.is_empty() && mode != ModerationMode::Monitor;
            let flow = if is_refused { Err(Rejection::new(Kind::ContentFiltered, REFUSED)) } else { Ok(()) };
            (verdict(categories, false), flow)
        }
        Err(error) if mode == ModerationMode::FailClosed => {
            let rejection = Rejection::new(Kind::ModerationUnavailable, UNAVAILABLE);
            (verdict(Vec::new(), true), Err(rejection.after(breaker::PAUSE).because(error)))
        }
        Err(error) => {
            debug!(%error, "moderation is unavailable, the prompt passes");
            (verdict(Vec::new(), true), Ok(()))
        }
    }
}

// The client is not told the words of the operator's list.
const REFUSED: &str = "the prompt was refused by moderation; rephrase it";
const UNAVAILABLE: &str = "moderation cannot answer now, and prompts are not served without it; try again later";

#[cfg(test)]
mod tests;
