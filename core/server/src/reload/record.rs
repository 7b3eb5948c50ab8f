//! What came of each reload: status, log, metrics, history.

use std::path::Path;

use btvep_control::{ConfigChange, ConfigRefusal, ConfigStatus};
use parking_lot::Mutex;
use prometheus::Registry;
use tracing::{error, info, warn};

use super::history::History;
use super::metrics::ReloadMetrics;
use super::{Trigger, change, now_ms};
use crate::config::LoadError;

/// Keeps what came of the reloads of one server.
#[derive(Debug)]
pub(super) struct Record {
    status: Mutex<ConfigStatus>,
    metrics: ReloadMetrics,
    pub(super) history: History,
}

impl Record {
    /// Begins with nothing.
    ///
    /// # Errors
    ///
    /// Its metrics are registered there already.
    pub(super) fn new(file: &Path, history: History, registry: &Registry) -> prometheus::Result<Self> {
        let status = ConfigStatus { file: file.to_owned(), ..ConfigStatus::default() };
        Ok(Self { status: Mutex::new(status), metrics: ReloadMetrics::new(registry)?, history })
    }

    /// Returns what serves now, and what was last refused.
    pub(super) fn status(&self) -> ConfigStatus {
        self.status.lock().clone()
    }

    /// Notes what the process was started with.
    pub(super) fn started(&self, hash: &str, text: &str) {
        self.serves(Trigger::Start, (hash, text), (Vec::new(), Vec::new()));
    }

    /// Notes that a configuration, given by hash and text, was taken over; what it changed, and what not.
    pub(super) fn accepted(
        &self,
        trigger: Trigger,
        serves: (&str, &str),
        came_of_it: (Vec<ConfigChange>, Vec<String>),
    ) -> ConfigStatus {
        let status = self.serves(trigger, serves, came_of_it);
        self.metrics.accepted();
        tell(&status);
        status
    }

    /// Notes that a configuration was refused.
    pub(super) fn refused(&self, trigger: Trigger, error: &LoadError) {
        self.metrics.refused();
        error!(error = %error, trigger = trigger.name(), "configuration refused; the last good one goes on serving");
        let mut status = self.status.lock();
        let (at_ms, trigger, reason) = (now_ms(), trigger.name().to_owned(), error.to_string());
        status.refused = Some(ConfigRefusal { at_ms, trigger, reason });
        status.is_current = false;
        status.refused_count += 1;
    }

    fn serves(
        &self,
        trigger: Trigger,
        (hash, text): (&str, &str),
        (changed, needs_restart): (Vec<ConfigChange>, Vec<String>),
    ) -> ConfigStatus {
        let since_ms = now_ms();
        self.metrics.serves(hash, since_ms);
        if let Err(error) = self.history.add(text, hash, since_ms) {
            error!(error = %error, "the configuration serves, but cannot be kept for a rollback");
        }
        let mut status = self.status.lock();
        *status = ConfigStatus {
            hash: hash.to_owned(),
            since_ms,
            trigger: trigger.name().to_owned(),
            changed,
            needs_restart,
            is_current: true,
            accepted_count: status.accepted_count + 1,
            ..status.clone()
        };
        status.clone()
    }
}

/// Logs what was taken over, and what was not.
fn tell(ConfigStatus { hash, trigger, changed, needs_restart, .. }: &ConfigStatus) {
    info!(config = hash, trigger, changed = change::shown(changed), "configuration taken over");
    tell_of_restart(needs_restart);
}

fn tell_of_restart(keys: &[String]) {
    if !keys.is_empty() {
        warn!(keys = keys.join(", "), "changed in the configuration, and needs a restart");
    }
}
