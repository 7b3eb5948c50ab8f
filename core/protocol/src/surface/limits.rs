use btvep_domain::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one request may ask for. Whatever is larger is refused before anybody is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Bytes of a body. 1 MiB holds a text of about 200,000 words; raise it for images.
    #[schemars(range(min = 1))]
    pub body_bytes: usize,
    /// Levels of lists and objects within one another in a body.
    #[schemars(range(min = 2, max = 120))]
    pub json_depth: usize,
    /// Messages of a conversation.
    #[schemars(range(min = 1))]
    pub messages: usize,
    /// Miners that a request may name in `uids`; a subnet has 256 at most.
    #[schemars(range(min = 1))]
    pub uids: usize,
    /// The largest `top_n`, how many of the best miners a request asks.
    #[schemars(range(min = 1))]
    pub top_n: u16,
    /// The largest `in_parallel`, how many miners a request asks at the same time.
    #[schemars(range(min = 1))]
    pub in_parallel: u16,
    /// The largest `n`, how many choices a request wants of one miner.
    #[schemars(range(min = 1))]
    pub choices: u16,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            json_depth: 64,
            messages: 1024,
            uids: 256,
            top_n: 256,
            in_parallel: 256,
            choices: 16,
        }
    }
}

impl LimitsConfig {
    /// Checks what the types cannot say; `path` is where the table stands.
    ///
    /// # Errors
    ///
    /// A limit that would refuse everything, or that the parser cannot keep.
    pub fn validate(&self, path: &str) -> Result<(), ConfigError> {
        let refuse = |key: &str, message| Err(ConfigError::new(format!("{path}.{key}"), message));
        // The parser behind it stops at 128 levels whatever is configured.
        if !(2..=120).contains(&self.json_depth) {
            return refuse("json_depth", "must be from 2 to 120");
        }
        for (key, limit) in [
            ("body_bytes", self.body_bytes),
            ("messages", self.messages),
            ("uids", self.uids),
            ("top_n", self.top_n.into()),
            ("in_parallel", self.in_parallel.into()),
            ("choices", self.choices.into()),
        ] {
            if limit == 0 {
                return refuse(key, "must be at least 1");
            }
        }
        Ok(())
    }
}
