//! What the control plane asks of the configuration.

use btvep_control::{ConfigCandidate, ConfigChange, ConfigControl, ConfigStatus, ConfigVersion};

use super::history::HistoryError;
use super::{Reloader, Trigger, change};
use crate::config::{LoadError, Loaded, replace};

/// A configuration cannot take the place of the one that serves.
#[derive(Debug, thiserror::Error)]
pub(super) enum RollbackError {
    /// It is not there.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// It cannot be used any more.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The file cannot be written.
    #[error("{file} cannot be written: {cause}; nothing was changed")]
    Write {
        /// The configuration.
        file: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

impl Reloader {
    fn roll_back(&self, number: u64) -> Result<ConfigVersion, RollbackError> {
        let mut running = self.running.lock();
        let (version, text) = self.record.history.read(number)?;
        // All of it is tried before the file is touched.
        running.prepare(Loaded::from_text(&self.file, &text, &self.sets)?)?;
        let unwritable = |cause| RollbackError::Write { file: self.file.display().to_string(), cause };
        replace(&self.file, text.as_bytes()).map_err(unwritable)?;
        self.reload_locked(&mut running, Trigger::Rollback)?;
        Ok(version)
    }

    fn differences(&self, ConfigCandidate { file, text }: &ConfigCandidate) -> Result<Vec<ConfigChange>, LoadError> {
        let running = self.running.lock();
        let loaded = Loaded::from_text(file, text, &self.sets)?;
        // As it is written: with what would need a restart.
        let config = loaded.config.clone();
        running.prepare(loaded)?;
        Ok(change::changes(&running.loaded.config, &config))
    }
}

impl ConfigControl for Reloader {
    fn status(&self) -> Result<ConfigStatus, String> {
        Ok(self.record.status())
    }

    fn reload(&self) -> Result<ConfigStatus, String> {
        Self::reload(self, Trigger::Command).map_err(|error| error.to_string())
    }

    fn history(&self) -> Result<Vec<ConfigVersion>, String> {
        self.record.history.list().map_err(|error| error.to_string())
    }

    fn rollback(&self, number: u64) -> Result<ConfigVersion, String> {
        self.roll_back(number).map_err(|error| error.to_string())
    }

    fn diff(&self, candidate: &ConfigCandidate) -> Result<Vec<ConfigChange>, String> {
        self.differences(candidate).map_err(|error| error.to_string())
    }
}
