use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Credits, Explanation, Hotkey, KeyId, StoreError, Uid, Usage};

/// One miner's part in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowAttempt {
    /// The miner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<Uid>,
    /// The miner's hotkey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hotkey: Option<Hotkey>,
    /// The upstream's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Arc<str>>,
    /// `success`, `failed`, `partial` or `cancelled`.
    pub outcome: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// HTTP status of the miner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Time to the end.
    pub elapsed_ms: u32,
}

/// One request in the log, with its attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// The request.
    pub request_id: Arc<str>,
    /// Unix milliseconds when it was received.
    pub at_ms: i64,
    /// The configuration it was served by, as `x-btvep-config` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Arc<str>>,
    /// The key; none for a stranger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<std::net::IpAddr>,
    /// `openai` or `legacy`.
    pub surface: String,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
    /// The strategy that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Arc<str>>,
    /// Whether it was streamed.
    #[serde(default)]
    pub stream: bool,
    /// Whether it was accepted and sent to miners.
    pub is_api_success: bool,
    /// Whether a miner's answer was delivered.
    pub is_success: bool,
    /// HTTP status.
    pub status: u16,
    /// How it ended: `answered`, `streamed`, `partial`, `client_gone`, `panicked`, or the rejection's code.
    pub outcome: String,
    /// The cause, for the operator; never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was charged.
    pub charged: Credits,
    /// From receiving to the end.
    pub elapsed_us: u64,
    /// From receiving to the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_us: Option<u64>,
    /// Token counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Moderation's categories, if it flagged the prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flagged: Vec<String>,
    /// The miners asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<RowAttempt>,
    /// SHA-256 of the prompt, policy `hash` and `full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_sha256: Option<String>,
    /// SHA-256 of the answer, policy `hash` and `full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_sha256: Option<String>,
    /// The messages as received, policy `full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<serde_json::Value>,
    /// The answers' texts, policy `full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Vec<String>>,
    /// How the answer came about, if that was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<Box<Explanation>>,
}

/// Which rows; every condition given must hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogQuery {
    /// Rows of this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// Rows in which this miner was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responder_hotkey: Option<Hotkey>,
    /// Accepted and sent to miners, or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_api_success: Option<bool>,
    /// Delivered, or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_success: Option<bool>,
    /// This request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// From this unix millisecond on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<i64>,
    /// Up to and without this unix millisecond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<i64>,
    /// At most so many, newest first; absent means 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<usize>,
}

/// Whether a row found a place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It will be written.
    Queued,
    /// The queue was full; the gap is counted and written as a row of its own.
    Dropped,
}

/// The request log: evidence, not money. Appending never waits and never fails a request.
#[async_trait]
pub trait Logs: Send + Sync + fmt::Debug {
    /// Puts a row into the bounded queue of the writer.
    fn append(&self, row: LogRow) -> Appended;
    /// Returns rows, newest first; rows appended before the call are among them.
    async fn query(&self, query: LogQuery) -> Result<Vec<LogRow>, StoreError>;
    /// Rows dropped since the start because the queue was full.
    fn dropped(&self) -> u64;
    /// Waits until all rows queued so far are written.
    async fn flush(&self) -> Result<(), StoreError>;
}
