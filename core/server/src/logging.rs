//! What the process says of itself, on standard error.

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Libraries whose life cycle is no news; the configuration's own directives come later and win.
const QUIET: &str = "pingora=warn,pingora_core=warn,pingora_proxy=warn,sled=warn";

/// Says what the configuration asks for.
///
/// # Errors
///
/// The level is none.
pub(crate) fn init(config: &LogConfig) -> Result<(), String> {
    let filter = check(config)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call has nothing to add.
    let _ = match config.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Returns the filter of a configuration.
///
/// # Errors
///
/// The level is none.
pub(crate) fn check(config: &LogConfig) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("{QUIET},{}", config.level)).map_err(|error| {
        format!("`{}` is no level ({error}); write for example `info` or `info,btvep_engine=debug`", config.level)
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
