//! The one way from files to what serves, while it serves: read, check, build all of it, then swap; else what served
//! goes on serving and the reason is kept.

mod change;
mod restart;
mod signal;
mod stopped;
mod trigger;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use btvep_control::{ConfigChange, ConfigControl, ConfigRefusal, ConfigStatus};
use btvep_engine::Engine;
use btvep_gateway::{Certificate, FreshCertificate, GatewayConfig, ListenConfig, Settings};
use parking_lot::Mutex;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

use crate::assemble::{self, Built, Parts};
use crate::config::{Fingerprint, LoadError, Loaded};
use crate::logging::{self, Level};

pub(crate) use signal::follow_hangups;
pub(crate) use stopped::StoppedConfig;
pub(crate) use trigger::Trigger;

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
    status: Mutex<ConfigStatus>,
}

/// What serves.
#[derive(Debug)]
pub(crate) struct Running {
    /// As it was read, and as it is in force: what needs a restart is as it was at the start.
    pub(crate) loaded: Loaded,
    /// The files it was read from, beside its own.
    pub(crate) files: Vec<(PathBuf, Fingerprint)>,
    /// What outlives it.
    pub(crate) parts: Parts,
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

impl Reloader {
    /// Takes over what a start has made of `file` and `sets`.
    pub(crate) fn new((file, sets): (PathBuf, Vec<String>), live: Live, running: Running) -> Self {
        let status = ConfigStatus {
            file: file.clone(),
            hash: live.engine.service().config.to_string(),
            since_ms: now_ms(),
            trigger: Trigger::Start.name().to_owned(),
            is_current: true,
            accepted_count: 1,
            ..ConfigStatus::default()
        };
        Self { file, sets, live, running: Mutex::new(running), status: Mutex::new(status) }
    }

    /// Reads the files again and serves by them from the next request on. Blocks; requests in flight keep what they
    /// began with.
    ///
    /// # Errors
    ///
    /// The files cannot be used; what served goes on serving.
    pub(crate) fn reload(&self, trigger: Trigger) -> Result<ConfigStatus, LoadError> {
        let mut running = self.running.lock();
        match self.prepare(&running) {
            Ok(ready) => {
                let needs_restart = ready.needs_restart.clone();
                let changed = self.swap(&mut running, ready);
                Ok(self.accepted(trigger, changed, needs_restart))
            }
            Err(error) => {
                self.refused(trigger, &error);
                Err(error)
            }
        }
    }

    /// Does all that can fail.
    fn prepare(&self, running: &Running) -> Result<Ready, LoadError> {
        let mut loaded = Loaded::read(&self.file, &self.sets)?;
        let needs_restart = restart::keep(&running.loaded.config, &mut loaded.config);
        let level = logging::check(&loaded.config.log).map_err(|message| loaded.source.error("log.level", message))?;
        let certificate = certificate(&loaded)?;
        let mut parts = running.parts.clone();
        let built = assemble::build(&loaded, &mut parts)?;
        Ok(Ready { loaded, built, parts, certificate, level, needs_restart })
    }

    /// Serves by what is ready; returns what that changes.
    fn swap(&self, running: &mut Running, ready: Ready) -> Vec<ConfigChange> {
        let Ready { loaded, built: Built { service, files }, parts, certificate, level, .. } = ready;
        let mut changed = change::changes(&running.loaded.config, &loaded.config);
        changed.extend(change::files(&running.files, &files));
        if let (Some(shown), Some(fresh)) = (&self.live.certificate, certificate) {
            shown.replace(fresh);
        }
        self.live.level.set(level);
        self.live.settings.replace(gateway(&loaded));
        self.live.engine.replace(service);
        *running = Running { loaded, files, parts };
        changed
    }

    fn accepted(&self, trigger: Trigger, changed: Vec<ConfigChange>, needs_restart: Vec<String>) -> ConfigStatus {
        let mut status = self.status.lock();
        *status = ConfigStatus {
            hash: self.live.engine.service().config.to_string(),
            since_ms: now_ms(),
            trigger: trigger.name().to_owned(),
            changed,
            needs_restart,
            is_current: true,
            accepted_count: status.accepted_count + 1,
            ..status.clone()
        };
        tell(&status);
        status.clone()
    }

    fn refused(&self, trigger: Trigger, error: &LoadError) {
        error!(error = %error, trigger = trigger.name(), "configuration refused; the last good one goes on serving");
        let mut status = self.status.lock();
        let (at_ms, trigger, reason) = (now_ms(), trigger.name().to_owned(), error.to_string());
        status.refused = Some(ConfigRefusal { at_ms, trigger, reason });
        status.is_current = false;
        status.refused_count += 1;
    }
}

impl ConfigControl for Reloader {
    fn status(&self) -> Result<ConfigStatus, String> {
        Ok(self.status.lock().clone())
    }

    fn reload(&self) -> Result<ConfigStatus, String> {
        Self::reload(self, Trigger::Command).map_err(|error| error.to_string())
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

/// Returns what the gateway runs with.
pub(crate) fn gateway(loaded: &Loaded) -> GatewayConfig {
    GatewayConfig { listen: listen(loaded), limits: loaded.config.limits.clone() }
}

/// Returns where to listen, with paths as seen from the working directory.
fn listen(loaded: &Loaded) -> ListenConfig {
    let resolver = loaded.resolver();
    let mut listen = loaded.config.listen.clone();
    if let Some(tls) = &mut listen.tls {
        tls.cert = resolver.path(&tls.cert);
        tls.key = resolver.path(&tls.key);
    }
    listen
}

fn certificate(loaded: &Loaded) -> Result<Option<FreshCertificate>, LoadError> {
    let read = listen(loaded).tls.as_ref().map(Certificate::read).transpose();
    read.map_err(|error| loaded.source.error("listen.tls", error.to_string()))
}

/// Returns unix milliseconds.
fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
