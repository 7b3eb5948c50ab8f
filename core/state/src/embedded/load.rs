//! Reading the store into memory, and settling what the last process, or a failed commit, left behind.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use btvep_domain::{ChargeRecord, StoreError};

use super::db::Db;
use super::draft::{Draft, Tail};
use super::rows::{self, Bytes};
use crate::accounting::{Balance, Book, REMEMBERED, RecentIds, Record};

/// What is in doubt while the store is shut.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// Marked requests whose holds are open in this process: they will be closed.
    pub(super) in_flight: HashSet<Arc<str>>,
    /// Requests whose mark may be on disk although their answer never began to leave.
    pub(super) unmark: HashSet<Arc<str>>,
    /// Requests whose charge may be on disk although their answer was withheld.
    pub(super) withheld: HashSet<Arc<str>>,
}

/// The ledger's end as the disk has it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) tail: Tail,
    pub(super) recent: RecentIds,
}

/// Reads keys and accounts, settles open marks, and returns the ledger's end.
pub(super) fn load(db: &Db, book: &Book, doubt: &Doubt) -> Result<Ledger, StoreError> {
    read_keys(db, book)?;
    let (mut ledger, withheld) = read_ledger(db, doubt)?;
    let mut draft = Draft::default();
    settle_marks(db, book, doubt, &ledger.recent, &mut draft)?;
    for line in withheld {
        give_back(book, &line, &mut draft);
    }
    let tail = draft.finish(&ledger.tail);
    let unavailable = |error: super::db::CommitError| StoreError::Unavailable(error.to_string());
    db.append(draft.batch).and_then(|()| db.flush()).map_err(unavailable)?;
    for line in &draft.lines {
        ledger.recent.insert(&line.request_id);
    }
    for posting in draft.postings.into_values() {
        posting.record.replace(posting.key, posting.balance.credits);
    }
    if !draft.lines.is_empty() {
        tracing::warn!(requests = draft.lines.len(), "requests that were cut off have been settled");
    }
    Ok(Ledger { tail, ..ledger })
}

fn read_keys(db: &Db, book: &Book) -> Result<(), StoreError> {
    let reread = !book.is_empty();
    let mut known = HashSet::new();
    for row in db.scan(rows::KEYS) {
        let (row, value) = row?;
        let (key, digest, balance) = rows::decode_key(&row, &value).ok_or_else(|| damaged("key", &row))?;
        let record = Record::new(Arc::new(key), digest, balance);
        if reread {
            known.insert(record.id());
        }
        match book.find(record.id()).filter(|_| reread) {
            Some(resident) => resident.reread(&record),
            None => book.insert(Arc::new(record)),
        }
    }
    if reread {
        book.retain(|id| known.contains(&id));
    }
    Ok(())
}

/// Reads the last rows of the ledger; also returns the records that must not stand.
fn read_ledger(db: &Db, doubt: &Doubt) -> Result<(Ledger, Vec<ChargeRecord>), StoreError> {
    let (mut newest_first, mut withheld) = (Vec::new(), Vec::new());
    let mut ledger = Ledger::default();
    for (place, row) in db.scan(rows::CHARGES).rev().enumerate() {
        let (row, value) = row?;
        let mut records = read_charges(&row, &value)?;
        if place == 0 {
            let first = rows::charge_row_number(&row).ok_or_else(|| damaged("charge", &row))?;
            let next = first.saturating_add(records.len() as u64);
            ledger.tail = Tail { first, next, bytes: value.to_vec() };
        }
        records.reverse();
        for record in records {
            newest_first.push(Arc::clone(&record.request_id));
            if doubt.withheld.contains(&record.request_id) {
                withheld.push(record);
            }
        }
        if newest_first.len() >= REMEMBERED {
            break;
        }
    }
    for request_id in newest_first.iter().rev() {
        ledger.recent.insert(request_id);
    }
    Ok((ledger, withheld))
}

/// Returns the charge records of one row.
pub(super) fn read_charges(row: &[u8], value: &[u8]) -> Result<Vec<ChargeRecord>, StoreError> {
    let (mut bytes, mut records) = (Bytes(value), Vec::new());
    while !bytes.is_empty() {
        records.push(rows::take_charge(&mut bytes).ok_or_else(|| damaged("charge", row))?);
    }
    Ok(records)
}

/// A mark without a closing means that the answer had begun to leave: one choice is charged.
fn settle_marks(db: &Db, book: &Book, doubt: &Doubt, recent: &RecentIds, draft: &mut Draft) -> Result<(), StoreError> {
    let mut orphans: HashMap<_, Arc<Record>> = HashMap::new();
    for row in db.scan(rows::MARKS) {
        let (row, value) = row?;
        let debt = rows::decode_mark(&row, &value).ok_or_else(|| damaged("mark", &row))?;
        if doubt.in_flight.contains(&debt.request_id) {
            continue;
        }
        draft.batch.remove(row);
        if doubt.unmark.contains(&debt.request_id) {
            continue;
        }
        // The account may have been deleted meanwhile; the charge is recorded all the same.
        let record = book
            .find(debt.key)
            .unwrap_or_else(|| Arc::clone(orphans.entry(debt.key).or_insert_with(|| orphan(debt.key))));
        draft.charge(&record, &debt, debt.after_a_crash(), recent);
    }
    Ok(())
}

/// Returns a stand-in for the record of a deleted key: nothing of it is written.
fn orphan(id: btvep_domain::KeyId) -> Arc<Record> {
    let key = crate::new_key(id, btvep_domain::NewKey::default(), 0);
    let record = Record::new(key, [0; 32], Balance::default());
    record.delete();
    Arc::new(record)
}

/// Reverses a charge whose commit failed after it had reached the disk: its answer was withheld.
fn give_back(book: &Book, line: &ChargeRecord, draft: &mut Draft) {
    let Some(record) = book.find(line.key) else { return };
    let credits = draft.posting(&record).balance.credits;
    let restored = credits.map(|credits| credits.plus(line.charged));
    if restored != credits {
        draft.adjust(&record, restored, format!("rev_{}", line.request_id).into(), line.at_ms);
    }
}

fn damaged(kind: &str, row: &[u8]) -> StoreError {
    StoreError::Corrupt(format!("{kind} row {}", row.escape_ascii()))
}
