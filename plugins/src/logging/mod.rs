//! One row a request: evidence for the operator, kept as the key's owner allows.

mod row;
mod strangers;

use std::sync::Arc;

use async_trait::async_trait;
use btvep_domain::{ContentPolicy, Ending, Exchange, Filter, Flow, Logs, Needs, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use strangers::Strangers;

/// `[filters.logging]`: what the request log keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What a row keeps of prompt and answer, if the key does not say otherwise.
    pub content: ContentPolicy,
    /// Which rows tell how the answer came about, for `btvep explain`.
    pub explain: ExplainPolicy,
}

/// Which rows carry an explanation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExplainPolicy {
    /// None.
    Never,
    /// Where the client asked for it with `x-btvep-explain` and its key may.
    #[default]
    Asked,
    /// All.
    Always,
}

/// Appends a row to the request log when a request ends, however it ends.
///
/// It stands outermost, so that it sees what the other filters reject. Appending never waits: when the
/// log's queue is full the row is dropped and the gap is counted there.
#[derive(Debug)]
pub struct Logging {
    content: ContentPolicy,
    explain: ExplainPolicy,
    logs: Arc<dyn Logs>,
    strangers: Strangers,
}

impl Logging {
    /// Makes it over the log.
    pub fn new(config: &Config, logs: Arc<dyn Logs>) -> Self {
        Self { content: config.content, explain: config.explain, logs, strangers: Strangers::default() }
    }

    /// Returns how many requests of strangers have no row because there were too many in one second.
    pub fn strangers_not_logged(&self) -> u64 {
        self.strangers.skipped()
    }

    fn policy(&self, exchange: &Exchange) -> ContentPolicy {
        let own = exchange.key.as_ref().and_then(|key| key.policy.as_ref()).and_then(|policy| policy.content);
        own.unwrap_or(self.content)
    }
}

/// Whether a row of this policy is made from the answer's text.
const fn reads_text(policy: ContentPolicy) -> bool {
    matches!(policy, ContentPolicy::Hash | ContentPolicy::Full)
}

#[async_trait]
impl Filter for Logging {
    fn name(&self) -> &'static str {
        "logging"
    }

    fn needs(&self) -> Needs {
        let explanation = self.explain == ExplainPolicy::Always;
        Needs { answer: reads_text(self.content), explanation, ..Needs::default() }
    }

    fn wants_texts(&self, exchange: &Exchange) -> bool {
        reads_text(self.policy(exchange))
    }

    async fn on_request(&self, _exchange: &mut Exchange) -> Flow {
        Ok(())
    }

    fn on_end(&self, exchange: &Exchange, outcome: &Outcome) {
        let policy = self.policy(exchange);
        if policy == ContentPolicy::None {
            return;
        }
        // Whoever has a key is limited by it; the others could fill the disk.
        let is_stranger = exchange.key.is_none() && !matches!(outcome.ending, Ending::Answered | Ending::Streamed);
        if is_stranger && !self.strangers.admit(exchange.received_at) {
            return;
        }
        let mut row = row::build(exchange, outcome, policy);
        if self.explain == ExplainPolicy::Always || exchange.explain && self.explain == ExplainPolicy::Asked {
            row.explain.clone_from(&exchange.explanation);
        }
        // A full queue is counted by the log itself.
        let _ = self.logs.append(row);
    }
}

#[cfg(test)]
mod tests;
