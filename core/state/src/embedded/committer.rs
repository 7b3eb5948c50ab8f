//! The one thread that writes: it takes everything that waits, commits it as one batch, and tells everyone.

mod trouble;

use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use btvep_domain::{Closed, Closing, Credits, Key, KeyEdit, KeyId, Settlement, StoreError};
use parking_lot::RwLock;
use tokio::sync::oneshot;

use super::db::{CommitError, Db, SyncFile};
use super::desk::{Round, Sender, Waiting};
use super::draft::{Draft, Effect};
use super::load::{Doubt, Ledger};
use super::redo::Batch;
use super::rows;
use crate::accounting::{Balance, Book, Digest, Ending, Journal, Record, Stage, Taking, edited};
use crate::mailbox::{Mailbox, Refused};
use crate::memory::adjustment_id;

/// Operations that may wait for the committer.
const QUEUE: usize = 1 << 16;
/// Operations in one batch.
const BATCH: usize = 4096;
/// The least time from one commit to the next, unless nobody is left who could join it: what comes in between shares one
/// sync of the disk.
const GATHER: Duration = Duration::from_millis(3);
/// How long counters that no charge depends on may stay unwritten.
const COUNTERS: Duration = Duration::from_secs(1);
/// How long sled may be behind.
const BEHIND: Duration = Duration::from_millis(250);
/// How long `relaxed` leaves a commit unsynced.
const RELAXED: Duration = Duration::from_millis(50);

/// What the committer does, one after the other.
#[derive(Debug)]
pub(super) enum Op {
    Mark {
        taking: Arc<Taking>,
        ack: Sender<()>,
    },
    Close {
        taking: Arc<Taking>,
        stage: Stage,
        closing: Closing,
        ack: Waiting,
    },
    Abandon {
        taking: Arc<Taking>,
        stage: Stage,
    },
    Create {
        key: Arc<Key>,
        digest: Digest,
        credits: Option<Credits>,
        ack: Sender<()>,
    },
    Edit {
        id: KeyId,
        edit: Box<KeyEdit>,
        now: i64,
        ack: Sender<Option<Arc<Key>>>,
    },
    Delete {
        id: KeyId,
        ack: Sender<bool>,
    },
    Count {
        record: Arc<Record>,
    },
    /// Lets readers see what was committed.
    CatchUp {
        ack: Sender<()>,
    },
}

/// What requests and committer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) book: Book,
    /// None while the store is shut. Readers hold the lock while they read.
    pub(super) db: RwLock<Option<Db>>,
    pub(super) mailbox: Mailbox<Op>,
    /// Holds that nobody has asked to end yet.
    open: AtomicUsize,
}

/// Where the store is and how it is written.
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) cache_bytes: u64,
    pub(super) sync: Option<SyncFile>,
    pub(super) relaxed: bool,
}

/// The state of the writing thread.
pub(super) struct Committer {
    shared: Arc<Shared>,
    place: Place,
    ledger: Ledger,
    doubt: Doubt,
    /// Something is appended and not synced since then; only in `relaxed`.
    unflushed_since: Option<Instant>,
    /// sled lacks something since then.
    behind_since: Option<Instant>,
    /// When a shut store is tried again, and how long after that the next time.
    retry: Option<(Instant, Duration)>,
    reason: String,
}

impl Shared {
    pub(super) fn new(book: Book, db: Db) -> Self {
        Self { book, db: RwLock::new(Some(db)), mailbox: Mailbox::new(QUEUE, GATHER), open: AtomicUsize::new(0) }
    }

    /// Notes that a hold is about to end; true when it was the last that was open.
    fn end(&self) -> bool {
        self.open.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// Hands an operation over and waits until it is durable.
    pub(super) async fn ask<T>(&self, make: impl FnOnce(Sender<T>) -> Op) -> Result<T, StoreError> {
        let (ack, answer) = oneshot::channel();
        self.mailbox.push(make(ack)).map_err(|refused| {
            StoreError::Unavailable(match refused {
                Refused::Full => "too many changes wait to be written".to_owned(),
                Refused::Closed => "the store is closed".to_owned(),
            })
        })?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the store was closed".to_owned())))
    }
}

#[async_trait]
impl Journal for Shared {
    async fn mark(&self, taking: &Arc<Taking>) -> Result<(), StoreError> {
        self.ask(|ack| Op::Mark { taking: Arc::clone(taking), ack }).await
    }

    async fn close(&self, taking: Arc<Taking>, stage: Stage, closing: Closing) -> Result<Closed, StoreError> {
        let is_last = self.end();
        if is_last {
            self.mailbox.hurry();
        }
        self.ask(|ack| Op::Close { taking, stage, closing, ack: Waiting::here(ack) }).await
    }

    fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    fn abandon(&self, taking: Arc<Taking>, stage: Stage) {
        self.end();
        if stage == Stage::Held {
            taking.record.release(&taking.taken, None);
            return;
        }
        // Over the limit if need be: there are no more of them than open holds. Once the store is closed the mark
        // stays behind and is settled at the next start, like after a crash.
        let _ = self.mailbox.push_over(Op::Abandon { taking, stage });
    }

    fn count(&self, record: &Arc<Record>) {
        if record.note() {
            // One for each account at most. A closed store counts no more.
            let _ = self.mailbox.push_later(Op::Count { record: Arc::clone(record) });
        }
    }
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, place: Place, ledger: Ledger) -> Self {
        let doubt = Doubt::default();
        Self {
            shared,
            place,
            ledger,
            doubt,
            unflushed_since: None,
            behind_since: None,
            retry: None,
            reason: String::new(),
        }
    }

    /// Works until the mailbox is closed and empty, then closes the store.
    pub(super) fn run(mut self) {
        let mut waiting = Vec::new();
        loop {
            let more = self.shared.mailbox.drain(&mut waiting, self.deadline());
            let mut ops = waiting.drain(..);
            loop {
                let draft = self.draft(ops.by_ref().take(BATCH));
                if draft.is_empty() {
                    break;
                }
                self.commit(draft);
            }
            drop(ops);
            // Memory that one burst needed is not kept for ever.
            waiting.shrink_to(BATCH);
            self.flush_if_due();
            self.catch_up_if_due();
            self.reopen_if_due();
            if !more {
                break;
            }
        }
        self.finish();
    }

    fn deadline(&self) -> Instant {
        let counters = Instant::now() + COUNTERS;
        let flush = self.unflushed_since.map(|since| since + RELAXED);
        let behind = self.behind_since.map(|since| since + BEHIND);
        let retry = self.retry.map(|(at, _)| at);
        [flush, behind, retry].into_iter().flatten().fold(counters, Instant::min)
    }

    fn draft(&mut self, ops: impl Iterator<Item = Op>) -> Draft {
        let mut draft = Draft::default();
        for op in ops {
            self.add(&mut draft, op);
        }
        draft
    }

    fn add(&mut self, draft: &mut Draft, op: Op) {
        match op {
            Op::Mark { taking, ack } => {
                self.doubt.in_flight.insert(Arc::clone(&taking.debt.request_id));
                draft.batch.insert(rows::mark_row(&taking.debt.request_id), rows::encode_mark(&taking.debt));
                draft.effects.push(Effect::Marked(ack));
            }
            Op::Close { taking, stage, closing, ack } => {
                let Closing { choices, attempts, at_ms } = closing;
                let ending = Ending { choices, attempts, at_ms, settlement: Settlement::Closed };
                self.end(draft, (taking, stage), ending, Some(ack));
            }
            Op::Abandon { taking, stage: Stage::Marked } => {
                let ending = taking.debt.after_a_crash();
                self.end(draft, (taking, Stage::Marked), ending, None);
            }
            Op::Abandon { taking, .. } => {
                self.unmark(draft, &taking);
                draft.effects.push(Effect::Unmarked(taking));
            }
            Op::Create { key, digest, credits, ack } => self.create(draft, (key, digest), credits, ack),
            Op::Edit { id, edit, now, ack } => self.edit(draft, id, (&edit, now), ack),
            Op::Delete { id, ack } => match draft.find(&self.shared.book, id) {
                Some(posting) => {
                    posting.deleted = true;
                    draft.batch.remove(rows::key_row(id));
                    draft.effects.push(Effect::Deleted { id, ack });
                }
                None => drop(ack.send(Ok(false))),
            },
            Op::Count { record } => {
                record.unnote();
                draft.posting(&record);
            }
            Op::CatchUp { ack } => draft.effects.push(Effect::CaughtUp(ack)),
        }
    }

    fn end(&mut self, draft: &mut Draft, hold: (Arc<Taking>, Stage), ending: Ending, ack: Option<Waiting>) {
        let (taking, stage) = hold;
        if stage != Stage::Held {
            self.unmark(draft, &taking);
        }
        let asked = ack.is_some().then_some(ending.attempts);
        let (charged, change) = draft.charge(&taking.record, &taking.debt, ending, &self.ledger.recent);
        draft.effects.push(Effect::Ended { taking, stage, charged, change, asked, ack });
    }

    fn unmark(&mut self, draft: &mut Draft, taking: &Taking) {
        self.doubt.in_flight.remove(&taking.debt.request_id);
        draft.batch.remove(rows::mark_row(&taking.debt.request_id));
    }

    fn create(&self, draft: &mut Draft, key: (Arc<Key>, Digest), credits: Option<Credits>, ack: Sender<()>) {
        let (key, digest) = key;
        let record = Arc::new(Record::new(Arc::clone(&key), digest, Balance::default()));
        if credits.is_some() {
            self.adjust(draft, &record, credits, key.created_at);
        } else {
            draft.posting(&record);
        }
        draft.effects.push(Effect::Created { record, key, credits, ack });
    }

    fn edit(&self, draft: &mut Draft, id: KeyId, edit: (&KeyEdit, i64), ack: Sender<Option<Arc<Key>>>) {
        let (edit, now) = edit;
        let Some(posting) = draft.find(&self.shared.book, id) else {
            drop(ack.send(Ok(None)));
            return;
        };
        let key = edited(&posting.key, edit, now);
        posting.key = Arc::clone(&key);
        let record = Arc::clone(&posting.record);
        if let Some(credits) = edit.credits {
            self.adjust(draft, &record, credits, now);
        }
        let credits = draft.posting(&record).balance.credits;
        draft.effects.push(Effect::Edited { record, key, credits, ack });
    }

    fn adjust(&self, draft: &mut Draft, record: &Arc<Record>, credits: Option<Credits>, now: i64) {
        let place = self.ledger.tail.next.saturating_add(draft.lines.len() as u64);
        draft.adjust(record, credits, adjustment_id(record.id(), place), now.saturating_mul(1000));
    }

    fn commit(&mut self, mut draft: Draft) {
        let tail = draft.finish(&self.ledger.tail);
        let batch = mem::take(&mut draft.batch);
        match self.write(batch) {
            None => return self.refuse(draft.effects),
            Some(Err(error)) => {
                self.shut(&error);
                return self.refuse(draft.effects);
            }
            Some(Ok(())) => {}
        }
        self.ledger.tail = tail;
        for line in &draft.lines {
            self.ledger.recent.insert(&line.request_id);
        }
        if self.place.relaxed {
            self.unflushed_since.get_or_insert_with(Instant::now);
        }
        self.behind_since.get_or_insert_with(Instant::now);
        if draft.effects.iter().any(|effect| matches!(effect, Effect::CaughtUp(_))) && !self.catch_up() {
            return self.refuse(draft.effects);
        }
        let mut round = Round::default();
        for effect in draft.effects {
            effect.apply(&self.shared.book, &mut round);
        }
        round.tell();
    }

    /// Writes a batch, if the store is open.
    fn write(&self, batch: Batch) -> Option<Result<(), CommitError>> {
        let db = self.shared.db.read();
        let applied = db.as_ref()?.append(batch);
        Some(if self.place.relaxed { applied } else { applied.and_then(|()| db.as_ref().map_or(Ok(()), Db::flush)) })
    }

    fn flush_if_due(&mut self) {
        if self.unflushed_since.is_some_and(|since| since.elapsed() >= RELAXED) {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.unflushed_since = None;
        let flushed = self.shared.db.read().as_ref().map_or(Ok(()), Db::flush);
        if let Err(error) = flushed {
            self.shut(&error);
        }
    }

    fn catch_up_if_due(&mut self) {
        if self.behind_since.is_some_and(|since| since.elapsed() >= BEHIND) {
            self.catch_up();
        }
    }

    /// Lets sled hold all that is committed; false when it cannot and the store is shut.
    fn catch_up(&mut self) -> bool {
        (self.unflushed_since, self.behind_since) = (None, None);
        let caught_up = self.shared.db.read().as_ref().map_or(Ok(()), Db::catch_up);
        if let Err(error) = &caught_up {
            self.shut(error);
        }
        caught_up.is_ok()
    }

    fn finish(&mut self) {
        self.catch_up();
        if let Some(db) = self.shared.db.write().take() {
            db.close();
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        // However the thread ends, nobody shall wait for it.
        self.shared.book.shut("the store is closed");
        self.shared.mailbox.close();
    }
}
