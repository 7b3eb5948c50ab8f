//! Operations on the configuration of a running server.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::error::Refused;
use crate::router::Shared;

/// Shows and replaces the configuration. Every operation may read files, so it is called where that may block.
pub trait ConfigControl: Send + Sync + fmt::Debug {
    /// Returns what serves now, and what was last refused.
    ///
    /// # Errors
    ///
    /// No server runs.
    fn status(&self) -> Result<ConfigStatus, String>;

    /// Reads the files again and serves by them.
    ///
    /// # Errors
    ///
    /// They cannot be used, with file, line, key and what would be right; what served goes on serving.
    fn reload(&self) -> Result<ConfigStatus, String>;
}

/// Which configuration serves, since when, and what the files say that does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// The file.
    pub file: PathBuf,
    /// The configuration that serves, as `x-btvep-config` names it.
    pub hash: String,
    /// Unix milliseconds when it was taken over.
    pub since_ms: i64,
    /// Why the files were read: `start`, `files`, `sighup`, `command`, `rollback`.
    pub trigger: String,
    /// What it changed.
    pub changed: Vec<ConfigChange>,
    /// Keys whose new values wait for a restart.
    pub needs_restart: Vec<String>,
    /// Whether the files, as they were last read, are what serves.
    pub is_current: bool,
    /// What was last refused.
    pub refused: Option<ConfigRefusal>,
    /// Configurations taken over since the start.
    pub accepted_count: u64,
    /// Configurations refused since the start.
    pub refused_count: u64,
}

/// A value that differs. Secrets are references.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// The key's path, such as `model.0.price`, or a file.
    pub path: String,
    /// As it was; null when there was none.
    pub before: Option<String>,
    /// As it is; null when there is none.
    pub after: Option<String>,
}

/// A configuration that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRefusal {
    /// Unix milliseconds.
    pub at_ms: i64,
    /// Why the files were read.
    pub trigger: String,
    /// What is wrong, with file, line and key, and what would be right.
    pub reason: String,
}

pub(crate) async fn status(State(operations): Shared) -> Result<Json<ConfigStatus>, Refused> {
    blocking(&operations.control.config, |config| config.status()).await
}

pub(crate) async fn reload(State(operations): Shared) -> Result<Json<ConfigStatus>, Refused> {
    blocking(&operations.control.config, |config| config.reload()).await
}

/// Runs an operation where it may block.
async fn blocking<T: Send + 'static>(
    config: &Arc<dyn ConfigControl>,
    operation: impl FnOnce(&dyn ConfigControl) -> Result<T, String> + Send + 'static,
) -> Result<Json<T>, Refused> {
    let config = Arc::clone(config);
    let done = tokio::task::spawn_blocking(move || operation(&*config)).await;
    done.map_err(|error| Refused::Config(error.to_string()))?.map(Json).map_err(Refused::Config)
}
