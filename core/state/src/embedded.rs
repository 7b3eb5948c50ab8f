//! The store on sled: everything resident, one thread that writes, a redo log in front.

mod committer;
mod db;
mod desk;
mod draft;
mod error;
mod load;
mod pepper;
mod redo;
mod rows;

#[cfg(test)]
mod tests;

pub use error::OpenError;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use btvep_domain::{
    Account, Accounts, Admission, Appended, AuthFailure, Claims, Key, KeyEdit, KeyId, KeyWatch, Keys, LedgerPage,
    LogQuery, LogRow, Logs, NewKey, Refusal, Secret, StoreError,
};
use parking_lot::Mutex;

use self::committer::{Committer, Op, Place, Shared};
use self::db::{Db, SyncFile};
use self::load::{Doubt, load, read_charges};
use self::redo::Batch;
use crate::accounting::{Book, Journal};
use crate::api_key::Pepper;
use crate::logs::SegmentLogs;
use crate::{Durability, StateConfig, cursor, new_key};

/// Keys and accounts on sled, request rows in files beside it. One process owns the directory.
///
/// Dropping it writes what waits and closes the store.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    journal: Arc<dyn Journal>,
    pepper: Pepper,
    committer: Mutex<Option<JoinHandle<()>>>,
    logs: SegmentLogs,
}

impl Embedded {
    /// Opens the store, or makes it; blocks while it reads the keys. `pepper` is what `state.pepper` refers to; without it
    /// the file `pepper` in the directory is used, and made when the store has no keys yet.
    ///
    /// # Errors
    ///
    /// The store is in use, damaged, from a newer version, or its pepper is missing or another.
    pub fn open(config: &StateConfig, pepper: Option<&Secret>) -> Result<Arc<Self>, OpenError> {
        Self::open_with(config, pepper, Arc::new(fs::File::sync_data))
    }

    fn open_with(config: &StateConfig, pepper: Option<&Secret>, sync: SyncFile) -> Result<Arc<Self>, OpenError> {
        let place = Place {
            directory: config.path.join("store"),
            cache_bytes: config.cache_bytes,
            sync: config.sync_data.then_some(sync),
            relaxed: config.durability == Durability::Relaxed,
        };
        make_private(&config.path)?;
        make_private(&place.directory)?;
        let logs = config.path.join("logs");
        make_private(&logs)?;
        let db = Db::open(&place.directory, place.cache_bytes, place.sync.clone())?;
        let read = check_schema(&db).and_then(|()| {
            let pepper = pepper::find(&db, pepper, &config.path.join("pepper"))?;
            let book = Book::default();
            let ledger = load(&db, &book, &Doubt::default())?;
            let opened = SegmentLogs::open(logs.clone(), &config.logs);
            Ok((pepper, book, ledger, opened.map_err(|source| OpenError::io(&logs, source))?))
        });
        let (pepper, book, ledger, logs) = match read {
            Ok(read) => read,
            Err(error) => {
                db.close();
                return Err(error);
            }
        };
        let shared = Arc::new(Shared::new(book, db));
        let committer = Committer::new(Arc::clone(&shared), place, ledger);
        let thread = std::thread::Builder::new().name("btvep-store".to_owned()).spawn(|| committer.run());
        let thread = thread.map_err(|source| OpenError::io(&config.path, source))?;
        let journal: Arc<dyn Journal> = Arc::clone(&shared) as _;
        Ok(Arc::new(Self { shared, journal, pepper, committer: Mutex::new(Some(thread)), logs }))
    }

    /// Writes what waits and closes the store, so that another process may open it; blocks until then. Holds that are
    /// still open cannot be closed any more: what was marked is settled when the store is opened again.
    pub fn close(&self) {
        self.shared.mailbox.close();
        if let Some(thread) = self.committer.lock().take() {
            let _ = thread.join();
        }
        self.logs.close();
    }

    /// Reads the store on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.ask(|ack| Op::CatchUp { ack }).await?;
        let shared = Arc::clone(&self.shared);
        let read = move || match &*shared.db.read() {
            Some(db) => work(db),
            None => Err(StoreError::Unavailable("the store is shut".to_owned())),
        };
        let joined = tokio::task::spawn_blocking(read).await;
        joined.unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Keys for Embedded {
    async fn authenticate(&self, presented: &Secret, now: i64) -> Result<Arc<Key>, AuthFailure> {
        self.shared.book.authenticate(&self.pepper, presented, now)
    }

    fn watch(&self, key: &Arc<Key>) -> KeyWatch {
        self.shared.book.watch(key)
    }

    async fn create(&self, new: NewKey, now: i64) -> Result<(Arc<Key>, Secret), StoreError> {
        let (id, text, digest) = self.pepper.new_key(|id| self.shared.book.find(id).is_some());
        let credits = new.credits;
        let key = new_key(id, new, now);
        self.shared.ask(|ack| Op::Create { key: Arc::clone(&key), digest, credits, ack }).await?;
        Ok((key, text))
    }

    async fn get(&self, id: KeyId) -> Result<Option<Arc<Key>>, StoreError> {
        Ok(self.shared.book.find(id).map(|record| record.key()))
    }

    async fn list(&self, after: Option<KeyId>, limit: usize) -> Result<Vec<Arc<Key>>, StoreError> {
        // sled has the keys in order; looking through all residents for each page would not scale.
        let ids = self.read(move |db| keys_after(db, after, limit)).await?;
        Ok(ids.into_iter().filter_map(|id| self.shared.book.find(id)).map(|record| record.key()).collect())
    }

    async fn edit(&self, id: KeyId, edit: KeyEdit, now: i64) -> Result<Option<Arc<Key>>, StoreError> {
        self.shared.ask(|ack| Op::Edit { id, edit: Box::new(edit), now, ack }).await
    }

    async fn delete(&self, id: KeyId) -> Result<bool, StoreError> {
        self.shared.ask(|ack| Op::Delete { id, ack }).await
    }
}

#[async_trait]
impl Accounts for Embedded {
    async fn admit(&self, claims: Claims, now: Duration) -> Result<Admission, Refusal> {
        self.shared.book.admit(&claims, now, &self.journal)
    }

    async fn account(&self, key: KeyId) -> Result<Option<Account>, StoreError> {
        Ok(self.shared.book.find(key).map(|record| record.account()))
    }

    async fn ledger(&self, from: Option<Vec<u8>>, limit: usize) -> Result<LedgerPage, StoreError> {
        let from = cursor::read(from)?;
        self.read(move |db| ledger_page(db, from, limit)).await
    }

    fn health(&self) -> Result<(), StoreError> {
        self.shared.book.health()
    }
}

#[async_trait]
impl Logs for Embedded {
    fn append(&self, row: LogRow) -> Appended {
        self.logs.append(row)
    }

    async fn query(&self, query: LogQuery) -> Result<Vec<LogRow>, StoreError> {
        self.logs.query(query).await
    }

    fn dropped(&self) -> u64 {
        self.logs.dropped()
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.logs.flush().await
    }
}

fn keys_after(db: &Db, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyId>, StoreError> {
    let mut from = after.map_or_else(|| rows::KEYS.to_vec(), rows::key_row);
    if after.is_some() {
        from.push(0);
    }
    let ids = db.range(rows::KEYS, from).take(limit).map(|row| {
        let (row, _) = row?;
        let id = row.strip_prefix(rows::KEYS).and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
        id.ok_or_else(|| StoreError::Corrupt(format!("key row {}", row.escape_ascii())))
    });
    ids.collect()
}

fn ledger_page(db: &Db, from: u64, limit: usize) -> Result<LedgerPage, StoreError> {
    // Rows hold several records each: the page may begin within one.
    let begin = db
        .last_up_to(rows::CHARGES, rows::charge_row(from))?
        .map_or_else(|| rows::charge_row(from), |(row, _)| row.to_vec());
    let mut page = LedgerPage::default();
    for row in db.range(rows::CHARGES, begin) {
        let (row, value) = row?;
        let first = rows::charge_row_number(&row).unwrap_or_default();
        for (number, record) in (first..).zip(read_charges(&row, &value)?) {
            if number < from {
                continue;
            }
            if page.records.len() == limit {
                page.next = Some(cursor::write(number));
                return Ok(page);
            }
            page.records.push(record);
        }
    }
    Ok(page)
}

fn check_schema(db: &Db) -> Result<(), OpenError> {
    match db.get(rows::SCHEMA_ROW)? {
        Some(schema) if *schema == *rows::SCHEMA => Ok(()),
        Some(schema) => Err(OpenError::Schema(schema.escape_ascii().to_string())),
        None => {
            let mut batch = Batch::default();
            batch.insert(rows::SCHEMA_ROW, rows::SCHEMA);
            db.append(batch).and_then(|()| db.flush()).map_err(|error| OpenError::write(&error))
        }
    }
}

/// Makes a directory that only its owner can read; one that exists is left as it is.
fn make_private(path: &Path) -> Result<(), OpenError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.or_else(
        |error| if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() { Ok(()) } else { Err(error) },
    )
    .map_err(|source| OpenError::io(path, source))
}
