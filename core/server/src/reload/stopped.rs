use std::path::PathBuf;

use btvep_control::{ConfigCandidate, ConfigChange, ConfigControl, ConfigStatus, ConfigVersion};

use super::change::changes;
use super::history::History;
use crate::assemble;
use crate::config::{Loaded, replace};

/// The configuration while no server runs: what the next start would read.
#[derive(Debug)]
pub(crate) struct StoppedConfig {
    file: PathBuf,
    sets: Vec<String>,
    history: History,
}

/// What only a server can tell.
const NOBODY: &str = "no server runs with this state.path; `btvep start` starts one";

impl StoppedConfig {
    /// Takes the file, what is put over it, and the folder of the store.
    pub(crate) fn new(file: PathBuf, sets: Vec<String>, state: &std::path::Path) -> Self {
        Self { file, sets, history: History::new(state) }
    }
}

impl ConfigControl for StoppedConfig {
    fn status(&self) -> Result<ConfigStatus, String> {
        Err(NOBODY.to_owned())
    }

    fn reload(&self) -> Result<ConfigStatus, String> {
        Err(NOBODY.to_owned())
    }

    fn history(&self) -> Result<Vec<ConfigVersion>, String> {
        self.history.list().map_err(|error| error.to_string())
    }

    fn rollback(&self, number: u64) -> Result<ConfigVersion, String> {
        let (version, text) = self.history.read(number).map_err(|error| error.to_string())?;
        let loaded = Loaded::from_text(&self.file, &text, &self.sets);
        loaded.and_then(|loaded| assemble::preflight(&loaded)).map_err(|error| error.to_string())?;
        replace(&self.file, text.as_bytes()).map_err(|error| format!("{}: {error}", self.file.display()))?;
        Ok(version)
    }

    fn diff(&self, ConfigCandidate { file, text }: &ConfigCandidate) -> Result<Vec<ConfigChange>, String> {
        let now = Loaded::read(&self.file, &self.sets).map_err(|error| error.to_string())?;
        let loaded = Loaded::from_text(file, text, &self.sets).map_err(|error| error.to_string())?;
        assemble::preflight(&loaded).map_err(|error| error.to_string())?;
        Ok(changes(&now.config, &loaded.config))
    }
}
