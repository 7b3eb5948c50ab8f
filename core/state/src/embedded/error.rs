use std::io;
use std::path::{Path, PathBuf};

use btvep_domain::StoreError;

use super::db::CommitError;

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or directory of the store cannot be used.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is in use, cannot be read, or is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A newer version wrote it.
    #[error("the store was written by a newer version (layout {0}, this one knows 1); use that version")]
    Schema(String),
    /// The keys were hashed with a pepper that is not there.
    #[error("the pepper of the store's keys is missing; restore {path} or set `state.pepper`", path = .0.display())]
    PepperMissing(PathBuf),
    /// The keys were hashed with another pepper.
    #[error("the store's keys were hashed with another pepper; set `state.pepper` to the one they were made with")]
    PepperDiffers,
}

impl OpenError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn write(error: &CommitError) -> Self {
        Self::Store(StoreError::Unavailable(error.to_string()))
    }
}
