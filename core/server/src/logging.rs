//! What the process says of itself, on standard error.

use std::fmt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Libraries whose life cycle is no news. What `notify` says of a file that is written to would, where that file is the log
/// and lies beside the configuration, make it say more for ever. The configuration's own directives come later and win.
const QUIET: &str = "notify=warn,pingora=warn,pingora_core=warn,pingora_proxy=warn,sled=warn";

/// How much is said; it can be changed while the process runs.
pub(crate) struct Level(Box<dyn Fn(EnvFilter) + Send + Sync>);

impl Level {
    fn of<S: 'static>(handle: Handle<EnvFilter, S>) -> Self {
        Self(Box::new(move |filter| {
            // It fails when the subscriber is gone, and with it everybody who could be told.
            let _ = handle.reload(filter);
        }))
    }

    /// Says as much as this filter lets through from now on.
    pub(crate) fn set(&self, filter: EnvFilter) {
        (self.0)(filter);
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Level").finish_non_exhaustive()
    }
}

/// Says what the configuration asks for, and returns how to change how much that is.
///
/// # Errors
///
/// The level is none.
pub(crate) fn init(config: &LogConfig) -> Result<Level, String> {
    let filter = check(config)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call has nothing to add.
    Ok(match config.format {
        LogFormat::Text => {
            let builder = builder.with_ansi(false).with_filter_reloading();
            let level = Level::of(builder.reload_handle());
            let _ = builder.finish().try_init();
            level
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let level = Level::of(builder.reload_handle());
            let _ = builder.finish().try_init();
            level
        }
    })
}

/// Returns the filter of a configuration.
///
/// # Errors
///
/// The level is none.
pub(crate) fn check(config: &LogConfig) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("{QUIET},{}", config.level)).map_err(|_| {
        format!("`{}` is no level; write for example \"info\" or \"info,btvep_engine=debug\"", config.level)
    })
}

/// Says only what went wrong: for commands whose result is what they print.
pub(crate) fn init_quiet() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("warn"))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}
