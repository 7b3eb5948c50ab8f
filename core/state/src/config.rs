use std::path::PathBuf;

use btvep_domain::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where keys, credits and request rows are kept, and how safely.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StateConfig {
    /// The directory of the store. It may exist and hold other files; ours are `store/`, `logs/` and `pepper`.
    pub path: PathBuf,
    /// What an answer waits for.
    pub durability: Durability,
    /// Whether each commit is also synced to the disk, so that it survives a loss of power as far as the disk
    /// keeps its word. Without it a commit survives the end of the process, not the end of the machine.
    pub sync_data: bool,
    /// Memory for pages of the store that were read or written lately, in bytes.
    pub cache_bytes: u64,
    /// The secret with which keys are hashed, as `env:NAME` or `file:PATH`. Absent: made at the first start in the
    /// file `pepper` beside the store. Without it no key can be checked: keep a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pepper: Option<SecretRef>,
    /// The request log.
    pub logs: LogsConfig,
}

/// What an answer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The charge is on disk before the answer leaves; many requests share one write.
    #[default]
    Group,
    /// The charge is written before the answer leaves and synced every 50 ms: a loss of power may lose the last 50 ms of
    /// charges, the end of the process none.
    Relaxed,
}

/// How request rows are kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogsConfig {
    /// Size in bytes at which a new file of the same day is begun.
    pub segment_bytes: u64,
    /// Days after which a day's rows are deleted; 0 keeps them for ever.
    pub retain_days: u32,
    /// Size in bytes of all rows above which the oldest files are deleted; 0 means no limit.
    pub retain_bytes: u64,
    /// Rows that may wait for the writer.
    pub queue: usize,
    /// What happens to a row that finds the queue full.
    pub when_full: WhenFull,
}

/// What happens to a row that finds the queue full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// It is dropped and counted, and the gap becomes a row of its own.
    #[default]
    Drop,
    /// The request waits for a place, at most a second.
    Block,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("state"),
            durability: Durability::default(),
            sync_data: true,
            cache_bytes: 16 << 20,
            pepper: None,
            logs: LogsConfig::default(),
        }
    }
}

impl Default for LogsConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            retain_days: 30,
            retain_bytes: 10 << 30,
            queue: 8192,
            when_full: WhenFull::default(),
        }
    }
}
