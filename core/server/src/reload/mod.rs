//! The one way from files to what serves, while it serves: read, check, build all of it, then swap; else what served
//! goes on serving and the reason is kept.
//!
//! `watch`, `signal` and `operations` are who asks for it; `record` keeps what came of it.

mod change;
mod files;
mod history;
mod metrics;
mod operations;
mod record;
pub(crate) mod restart;
mod signal;
mod stopped;
mod trigger;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use btvep_control::{ConfigChange, ConfigStatus};
use btvep_engine::Engine;
use btvep_gateway::{Certificate, FreshCertificate, GatewayConfig, Settings};
use parking_lot::Mutex;
use prometheus::Registry;
use tracing_subscriber::EnvFilter;

use crate::assemble::{self, Built, Parts, certificate, listen};
use crate::config::{Fingerprint, LoadError, Loaded};
use crate::logging::{self, Level};

use files::Seen;
use history::History;
use record::Record;

pub(crate) use signal::Hangups;
pub(crate) use stopped::StoppedConfig;
pub(crate) use trigger::Trigger;
pub(crate) use watch::Watching;

/// What requests are served by; each part is swapped in one step.
#[derive(Debug)]
pub(crate) struct Live {
    /// Filters, strategies, models, miners.
    pub(crate) engine: Arc<Engine>,
    /// Limits and patience of the gateway.
    pub(crate) settings: Settings,
    /// What is shown in handshakes; none without TLS.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// How much is said.
    pub(crate) level: Level,
}

/// Reloads the configuration of a running server, one at a time.
#[derive(Debug)]
pub(crate) struct Reloader {
    file: PathBuf,
    sets: Vec<String>,
    live: Live,
    running: Mutex<Running>,
    seen: Mutex<Seen>,
    record: Record,
}

/// What serves.
#[derive(Debug)]
pub(crate) struct Running {
    /// As it is in force: what needs a restart is as it was at the start.
    loaded: Loaded,
    /// The files it was read from, beside its own.
    files: Vec<(PathBuf, Fingerprint)>,
    /// What outlives it.
    parts: Parts,
}

/// Everything that a swap needs; nothing of it can fail any more.
struct Ready {
    loaded: Loaded,
    built: Built,
    parts: Parts,
    certificate: Option<FreshCertificate>,
    level: EnvFilter,
    needs_restart: Vec<String>,
}

impl Running {
    /// Takes what was built; `files` are those that the build has read.
    pub(crate) fn new(loaded: Loaded, mut files: Vec<(PathBuf, Fingerprint)>, parts: Parts) -> Self {
        if let Some(tls) = listen(&loaded).tls {
            files.extend(files::content(&tls.cert).map(|content| (tls.cert, content)));
        }
        Self { loaded, files, parts }
    }

    /// Does all that can fail for another configuration to take the place of this one.
    fn prepare(&self, mut loaded: Loaded) -> Result<Ready, LoadError> {
        let needs_restart = restart::keep(&self.loaded.config, &mut loaded.config);
        let level = logging::check(&loaded.config.log).map_err(|message| loaded.source.error("log.level", message))?;
        let certificate = certificate(&loaded)?;
        let mut parts = self.parts.clone();
        let built = assemble::build(&loaded, &mut parts)?;
        Ok(Ready { loaded, built, parts, certificate, level, needs_restart })
    }
}

impl Reloader {
    /// Takes over what a start has made of a file and of `--set`.
    ///
    /// # Errors
    ///
    /// Its metrics are registered there already.
    pub(crate) fn new(
        (file, sets): (PathBuf, Vec<String>),
        live: Live,
        running: Running,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let seen = Mutex::new(Seen::of(&running));
        let record = Record::new(&file, History::new(&running.loaded.state_path()), registry)?;
        record.started(&live.engine.service().config, running.loaded.source.text());
        Ok(Self { file, sets, live, running: Mutex::new(running), seen, record })
    }

    /// Reads the files again and serves by them from the next request on. Blocks; requests in flight keep what they
    /// began with.
    ///
    /// # Errors
    ///
    /// The files cannot be used; what served goes on serving.
    pub(crate) fn reload(&self, trigger: Trigger) -> Result<ConfigStatus, LoadError> {
        self.reload_locked(&mut self.running.lock(), trigger)
    }

    fn reload_locked(&self, running: &mut Running, trigger: Trigger) -> Result<ConfigStatus, LoadError> {
        // Before they are read: what changes meanwhile is noticed at the next look.
        self.seen.lock().look_again(running);
        let done = self.read_and_swap(running, trigger);
        self.seen.lock().look_at_new(running);
        done.inspect_err(|error| self.record.refused(trigger, error))
    }

    fn read_and_swap(&self, running: &mut Running, trigger: Trigger) -> Result<ConfigStatus, LoadError> {
        let loaded = Loaded::read(&self.file, &self.sets)?;
        self.seen.lock().named(&loaded);
        let ready = running.prepare(loaded)?;
        let needs_restart = ready.needs_restart.clone();
        let changed = self.swap(running, ready);
        let hash = &self.live.engine.service().config;
        let text = running.loaded.source.text();
        Ok(self.record.accepted(trigger, (hash, text), (changed, needs_restart)))
    }

    /// Serves by what is ready; returns what that changes.
    fn swap(&self, running: &mut Running, ready: Ready) -> Vec<ConfigChange> {
        let Ready { loaded, built: Built { service, files }, parts, certificate, level, .. } = ready;
        let now = Running::new(loaded, files, parts);
        let mut changed = change::changes(&running.loaded.config, &now.loaded.config);
        changed.extend(change::files(&running.files, &now.files));
        if let (Some(shown), Some(fresh)) = (&self.live.certificate, certificate) {
            shown.replace(fresh);
        }
        self.live.level.set(level);
        self.live.settings.replace(gateway(&now.loaded));
        self.live.engine.replace(service);
        *running = now;
        changed
    }
}

/// Returns what the gateway runs with.
pub(crate) fn gateway(loaded: &Loaded) -> GatewayConfig {
    GatewayConfig { listen: listen(loaded), limits: loaded.config.limits.clone() }
}

/// Returns unix milliseconds.
fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
