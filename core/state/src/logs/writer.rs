//! The thread that turns rows into lines.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use btvep_domain::{Credits, LogRow};
use jiff::civil::Date;

use super::segment::{self, Segment};
use super::{Clock, Entry, Shared};
use crate::LogsConfig;

/// Lines gathered before they are written, unless the batch ends earlier.
const BUFFER: usize = 1 << 20;
/// How often old files are looked for.
const SWEEP: Duration = Duration::from_hours(1);
/// Files deleted in one step, and how soon the next step follows when some are left.
const DELETED: usize = 16;
const NEXT_STEP: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    directory: PathBuf,
    config: LogsConfig,
    shared: Arc<Shared>,
    clock: Clock,
    current: Option<Open>,
    /// Where the next file of a day gets its number from.
    newest: Option<Segment>,
    buffer: Vec<u8>,
    /// Rows in the buffer.
    buffered: u64,
    sweep_at: Instant,
    failing: bool,
}

/// The file that is being written.
struct Open {
    segment: Segment,
    file: File,
    bytes: u64,
}

impl Writer {
    /// Finds where the last process stopped and cuts off what it did not write whole.
    pub(super) fn open(directory: PathBuf, config: LogsConfig, shared: Arc<Shared>, clock: Clock) -> io::Result<Self> {
        let newest = segment::list(&directory)?.pop();
        let current = match newest {
            Some(segment) => {
                let bytes = segment::repair(&segment.path(&directory))?;
                Some(Open { segment, file: segment.open(&directory)?, bytes })
            }
            None => None,
        };
        Ok(Self {
            directory,
            config,
            shared,
            clock,
            current,
            newest,
            buffer: Vec::new(),
            buffered: 0,
            sweep_at: Instant::now(),
            failing: false,
        })
    }

    /// Works until the mailbox is closed and empty.
    pub(super) fn run(mut self) {
        let (mut entries, mut flushes) = (Vec::new(), Vec::new());
        loop {
            if Instant::now() >= self.sweep_at {
                self.sweep();
            }
            let more = self.shared.mailbox.drain(&mut entries, self.sweep_at);
            for entry in entries.drain(..) {
                match entry {
                    Entry::Row(row) => self.add(&row),
                    Entry::Flush(written) => flushes.push(written),
                }
            }
            self.write();
            self.write_gap();
            for written in flushes.drain(..) {
                // Whoever asked may have stopped waiting.
                let _ = written.send(());
            }
            entries.shrink_to(1024);
            self.buffer.shrink_to(64 * 1024);
            if !more {
                break;
            }
        }
    }

    /// Adds a row to the buffer, in the file it belongs to.
    fn add(&mut self, row: &LogRow) {
        let today = segment::day((self.clock)());
        // A clock that was wrong for a moment must not date all later rows into the future.
        let day = segment::day(row.at_ms).min(today);
        let fits = self.current.as_ref().is_some_and(|open| {
            open.segment.day >= day && open.bytes.saturating_add(self.buffer.len() as u64) < self.config.segment_bytes
        });
        if !fits {
            self.write();
            if let Err(error) = self.begin(day) {
                return self.lose(1, &error);
            }
        }
        let before = self.buffer.len();
        if serde_json::to_writer(&mut self.buffer, row).is_err() {
            self.buffer.truncate(before);
            self.shared.lose(1);
            return;
        }
        self.buffer.push(b'\n');
        self.buffered += 1;
        if self.buffer.len() >= BUFFER {
            self.write();
        }
    }

    /// Begins the next file of a day; days never go back.
    fn begin(&mut self, day: Date) -> io::Result<()> {
        let segment = match self.newest {
            Some(newest) if newest.day >= day => Segment { number: newest.number.saturating_add(1), ..newest },
            _ => Segment { day, number: 0 },
        };
        self.current = Some(Open { segment, file: segment.open(&self.directory)?, bytes: 0 });
        self.newest = Some(segment);
        self.sweep_at = Instant::now();
        Ok(())
    }

    fn write(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let rows = std::mem::take(&mut self.buffered);
        let written = self.current.as_mut().map_or(Err(io::ErrorKind::NotFound.into()), |open| {
            open.bytes += self.buffer.len() as u64;
            open.file.write_all(&self.buffer)
        });
        self.buffer.clear();
        match written {
            Ok(()) => self.failing = false,
            Err(error) => {
                // Its last line may be torn: the next row begins a file of its own.
                self.current = None;
                self.lose(rows, &error);
            }
        }
    }

    fn lose(&mut self, rows: u64, error: &io::Error) {
        self.shared.lose(rows);
        if !self.failing {
            tracing::error!(error = %error, "the request log cannot be written; rows are lost and counted");
        }
        self.failing = true;
    }

    /// Makes a gap visible: a row that says how many are missing.
    fn write_gap(&mut self) {
        let missing = self.shared.gap.swap(0, Ordering::Relaxed);
        if missing == 0 {
            return;
        }
        let before = self.shared.gap.load(Ordering::Relaxed);
        self.add(&gap_row((self.clock)(), missing));
        self.write();
        if self.shared.gap.load(Ordering::Relaxed) > before && self.failing {
            // The gap's own row is no request that was lost, but what it said still has to be said.
            self.shared.dropped.fetch_sub(1, Ordering::Relaxed);
            self.shared.gap.fetch_add(missing.saturating_sub(1), Ordering::Relaxed);
        }
    }

    /// Deletes what is too old or too much, a bounded number of files at a time.
    fn sweep(&mut self) {
        let deleted = self.delete_old().unwrap_or_else(|error| {
            tracing::warn!(error = %error, "old files of the request log cannot be deleted");
            0
        });
        self.sweep_at = Instant::now() + if deleted == DELETED { NEXT_STEP } else { SWEEP };
    }

    fn delete_old(&self) -> io::Result<usize> {
        let segments = segment::list(&self.directory)?;
        let sizes: Vec<u64> = segments
            .iter()
            .map(|segment| fs::metadata(segment.path(&self.directory)).map_or(0, |metadata| metadata.len()))
            .collect();
        let mut total: u64 = sizes.iter().sum();
        let kept_from = match self.config.retain_days {
            0 => None,
            days => Some(segment::days_after(segment::day((self.clock)()), -i64::from(days))),
        };
        let mut deleted = 0;
        for (segment, size) in segments.into_iter().zip(sizes) {
            let too_old = kept_from.is_some_and(|from| segment.day < from);
            let too_much = self.config.retain_bytes > 0 && total > self.config.retain_bytes;
            let in_use = self.current.as_ref().is_some_and(|open| open.segment == segment);
            if in_use || deleted == DELETED || !(too_old || too_much) {
                break;
            }
            fs::remove_file(segment.path(&self.directory))?;
            total = total.saturating_sub(size);
            deleted += 1;
        }
        Ok(deleted)
    }
}

/// Returns the row that stands for rows that are missing.
fn gap_row(at_ms: i64, missing: u64) -> LogRow {
    LogRow {
        request_id: format!("gap_{at_ms}").into(),
        at_ms,
        config: None,
        key: None,
        client: None,
        surface: String::new(),
        model: None,
        strategy: None,
        stream: false,
        is_api_success: false,
        is_success: false,
        status: 0,
        outcome: "rows_dropped".to_owned(),
        error: Some(format!("{missing} rows were dropped here because they could not be written in time")),
        charged: Credits::ZERO,
        elapsed_us: 0,
        first_token_us: None,
        usage: None,
        flagged: Vec::new(),
        attempts: Vec::new(),
        prompt_sha256: None,
        answer_sha256: None,
        prompt: None,
        answer: None,
        explain: None,
    }
}
