use std::path::PathBuf;

use btvep_domain::{ConfigError, SecretRef, written};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where keys, credits and request rows are kept, and how safely.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StateConfig {
    /// The folder of the store, made at the first start. It may hold other files; ours are `store/`, `logs/`, `pepper`,
    /// and in a running server `admin.sock`.
    #[schemars(schema_with = "written::path")]
    pub path: PathBuf,
    /// What an answer waits for before it leaves.
    pub durability: Durability,
    /// Whether each write is also synced to the disk, so that it survives a loss of power as far as the disk keeps
    /// its word. Without it a write survives the end of the process, not that of the machine.
    pub sync_data: bool,
    /// Memory for pages of the store that were read or written lately.
    pub cache_bytes: u64,
    /// The secret with which API keys are hashed. When absent it is made at the first start, in the file `pepper`
    /// beside the store. Without it no key can be checked any more: keep a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pepper: Option<SecretRef>,
    /// How long the rows of the request log are kept.
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
    /// Size of a file of rows at which the next one of the same day is begun.
    #[schemars(range(min = 1))]
    pub segment_bytes: u64,
    /// Days after which a day's rows are deleted; 0 keeps them for ever.
    pub retain_days: u32,
    /// Size of all rows together above which the oldest files are deleted; 0 means no limit.
    pub retain_bytes: u64,
    /// Rows that may wait to be written.
    #[schemars(range(min = 1))]
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

impl StateConfig {
    /// Checks what the types cannot say; `path` is where the table stands.
    ///
    /// # Errors
    ///
    /// A value with which no row could be kept.
    pub fn validate(&self, path: &str) -> Result<(), ConfigError> {
        let LogsConfig { segment_bytes, queue, .. } = self.logs;
        let refuse = |key: &str, message: &str| Err(ConfigError::new(format!("{path}.logs.{key}"), message));
        if segment_bytes == 0 {
            return refuse("segment_bytes", "must be at least 1; 67108864 (64 MiB) is usual");
        }
        if queue == 0 {
            return refuse("queue", "must be at least 1; to keep no rows leave \"logging\" out of pipeline.filters");
        }
        Ok(())
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
