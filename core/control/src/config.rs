//! Operations on the configuration of a running server.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
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

    /// Returns the configurations that served last, oldest first.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn history(&self) -> Result<Vec<ConfigVersion>, String>;

    /// Puts one that served before in the place of the file, and serves by it.
    ///
    /// # Errors
    ///
    /// There is none of that number, it cannot be used any more, or the file cannot be written; nothing is changed.
    fn rollback(&self, number: u64) -> Result<ConfigVersion, String>;

    /// Returns how a file that could take the place of the configuration differs from what serves.
    ///
    /// # Errors
    ///
    /// It cannot be used, with file, line, key and what would be right.
    fn diff(&self, candidate: &ConfigCandidate) -> Result<Vec<ConfigChange>, String>;
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

/// A configuration that has served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigVersion {
    /// Its number; they rise.
    pub number: u64,
    /// Unix milliseconds when it was taken over.
    pub at_ms: i64,
    /// As `x-btvep-config` named it then; the files that it names may have changed since.
    pub hash: String,
    /// Length of its text.
    pub bytes: u64,
}

/// A file that could take the place of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigCandidate {
    /// Its name; relative paths within it are relative to it.
    pub file: PathBuf,
    /// What stands in it.
    pub text: String,
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

pub(crate) async fn history(State(operations): Shared) -> Result<Json<Vec<ConfigVersion>>, Refused> {
    blocking(&operations.control.config, |config| config.history()).await
}

pub(crate) async fn rollback(
    State(operations): Shared,
    number: Result<Path<u64>, PathRejection>,
) -> Result<Json<ConfigVersion>, Refused> {
    let Path(number) = number?;
    blocking(&operations.control.config, move |config| config.rollback(number)).await
}

pub(crate) async fn diff(
    State(operations): Shared,
    candidate: Result<Json<ConfigCandidate>, JsonRejection>,
) -> Result<Json<Vec<ConfigChange>>, Refused> {
    let Json(candidate) = candidate?;
    blocking(&operations.control.config, move |config| config.diff(&candidate)).await
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
