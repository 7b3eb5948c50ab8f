//! Every operation by its route.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use btvep_domain::{Accounts, KeyPolicy, Keys, Logs};
use tokio::sync::Mutex;

use crate::config::ConfigControl;
use crate::views::{MinerView, Status};
use crate::{config, explain, keys, logs};

/// Shows the miners that can be asked.
pub trait MinersView: Send + Sync + fmt::Debug {
    /// Returns every neuron known now, subnet by subnet, by uid.
    fn miners(&self) -> Vec<MinerView>;
}

/// Checks what only the configuration knows of a key's policy: strategies, models, rules.
pub trait PolicyCheck: Send + Sync + fmt::Debug {
    /// Checks what somebody wants a policy to be; what stays as it was is absent.
    ///
    /// # Errors
    ///
    /// What is wrong and what would be right.
    fn check(&self, policy: &KeyPolicy) -> Result<(), String>;
}

/// What the operations work on.
#[derive(Clone, Debug)]
pub struct Control {
    /// The keys.
    pub keys: Arc<dyn Keys>,
    /// The money.
    pub accounts: Arc<dyn Accounts>,
    /// The request log.
    pub logs: Arc<dyn Logs>,
    /// The miners.
    pub miners: Arc<dyn MinersView>,
    /// Checks policies before they are stored.
    pub policy: Arc<dyn PolicyCheck>,
    /// The configuration.
    pub config: Arc<dyn ConfigControl>,
    /// Version of the program.
    pub version: &'static str,
}

/// The operations' common state.
#[derive(Debug)]
pub(crate) struct Operations {
    pub(crate) control: Control,
    /// A change of a policy reads it first; two at a time would lose one.
    pub(crate) editing: Mutex<()>,
}

pub(crate) type Shared = State<Arc<Operations>>;

/// Returns the routes of all operations.
pub fn router(control: Control) -> Router {
    let state = Arc::new(Operations { control, editing: Mutex::new(()) });
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", get(keys::show).patch(keys::edit).delete(keys::delete))
        .route("/v1/keys/{id}/rate-limits", get(keys::rules).post(keys::add_rule))
        .route("/v1/keys/{id}/rate-limits/{index}", axum::routing::delete(keys::delete_rule))
        .route("/v1/config/status", get(config::status))
        .route("/v1/config/reload", post(config::reload))
        .route("/v1/config/history", get(config::history))
        .route("/v1/config/rollback/{number}", post(config::rollback))
        .route("/v1/config/diff", post(config::diff))
        .route("/v1/logs", post(logs::query))
        .route("/v1/explain/{request_id}", get(explain::show))
        .route("/v1/miners", get(miners))
        .with_state(state)
}

async fn miners(State(operations): Shared) -> Json<Vec<MinerView>> {
    Json(operations.control.miners.miners())
}

async fn status(State(operations): Shared) -> Json<Status> {
    let control = &operations.control;
    Json(Status {
        version: control.version.to_owned(),
        pid: std::process::id(),
        store_ready: control.accounts.health().is_ok(),
        log_rows_dropped: control.logs.dropped(),
        miners: control.miners.miners().len(),
    })
}
