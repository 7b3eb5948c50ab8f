//! sled behind a redo log, and behind the few operations that were measured to be safe.
//!
//! A commit is durable in the log; sled catches up with many of them at once, before it is read, and is made durable when
//! the log is full. Of sled only the blocking `flush()` on one thread: its asynchronous form can stop the whole database,
//! and its transactions cost many times as much on a hot key.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use btvep_domain::StoreError;
use parking_lot::Mutex;
use sled::IVec;

use super::redo::{Batch, RedoLog};
use super::rows::COMMIT_ROW;

/// How a file reaches the disk; a test makes it fail.
pub(super) type SyncFile = Arc<dyn Fn(&File) -> io::Result<()> + Send + Sync>;

/// Rows that sled may be behind with.
const ROWS: usize = 1 << 16;

/// How long the lock of a store that was just closed may still be held by sled's own threads.
const UNLOCK: Duration = Duration::from_secs(2);

/// An open store: one tree of rows.
pub(super) struct Db {
    tree: sled::Db,
    front: Mutex<Front>,
    /// sled's own file: its flush asks for write-back only, the disk's cache is flushed through this.
    file: File,
    /// None: a commit survives the process, not the machine.
    sync: Option<SyncFile>,
}

/// What is committed and not in the tree yet.
struct Front {
    redo: RedoLog,
    /// The newest value of each row that was written since the tree caught up; none for a removed one.
    behind: HashMap<IVec, Option<IVec>, ahash::RandomState>,
}

/// A commit failed; what of it reached the disk is unknown until the store is opened again.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    #[error(transparent)]
    Sled(#[from] sled::Error),
    #[error("the redo log cannot be written: {0}")]
    Write(io::Error),
    #[error("the sync of the store failed: {0}")]
    Sync(io::Error),
    #[error("the store's engine panicked")]
    Panicked,
}

impl Db {
    /// Opens or makes the store in `dir`.
    pub(super) fn open(dir: &Path, cache_bytes: u64, sync: Option<SyncFile>) -> Result<Self, StoreError> {
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
        // A damaged store can make sled panic instead of failing.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let tree = match opened {
            Ok(Ok(db)) => db,
            Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => {
                return Err(StoreError::Locked(dir.display().to_string()));
            }
            Ok(Err(sled::Error::Io(error))) => return Err(StoreError::Unavailable(error.to_string())),
            Ok(Err(error)) => return Err(StoreError::Corrupt(error.to_string())),
            Err(_) => return Err(StoreError::Corrupt("the store's engine panicked while opening it".to_owned())),
        };
        let unavailable = |error: io::Error| StoreError::Unavailable(error.to_string());
        let file = File::open(dir.join("db")).map_err(unavailable)?;
        let (redo, frames) = RedoLog::open(&dir.join("redo")).map_err(unavailable)?;
        let db = Self { tree, front: Mutex::new(Front { redo, behind: HashMap::default() }), file, sync };
        db.redo(frames)?;
        Ok(db)
    }

    /// Brings the tree to where the log was.
    fn redo(&self, frames: Vec<(u64, Batch)>) -> Result<(), StoreError> {
        let mut newest = self.commit_number()?;
        let mut front = self.front.lock();
        for (number, batch) in frames {
            if number <= newest {
                continue;
            }
            if number != newest + 1 {
                return Err(StoreError::Corrupt(format!("commit {} is missing from the redo log", newest + 1)));
            }
            front.behind.extend(batch.into_rows());
            newest = number;
        }
        tracing::debug!(newest, rows = front.behind.len(), "the store is brought to its newest commit");
        front.redo.restart(newest + 1);
        self.settle(&mut front).map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    fn commit_number(&self) -> Result<u64, StoreError> {
        let Some(row) = self.get(COMMIT_ROW)? else { return Ok(0) };
        let number: [u8; 8] =
            row.as_ref().try_into().map_err(|_| StoreError::Corrupt("the number of the newest commit".to_owned()))?;
        Ok(u64::from_le_bytes(number))
    }

    /// Makes the tree durable, so that the log may begin at its front again.
    fn settle(&self, front: &mut Front) -> Result<(), CommitError> {
        self.advance(front)?;
        contained(|| Ok(self.tree.flush().map(drop)?))?;
        self.sync(&self.file)?;
        front.redo.restart(front.redo.next());
        Ok(())
    }

    /// Gives the tree what it lacks, all at once; everything must be durable in the log by now, or a loss of power could
    /// leave the tree ahead of it.
    fn advance(&self, front: &mut Front) -> Result<(), CommitError> {
        if front.behind.is_empty() {
            return Ok(());
        }
        let mut batch = sled::Batch::default();
        for (row, value) in &front.behind {
            match value {
                Some(value) => batch.insert(row, value),
                None => batch.remove(row),
            }
        }
        contained(|| Ok(self.tree.apply_batch(batch)?))?;
        front.behind.clear();
        front.behind.shrink_to(ROWS);
        Ok(())
    }

    /// Writes all rows of the batch or none; durable only after [`Self::flush`].
    pub(super) fn append(&self, mut batch: Batch) -> Result<(), CommitError> {
        let mut front = self.front.lock();
        batch.insert(COMMIT_ROW, front.redo.next().to_le_bytes());
        if !front.redo.has_room(&batch) || front.behind.len() > ROWS {
            self.sync(front.redo.file())?;
            self.settle(&mut front)?;
        }
        front.redo.append(&mut batch).map_err(CommitError::Write)?;
        front.behind.extend(batch.into_rows());
        Ok(())
    }

    /// Makes durable what was appended. A failed one is never tried again: the next could succeed without having
    /// written what the failed one lost.
    pub(super) fn flush(&self) -> Result<(), CommitError> {
        let front = self.front.lock();
        self.sync(front.redo.file())
    }

    /// Lets the tree hold all that was appended; before that it is not seen by whoever reads.
    pub(super) fn catch_up(&self) -> Result<(), CommitError> {
        let mut front = self.front.lock();
        if front.behind.is_empty() {
            return Ok(());
        }
        self.sync(front.redo.file())?;
        self.advance(&mut front)
    }

    fn sync(&self, file: &File) -> Result<(), CommitError> {
        self.sync.as_ref().map_or(Ok(()), |sync| sync(file)).map_err(CommitError::Sync)
    }

    /// Returns the value of a row.
    pub(super) fn get(&self, row: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.tree.get(row).map_err(|error| unreadable(&error))
    }

    /// Returns the rows whose keys begin so, in order.
    pub(super) fn scan(&self, prefix: &[u8]) -> impl DoubleEndedIterator<Item = Result<(IVec, IVec), StoreError>> {
        self.tree.scan_prefix(prefix).map(|row| row.map_err(|error| unreadable(&error)))
    }

    /// Returns the rows from `from` on whose keys begin with `prefix`, in order.
    pub(super) fn range(
        &self,
        prefix: &'static [u8],
        from: Vec<u8>,
    ) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> {
        let rows = self.tree.range(from..).map(|row| row.map_err(|error| unreadable(&error)));
        rows.take_while(move |row| row.as_ref().map_or(true, |(row, _)| row.starts_with(prefix)))
    }

    /// Returns the last row at or before `row` that begins with `prefix`.
    pub(super) fn last_up_to(&self, prefix: &[u8], row: Vec<u8>) -> Result<Option<(IVec, IVec)>, StoreError> {
        let last = self.tree.range(..=row).next_back().transpose().map_err(|error| unreadable(&error))?;
        Ok(last.filter(|(row, _)| row.starts_with(prefix)))
    }

    /// Closes the store and waits until another may open it.
    pub(super) fn close(self) {
        let Self { tree, file, .. } = self;
        // Dropping sled writes once more, which may fail as everything else did.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(tree)));
        let deadline = Instant::now() + UNLOCK;
        while file.try_lock().is_err() && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Db")
    }
}

fn contained(work: impl FnOnce() -> Result<(), CommitError>) -> Result<(), CommitError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(CommitError::Panicked))
}

fn unreadable(error: &sled::Error) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
