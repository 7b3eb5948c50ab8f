//! Opens the store of a configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use btvep_domain::{Accounts, Keys, Logs, StoreError};
use btvep_state::{Embedded, Memory};

use crate::config::{LoadError, Loaded};

/// Keys, money and rows behind their contracts.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// The keys.
    pub(crate) keys: Arc<dyn Keys>,
    /// The money.
    pub(crate) accounts: Arc<dyn Accounts>,
    /// The request log.
    pub(crate) logs: Arc<dyn Logs>,
    embedded: Option<Arc<Embedded>>,
}

impl Store {
    /// Returns an empty store that ends with the process.
    pub(crate) fn in_memory() -> Self {
        Self::of(Arc::new(Memory::new()))
    }

    fn of<T: Keys + Accounts + Logs + 'static>(store: Arc<T>) -> Self {
        Self { keys: Arc::clone(&store) as _, accounts: Arc::clone(&store) as _, logs: store, embedded: None }
    }

    /// Writes what waits and lets another process have the store; blocks until then.
    pub(crate) fn close(&self) {
        if let Some(embedded) = &self.embedded {
            embedded.close();
        }
    }
}

/// Says whether the store's folder can be written, or made, without making it.
///
/// # Errors
///
/// Why not.
pub(crate) fn check_writable(loaded: &Loaded) -> Result<(), LoadError> {
    let folder = loaded.state_path();
    let refuse = |message: String| loaded.source.error("state.path", message);
    let nearest = nearest_existing(&folder);
    if !nearest.is_dir() {
        return Err(refuse(format!("{} is no folder; write one that is there or can be made", nearest.display())));
    }
    let probe = nearest.join(format!(".btvep-check-{}", std::process::id()));
    let written = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe));
    written.map_err(|error| {
        refuse(format!("{} cannot be written: {error}; give it to the user that runs this", nearest.display()))
    })?;
    btvep_control::AdminSocket::check(&folder).map(drop).map_err(|error| refuse(error.to_string()))
}

fn nearest_existing(folder: &Path) -> PathBuf {
    let existing = folder.ancestors().find(|path| path.exists() && !path.as_os_str().is_empty());
    existing.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Opens the store of a configuration, or makes it; blocks while it reads the keys.
///
/// # Errors
///
/// It is in use, damaged, or its pepper is missing.
pub(crate) fn open(loaded: &Loaded) -> Result<Store, OpenError> {
    let mut config = loaded.config.state.clone();
    config.path = loaded.state_path();
    let pepper = config.pepper.as_ref().map(|pepper| loaded.resolver().secret(pepper)).transpose();
    let pepper = pepper.map_err(|message| loaded.source.error("state.pepper", message))?;
    let embedded = Embedded::open(&config, pepper.as_ref())?;
    Ok(Store { embedded: Some(Arc::clone(&embedded)), ..Store::of(embedded) })
}

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Its pepper cannot be read.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// It is in use or damaged.
    #[error(transparent)]
    State(#[from] btvep_state::OpenError),
}

impl OpenError {
    /// Whether another process has it now.
    pub(crate) const fn is_locked(&self) -> bool {
        matches!(self, Self::State(btvep_state::OpenError::Store(StoreError::Locked(_))))
    }
}
