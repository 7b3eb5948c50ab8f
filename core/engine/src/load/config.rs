use btvep_domain::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much the server carries at the same time. What comes beyond is refused with a 503 and a `Retry-After`, before
/// anything is paid or any miner asked.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OverloadConfig {
    /// Prompts in flight, from their head to the last byte of their answer.
    #[schemars(range(min = 1))]
    pub requests: usize,
    /// Bytes of memory for what prompts in flight hold: bodies, and answers that wait for their client; at least four
    /// times `limits.body_bytes`. A prompt is let in while no more than half is taken; the other half is for the answers
    /// to those that are in.
    pub bytes: usize,
    /// The part of both that one key may hold while it is alone. The rest waits for others: with several busy keys each
    /// holds the same.
    #[schemars(range(min = 0.01, max = 0.99))]
    pub key_share: f64,
    /// The part of both that all requests without a valid key may hold together.
    #[schemars(range(min = 0.01, max = 0.99))]
    pub stranger_share: f64,
    /// Open connections of clients; further ones are closed at once. Each takes about 50 KB of memory, and 70 KB while
    /// it is answered. Never more than half of the files the process may have open (`ulimit -n`), because miners need
    /// connections, too.
    #[schemars(range(min = 1))]
    pub connections: usize,
}

impl Default for OverloadConfig {
    fn default() -> Self {
        Self { requests: 4096, bytes: 256 << 20, key_share: 0.8, stranger_share: 0.1, connections: 4096 }
    }
}

impl OverloadConfig {
    /// Checks what the types cannot say; `path` is where the table stands, `body_bytes` the largest body allowed.
    ///
    /// # Errors
    ///
    /// A cap under which some request could never be served.
    pub fn validate(&self, path: &str, body_bytes: usize) -> Result<(), ConfigError> {
        let refuse = |key: &str, message: String| Err(ConfigError::new(format!("{path}.{key}"), message));
        for (key, cap) in [("requests", self.requests), ("connections", self.connections)] {
            if cap == 0 {
                return refuse(key, "must be at least 1".to_owned());
            }
        }
        let least = body_bytes.saturating_mul(2 * super::COPIES);
        if self.bytes < least {
            return refuse("bytes", format!("must be at least {least}, four times `limits.body_bytes`"));
        }
        for (key, share) in [("key_share", self.key_share), ("stranger_share", self.stranger_share)] {
            if !(0.01..=0.99).contains(&share) {
                return refuse(key, "must be from 0.01 to 0.99".to_owned());
            }
        }
        Ok(())
    }
}
