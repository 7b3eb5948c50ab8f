//! What happens when the store cannot be written: it is shut, and opened again as soon as it can.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use btvep_domain::StoreError;

use super::{Committer, Place};
use crate::accounting::Stage;
use crate::embedded::db::{CommitError, Db};
use crate::embedded::draft::Effect;
use crate::embedded::load::load;

/// The first and the longest wait before a shut store is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A store that can grow by this much can be opened and written.
const PROBE_BYTES: usize = 1 << 20;

impl Committer {
    /// Closes the store: sled remembers its first failure, and what a failed sync lost nobody knows.
    pub(super) fn shut(&mut self, error: &CommitError) {
        tracing::error!(error = %error, "the store cannot be written; paid work is refused until it can");
        self.reason = error.to_string();
        (self.unflushed_since, self.behind_since) = (None, None);
        self.shared.book.shut(&self.reason);
        if let Some(db) = self.shared.db.write().take() {
            db.close();
        }
        self.retry = Some((Instant::now() + RETRY.0, RETRY.0));
    }

    /// Ends what cannot be written: holds are released, whoever waits is told.
    pub(super) fn refuse(&mut self, effects: Vec<Effect>) {
        let error = || StoreError::Unavailable(self.reason.clone());
        for effect in effects {
            match effect {
                Effect::Marked(ack) | Effect::CaughtUp(ack) | Effect::Created { ack, .. } => {
                    drop(ack.send(Err(error())));
                }
                Effect::Edited { ack, .. } => drop(ack.send(Err(error()))),
                Effect::Deleted { ack, .. } => drop(ack.send(Err(error()))),
                Effect::Unmarked(taking) => {
                    taking.record.release(&taking.taken, None);
                    self.doubt.unmark.insert(Arc::clone(&taking.debt.request_id));
                }
                Effect::Ended { taking, stage, asked, ack, .. } => {
                    taking.record.release(&taking.taken, asked);
                    // A marked answer has begun to leave: its mark stays and is settled when the store is back.
                    if stage != Stage::Marked {
                        self.doubt.unmark.insert(Arc::clone(&taking.debt.request_id));
                        self.doubt.withheld.insert(Arc::clone(&taking.debt.request_id));
                    }
                    if let Some(ack) = ack {
                        ack.refuse(error());
                    }
                }
            }
        }
    }

    pub(super) fn reopen_if_due(&mut self) {
        let Some((at, wait)) = self.retry else { return };
        if Instant::now() < at {
            return;
        }
        match self.reopen() {
            Ok(()) => {
                self.retry = None;
                self.doubt.unmark = std::collections::HashSet::new();
                self.doubt.withheld = std::collections::HashSet::new();
                self.shared.book.reopen();
                tracing::info!("the store can be written again");
            }
            Err(error) => {
                tracing::debug!(error = %error, "the store still cannot be written");
                let wait = RETRY.1.min(wait * 2);
                self.retry = Some((Instant::now() + wait, wait));
            }
        }
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        self.probe().map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let Place { directory, cache_bytes, sync, .. } = &self.place;
        let db = Db::open(directory, *cache_bytes, sync.clone())?;
        match load(&db, &self.shared.book, &self.doubt) {
            Ok(ledger) => {
                self.ledger = ledger;
                *self.shared.db.write() = Some(db);
                Ok(())
            }
            Err(error) => {
                db.close();
                Err(error)
            }
        }
    }

    /// Writes as much as opening needs beside the store, so that a full disk is not opened again and again.
    fn probe(&self) -> std::io::Result<()> {
        let path = self.place.directory.with_extension("probe");
        let probed = fs::write(&path, vec![0xa5; PROBE_BYTES]).and_then(|()| {
            let file = fs::File::open(&path)?;
            self.place.sync.as_ref().map_or_else(|| file.sync_data(), |sync| sync(&file))
        });
        let _ = fs::remove_file(&path);
        probed
    }
}
