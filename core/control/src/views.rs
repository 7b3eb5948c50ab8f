//! What the control plane says and takes, as JSON.

use std::sync::Arc;

use btvep_domain::{
    Account, ContentPolicy, Credits, Explanation, Hotkey, Key, KeyId, KeyPolicy, LogRow, ModerationMode, RateRule, Uid,
};
use serde::{Deserialize, Deserializer, Serialize};

/// A key with its account. Limits that are null are those of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyView {
    /// Its id.
    pub id: KeyId,
    /// The key itself, `btvep_<id>_<secret>`: only in the answer to its creation, never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The owner's name for it.
    pub name: Option<String>,
    /// A disabled key is refused.
    pub enabled: bool,
    /// Unix time in seconds after which it is refused; null means never.
    pub valid_until: Option<i64>,
    /// What is left, settled; null means unlimited.
    pub credits: Option<Credits>,
    /// Held by requests in flight.
    pub held: Credits,
    /// API requests that were admitted, ever.
    pub api_request_count: u64,
    /// Miners asked, ever.
    pub request_count: u64,
    /// Rules of its own; null means the defaults, an empty list no limit.
    pub rate_limits: Option<Vec<RateRule>>,
    /// Requests in flight at the same time.
    pub concurrency: Option<u32>,
    /// The strategy when a request names none.
    pub default_query_strategy: Option<String>,
    /// The most miners one request may ask.
    pub max_top_n: Option<u16>,
    /// Models it may use; null means all.
    pub models: Option<Vec<String>>,
    /// Strategies it may name; null means all.
    pub strategies: Option<Vec<String>>,
    /// What the request log keeps of its prompts and answers.
    pub content: Option<ContentPolicy>,
    /// How its prompts are moderated.
    pub moderation: Option<ModerationMode>,
    /// Whether it may ask how an answer came about; null means no.
    pub explain: Option<bool>,
    /// Unix time in seconds.
    pub created_at: i64,
    /// Unix time in seconds.
    pub updated_at: i64,
}

impl KeyView {
    /// Joins a key and its account.
    pub fn new(key: &Key, account: &Account) -> Self {
        let policy = key.policy.as_deref().cloned().unwrap_or_default();
        Self {
            id: key.id,
            key: None,
            name: key.name.as_deref().map(str::to_owned),
            enabled: key.enabled,
            valid_until: key.valid_until,
            credits: account.credits,
            held: account.held,
            api_request_count: account.api_request_count,
            request_count: account.request_count,
            rate_limits: policy.rate_limits,
            concurrency: policy.concurrency,
            default_query_strategy: policy.default_query_strategy,
            max_top_n: policy.max_top_n,
            models: policy.models,
            strategies: policy.strategies,
            content: policy.content,
            moderation: policy.moderation,
            explain: policy.explain,
            created_at: key.created_at,
            updated_at: key.updated_at,
        }
    }
}

/// A page of keys, by id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<KeyView>,
    /// Where the next page begins (`after`); null at the end.
    pub next: Option<KeyId>,
}

/// A change of a key: what is absent stays, null clears.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyChange {
    /// New name.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub name: Option<Option<String>>,
    /// Enable or disable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// New expiry, unix seconds; null means never.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Option<i64>>,
    /// New balance; null means unlimited.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub credits: Option<Option<Credits>>,
    /// New rules; null means the defaults, an empty list no limit.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub rate_limits: Option<Option<Vec<RateRule>>>,
    /// New concurrency.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Option<u32>>,
    /// New default strategy.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub default_query_strategy: Option<Option<String>>,
    /// New bound of miners.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub max_top_n: Option<Option<u16>>,
    /// New models.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub models: Option<Option<Vec<String>>>,
    /// New strategies.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub strategies: Option<Option<Vec<String>>>,
    /// New content policy.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub content: Option<Option<ContentPolicy>>,
    /// New moderation.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub moderation: Option<Option<ModerationMode>>,
    /// Whether it may ask how an answer came about.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub explain: Option<Option<bool>>,
}

fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

impl KeyChange {
    /// Returns the policy after the change, or none when it stays.
    pub(crate) fn policy(&self, before: Option<&KeyPolicy>) -> Option<KeyPolicy> {
        let before = before.cloned().unwrap_or_default();
        let mut after = before.clone();
        set(&mut after.rate_limits, &self.rate_limits);
        set(&mut after.concurrency, &self.concurrency);
        set(&mut after.default_query_strategy, &self.default_query_strategy);
        set(&mut after.max_top_n, &self.max_top_n);
        set(&mut after.models, &self.models);
        set(&mut after.strategies, &self.strategies);
        set(&mut after.content, &self.content);
        set(&mut after.moderation, &self.moderation);
        set(&mut after.explain, &self.explain);
        (after != before).then_some(after)
    }
}

#[expect(clippy::option_option, clippy::ref_option, reason = "absent and null are different wishes")]
fn set<T: Clone>(field: &mut Option<T>, wish: &Option<Option<T>>) {
    if let Some(value) = wish {
        field.clone_from(value);
    }
}

/// The rules of one key; null means the defaults.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RateLimits {
    /// In the order they were added.
    pub rate_limits: Option<Vec<RateRule>>,
}

/// What was deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deleted {
    /// The key.
    pub id: KeyId,
    /// Always true.
    pub deleted: bool,
}

/// How one answer came about, with what its row tells beside it. No text of the prompt or the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// The request.
    pub request_id: Arc<str>,
    /// Unix milliseconds when it was received.
    pub at_ms: i64,
    /// The model.
    pub model: Option<Arc<str>>,
    /// HTTP status.
    pub status: u16,
    /// How it ended, as in the log.
    pub outcome: String,
    /// The cause, as in the log.
    pub error: Option<String>,
    /// From receiving to the end.
    pub elapsed_us: u64,
    /// All else.
    pub explain: Explanation,
}

impl Explained {
    /// Returns what a row explains, if it does.
    pub(crate) fn of(row: LogRow) -> Option<Self> {
        Some(Self {
            explain: *row.explain?,
            request_id: row.request_id,
            at_ms: row.at_ms,
            model: row.model,
            status: row.status,
            outcome: row.outcome,
            error: row.error,
            elapsed_us: row.elapsed_us,
        })
    }
}

/// A neuron as a page or a table shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinerView {
    /// Its place.
    pub uid: Uid,
    /// Who it is.
    pub hotkey: Hotkey,
    /// Who owns it.
    pub coldkey: Hotkey,
    /// `ip:port`; null when it does not serve.
    pub axon: Option<std::net::SocketAddr>,
    /// As the chain stores it: `0..=65535`.
    pub incentive: u16,
    /// In rao.
    pub stake: u64,
    /// Whether it may set weights.
    pub validator_permit: bool,
    /// Whether the chain calls it active.
    pub active: bool,
}

impl From<&btvep_domain::Neuron> for MinerView {
    fn from(neuron: &btvep_domain::Neuron) -> Self {
        Self {
            uid: neuron.uid,
            hotkey: neuron.hotkey,
            coldkey: neuron.coldkey,
            axon: neuron.axon,
            incentive: neuron.incentive.0,
            stake: neuron.stake,
            validator_permit: neuron.validator_permit,
            active: neuron.active,
        }
    }
}

/// What a server, or the CLI in its place, says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Whether paid work can be accounted for now.
    pub store_ready: bool,
    /// Rows that the request log had to drop.
    pub log_rows_dropped: u64,
    /// Miners known.
    pub miners: usize,
}
