//! `[log]`: what the process says of itself, on standard error.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[log]`: what the process says of itself, on standard error. Requests are another matter: `[filters.logging]`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How much: `error`, `warn`, `info`, `debug`, `trace`, or a filter that says it for a part of the program.
    #[schemars(example = &"info,btvep_engine=debug")]
    pub level: String,
    /// In which form.
    #[schemars(extend("x-restart" = true))]
    pub format: LogFormat,
}

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A line of text each.
    #[default]
    Text,
    /// A JSON object each.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::default() }
    }
}
