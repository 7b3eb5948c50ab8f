//! `[reload]`: how a changed configuration is noticed.

use std::time::Duration;

use btvep_domain::written;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[reload]`: how a changed configuration is noticed. SIGHUP and `btvep config reload` always count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReloadConfig {
    /// Whether the files are watched: the configuration, the neurons files it names, certificate and key. Secrets
    /// are read again with them, but not watched.
    pub watch: bool,
    /// How often watched files are looked at besides, for file systems that do not tell of changes. At least 100 ms.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub poll: Duration,
}

impl Default for ReloadConfig {
    fn default() -> Self {
        Self { watch: true, poll: Duration::from_secs(30) }
    }
}
