//! What one commit will write, and what is to happen in memory once it is written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use btvep_domain::{ChargeRecord, Closed, Credits, Key, KeyId};

use super::desk::{Round, Sender, Waiting};
use super::redo::Batch;
use super::rows;
use crate::accounting::{Balance, Book, Change, Debt, Digest, Ending, RecentIds, Record, Stage, Taking, adjust};

/// Records are gathered in one row up to this size. sled keeps a little memory for every page, and a page holds a few
/// rows of any size: single records would cost memory for ever, gathered ones nearly none.
const ROW_BYTES: usize = 2048;

/// The end of the ledger.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Number of the first record of the last row.
    pub(super) first: u64,
    /// Number of the next record.
    pub(super) next: u64,
    /// The last row.
    pub(super) bytes: Vec<u8>,
}

/// An account as the commit will leave it.
#[derive(Debug)]
pub(super) struct Posting {
    pub(super) record: Arc<Record>,
    pub(super) key: Arc<Key>,
    pub(super) digest: Digest,
    pub(super) balance: Balance,
    pub(super) deleted: bool,
}

/// What happens in memory after the commit.
#[derive(Debug)]
pub(super) enum Effect {
    Marked(Sender<()>),
    Ended {
        taking: Arc<Taking>,
        stage: Stage,
        charged: Credits,
        change: Change,
        asked: Option<u32>,
        ack: Option<Waiting>,
    },
    Unmarked(Arc<Taking>),
    CaughtUp(Sender<()>),
    Created {
        record: Arc<Record>,
        key: Arc<Key>,
        credits: Option<Credits>,
        ack: Sender<()>,
    },
    Edited {
        record: Arc<Record>,
        key: Arc<Key>,
        credits: Option<Credits>,
        ack: Sender<Option<Arc<Key>>>,
    },
    Deleted {
        id: KeyId,
        ack: Sender<bool>,
    },
}

#[derive(Default)]
pub(super) struct Draft {
    pub(super) batch: Batch,
    pub(super) postings: HashMap<KeyId, Posting, ahash::RandomState>,
    pub(super) lines: Vec<ChargeRecord>,
    pub(super) effects: Vec<Effect>,
    charged: HashSet<Arc<str>, ahash::RandomState>,
}

impl Draft {
    /// Returns the account as the operations drafted so far leave it.
    pub(super) fn posting(&mut self, record: &Arc<Record>) -> &mut Posting {
        self.postings.entry(record.id()).or_insert_with(|| {
            let (key, digest) = record.credentials();
            Posting { record: Arc::clone(record), key, digest, balance: record.balance(), deleted: false }
        })
    }

    /// Returns the account of a key, unless it does not exist or is about to be deleted.
    pub(super) fn find(&mut self, book: &Book, id: KeyId) -> Option<&mut Posting> {
        let record = match self.postings.get(&id) {
            Some(posting) => Arc::clone(&posting.record),
            None => book.find(id)?,
        };
        Some(self.posting(&record)).filter(|posting| !posting.deleted)
    }

    /// Charges an account, unless the request was charged before. Returns what was charged and what that changes.
    pub(super) fn charge(
        &mut self,
        record: &Arc<Record>,
        debt: &Debt,
        ending: Ending,
        recent: &RecentIds,
    ) -> (Credits, Change) {
        let known = recent.contains(&debt.request_id) || !self.charged.insert(Arc::clone(&debt.request_id));
        let posting = self.posting(record);
        if known {
            return (Credits::ZERO, Change { credits: posting.balance.credits, attempts: 0 });
        }
        let line = debt.settle(&mut posting.balance, ending);
        let change = Change { credits: line.balance, attempts: ending.attempts };
        let charged = line.charged;
        self.lines.push(line);
        (charged, change)
    }

    /// Sets a balance.
    pub(super) fn adjust(&mut self, record: &Arc<Record>, credits: Option<Credits>, request_id: Arc<str>, at_ms: i64) {
        let posting = self.posting(record);
        let line = adjust(&mut posting.balance, credits, request_id, (record.id(), at_ms));
        self.lines.push(line);
    }

    /// Completes the batch with the accounts and the ledger's new end, which it returns.
    pub(super) fn finish(&mut self, tail: &Tail) -> Tail {
        for posting in self.postings.values() {
            if !posting.deleted && !posting.record.is_gone() {
                let value = rows::encode_key(&posting.key, &posting.digest, &posting.balance);
                self.batch.insert(rows::key_row(posting.key.id), value);
            }
        }
        let mut tail = Tail { first: tail.first, next: tail.next, bytes: tail.bytes.clone() };
        let mut unwritten = false;
        for line in &self.lines {
            if tail.bytes.len() >= ROW_BYTES {
                if unwritten {
                    self.batch.insert(rows::charge_row(tail.first), tail.bytes.as_slice());
                }
                tail.first = tail.next;
                tail.bytes.clear();
            }
            rows::put_charge(&mut tail.bytes, line);
            tail.next += 1;
            unwritten = true;
        }
        if unwritten {
            self.batch.insert(rows::charge_row(tail.first), tail.bytes.as_slice());
        }
        tail
    }

    pub(super) fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.postings.is_empty()
    }
}

impl Effect {
    /// Does it, and tells whoever waits; closings are told by the end of the `round`.
    pub(super) fn apply(self, book: &Book, round: &mut Round) {
        // Whoever stopped waiting has no ear; the charge stands all the same.
        match self {
            Self::Marked(ack) | Self::CaughtUp(ack) => drop(ack.send(Ok(()))),
            Self::Ended { taking, charged, change, asked, ack, .. } => {
                let remaining = taking.record.settle(&taking.taken, change, asked);
                if let Some(ack) = ack {
                    round.add(ack, Closed { charged, remaining });
                }
            }
            Self::Unmarked(taking) => taking.record.release(&taking.taken, None),
            Self::Created { record, key, credits, ack } => {
                record.replace(key, credits);
                book.insert(record);
                drop(ack.send(Ok(())));
            }
            Self::Edited { record, key, credits, ack } => {
                record.replace(Arc::clone(&key), credits);
                drop(ack.send(Ok(Some(key))));
            }
            Self::Deleted { id, ack } => {
                book.remove(id);
                drop(ack.send(Ok(true)));
            }
        }
    }
}
