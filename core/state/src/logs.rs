//! The request log: rows in day-wise append-only files, `logs/YYYY-MM-DD.NNN.jsonl`.
//!
//! A row belongs to the day (UTC) it was received; one that ends after midnight stands in the next day's file.

mod filter;
mod reader;
mod segment;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use filter::{Filter, max_lines};

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use async_trait::async_trait;
use btvep_domain::{Appended, LogQuery, LogRow, Logs, StoreError};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use self::writer::Writer;
use crate::mailbox::Mailbox;
use crate::{LogsConfig, WhenFull};

/// Queries that read files at the same time.
const READERS: usize = 2;
/// The least time from one write to the next: rows gather, so that the writer is not woken for each.
const GATHER: Duration = Duration::from_millis(20);
/// How long a row waits for a place when the configuration says so.
const PATIENCE: Duration = Duration::from_secs(1);

/// Unix milliseconds; a test has its own.
pub(crate) type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The rows of one directory, and the thread that writes them.
pub(crate) struct SegmentLogs {
    directory: PathBuf,
    when_full: WhenFull,
    shared: Arc<Shared>,
    readers: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What requests and writer share.
#[derive(Debug)]
struct Shared {
    mailbox: Mailbox<Entry>,
    /// Rows lost since the start.
    dropped: AtomicU64,
    /// Rows lost since the last gap was written.
    gap: AtomicU64,
}

#[derive(Debug)]
enum Entry {
    Row(Box<LogRow>),
    Flush(oneshot::Sender<()>),
}

impl Shared {
    fn lose(&self, rows: u64) {
        self.dropped.fetch_add(rows, Ordering::Relaxed);
        self.gap.fetch_add(rows, Ordering::Relaxed);
    }
}

impl SegmentLogs {
    pub(crate) fn open(directory: PathBuf, config: &LogsConfig) -> io::Result<Self> {
        Self::open_at(directory, config, Arc::new(now_ms))
    }

    fn open_at(directory: PathBuf, config: &LogsConfig, clock: Clock) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            mailbox: Mailbox::new(config.queue.max(1), GATHER),
            dropped: AtomicU64::new(0),
            gap: AtomicU64::new(0),
        });
        let writer = Writer::open(directory.clone(), config.clone(), Arc::clone(&shared), clock)?;
        let writer = std::thread::Builder::new().name("btvep-logs".to_owned()).spawn(|| writer.run())?;
        Ok(Self {
            directory,
            when_full: config.when_full,
            shared,
            readers: Arc::new(Semaphore::new(READERS)),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Writes what waits and ends the writer.
    pub(crate) fn close(&self) {
        self.shared.mailbox.close();
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
    }
}

impl Drop for SegmentLogs {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for SegmentLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentLogs").field("directory", &self.directory).finish_non_exhaustive()
    }
}

#[async_trait]
impl Logs for SegmentLogs {
    fn append(&self, row: LogRow) -> Appended {
        let entry = Entry::Row(Box::new(row));
        let pushed = match self.when_full {
            WhenFull::Drop => self.shared.mailbox.push(entry),
            WhenFull::Block => self.shared.mailbox.push_within(entry, PATIENCE),
        };
        if pushed.is_err() {
            self.shared.lose(1);
            return Appended::Dropped;
        }
        Appended::Queued
    }

    async fn query(&self, query: LogQuery) -> Result<Vec<LogRow>, StoreError> {
        let unavailable = |error: String| StoreError::Unavailable(format!("the request log: {error}"));
        self.flush().await?;
        let readers = Arc::clone(&self.readers);
        let permit = readers.acquire_owned().await.map_err(|error| unavailable(error.to_string()))?;
        let directory = self.directory.clone();
        let read = tokio::task::spawn_blocking(move || {
            let rows = reader::query(&directory, &query);
            drop(permit);
            rows
        });
        let rows = read.await.map_err(|error| unavailable(error.to_string()))?;
        rows.map_err(|error| unavailable(error.to_string()))
    }

    fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    async fn flush(&self) -> Result<(), StoreError> {
        let (written, wait) = oneshot::channel();
        let pushed = self.shared.mailbox.push_over(Entry::Flush(written));
        if pushed.is_err() || wait.await.is_err() {
            return Err(StoreError::Unavailable("the request log is closed".to_owned()));
        }
        Ok(())
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
