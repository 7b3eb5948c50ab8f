use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use btvep_domain::{
    Account, Accounts, Admission, Appended, AuthFailure, ChargeRecord, Claims, Closed, Closing, Credits, Key, KeyEdit,
    KeyId, KeyWatch, Keys, LedgerPage, LogQuery, LogRow, Logs, NewKey, Refusal, Secret, Settlement, StoreError,
};
use parking_lot::Mutex;

use crate::accounting::{Balance, Book, Change, Ending, Journal, RecentIds, Record, Stage, Taking, adjust, edited};
use crate::api_key::Pepper;
use crate::logs::{Filter, max_lines};
use crate::{cursor, new_key};

/// Charge records and log rows kept of each kind; the oldest go first.
const KEPT: usize = 100_000;

/// Keys, accounts and logs that end with the process.
#[derive(Debug)]
pub struct Memory {
    book: Book,
    pepper: Pepper,
    ledger: Arc<Ledger>,
    logs: Mutex<VecDeque<LogRow>>,
}

/// The charge records. Its lock is also what orders all changes of balances.
#[derive(Debug, Default)]
struct Ledger(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    lines: VecDeque<ChargeRecord>,
    /// The number of the first record kept.
    first: u64,
    recent: RecentIds,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            book: Book::default(),
            pepper: Pepper::new(&rand::random::<[u8; 32]>()),
            ledger: Arc::default(),
            logs: Mutex::default(),
        }
    }
}

impl Memory {
    /// Returns an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(test)]
    pub(crate) fn journal() -> Arc<dyn Journal> {
        Arc::new(Ledger::default())
    }
}

impl Records {
    fn next(&self) -> u64 {
        self.first.saturating_add(self.lines.len() as u64)
    }

    fn push(&mut self, record: ChargeRecord) {
        self.recent.insert(&record.request_id);
        self.lines.push_back(record);
        if self.lines.len() > KEPT {
            self.lines.pop_front();
            self.first += 1;
        }
    }

    fn adjust(&mut self, record: &Record, key: Arc<Key>, credits: Option<Credits>) {
        let request_id = adjustment_id(key.id, self.next());
        let mut balance = record.balance();
        let at_ms = key.updated_at.saturating_mul(1000);
        let line = adjust(&mut balance, credits, request_id, (key.id, at_ms));
        self.push(line);
        record.replace(key, credits);
    }
}

impl Ledger {
    fn end(&self, taking: &Taking, ending: Ending, asked: Option<u32>) -> Closed {
        let mut ledger = self.0.lock();
        let mut balance = taking.record.balance();
        let mut change = Change { credits: balance.credits, attempts: 0 };
        let mut charged = Credits::ZERO;
        if !ledger.recent.contains(&taking.debt.request_id) {
            let record = taking.debt.settle(&mut balance, ending);
            charged = record.charged;
            change = Change { credits: balance.credits, attempts: ending.attempts };
            ledger.push(record);
        }
        Closed { charged, remaining: taking.record.settle(&taking.taken, change, asked) }
    }
}

#[async_trait]
impl Journal for Ledger {
    fn opened(&self) {}

    async fn mark(&self, _: &Arc<Taking>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&self, taking: Arc<Taking>, _: Stage, closing: Closing) -> Result<Closed, StoreError> {
        let Closing { choices, attempts, at_ms } = closing;
        let ending = Ending { choices, attempts, at_ms, settlement: Settlement::Closed };
        Ok(self.end(&taking, ending, Some(attempts)))
    }

    fn count(&self, _: &Arc<Record>) {}

    fn abandon(&self, taking: Arc<Taking>, stage: Stage) {
        if stage == Stage::Marked {
            self.end(&taking, taking.debt.after_a_crash(), None);
        } else {
            taking.record.release(&taking.taken, None);
        }
    }
}

#[async_trait]
impl Keys for Memory {
    async fn authenticate(&self, presented: &Secret, now: i64) -> Result<Arc<Key>, AuthFailure> {
        self.book.authenticate(&self.pepper, presented, now)
    }

    fn watch(&self, key: &Arc<Key>) -> KeyWatch {
        self.book.watch(key)
    }

    async fn create(&self, new: NewKey, now: i64) -> Result<(Arc<Key>, Secret), StoreError> {
        let (id, text, digest) = self.pepper.new_key(|id| self.book.find(id).is_some());
        let credits = new.credits;
        let key = new_key(id, new, now);
        let record = Arc::new(Record::new(Arc::clone(&key), digest, Balance::default()));
        let mut ledger = self.ledger.0.lock();
        if credits.is_some() {
            ledger.adjust(&record, Arc::clone(&key), credits);
        }
        self.book.insert(record);
        Ok((key, text))
    }

    async fn get(&self, id: KeyId) -> Result<Option<Arc<Key>>, StoreError> {
        Ok(self.book.find(id).map(|record| record.key()))
    }

    async fn list(&self, after: Option<KeyId>, limit: usize) -> Result<Vec<Arc<Key>>, StoreError> {
        Ok(self.book.list(after, limit))
    }

    async fn edit(&self, id: KeyId, edit: KeyEdit, now: i64) -> Result<Option<Arc<Key>>, StoreError> {
        let mut ledger = self.ledger.0.lock();
        let Some(record) = self.book.find(id) else { return Ok(None) };
        let key = edited(&record.key(), &edit, now);
        match edit.credits {
            Some(credits) => ledger.adjust(&record, Arc::clone(&key), credits),
            None => record.replace(Arc::clone(&key), record.balance().credits),
        }
        Ok(Some(key))
    }

    async fn delete(&self, id: KeyId) -> Result<bool, StoreError> {
        let _order = self.ledger.0.lock();
        let known = self.book.find(id).is_some();
        self.book.remove(id);
        Ok(known)
    }
}

#[async_trait]
impl Accounts for Memory {
    async fn admit(&self, claims: Claims, now: Duration) -> Result<Admission, Refusal> {
        let journal: Arc<dyn Journal> = Arc::clone(&self.ledger) as _;
        self.book.admit(&claims, now, &journal)
    }

    async fn account(&self, key: KeyId) -> Result<Option<Account>, StoreError> {
        Ok(self.book.find(key).map(|record| record.account()))
    }

    async fn ledger(&self, from: Option<Vec<u8>>, limit: usize) -> Result<LedgerPage, StoreError> {
        let ledger = self.ledger.0.lock();
        let from = cursor::read(from)?.max(ledger.first);
        let skipped = usize::try_from(from - ledger.first).unwrap_or(usize::MAX);
        let records: Vec<_> = ledger.lines.iter().skip(skipped).take(limit).cloned().collect();
        let next = from.saturating_add(records.len() as u64);
        Ok(LedgerPage { records, next: (next < ledger.next()).then(|| cursor::write(next)) })
    }

    fn health(&self) -> Result<(), StoreError> {
        self.book.health()
    }
}

#[async_trait]
impl Logs for Memory {
    fn append(&self, row: LogRow) -> Appended {
        let mut logs = self.logs.lock();
        logs.push_back(row);
        if logs.len() > KEPT {
            logs.pop_front();
        }
        Appended::Queued
    }

    async fn query(&self, query: LogQuery) -> Result<Vec<LogRow>, StoreError> {
        let filter = Filter::new(&query);
        let logs = self.logs.lock();
        let rows = logs.iter().rev().filter(|row| filter.matches(row));
        Ok(rows.take(max_lines(&query)).cloned().collect())
    }

    fn dropped(&self) -> u64 {
        0
    }

    async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Names an adjustment: its place in the ledger makes it unique.
pub(crate) fn adjustment_id(key: KeyId, place: u64) -> Arc<str> {
    format!("adj_{key}_{place}").into()
}
