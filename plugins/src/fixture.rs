//! Fakes and shorthands for the tests of all filters.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use btvep_domain::{
    Appended, AuthFailure, Exchange, Key, KeyEdit, KeyId, KeyPolicy, KeyWatch, Keys, LogQuery, LogRow, Logs, NewKey,
    Secret, StoreError,
};
use parking_lot::Mutex;

/// Runs a future that needs no I/O to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A request of a key with this policy.
pub(crate) fn exchange_with(policy: Option<KeyPolicy>) -> Exchange {
    let mut exchange = btvep_testkit::exchange();
    exchange.key = Some(Arc::new(Key { policy: policy.map(Box::new), ..btvep_testkit::key() }));
    exchange
}

/// Keys that give one answer, once.
#[derive(Debug, Default)]
pub(crate) struct FixedKeys {
    answer: Mutex<Option<AuthFailure>>,
    asked_at: Mutex<Option<i64>>,
}

impl FixedKeys {
    pub(crate) fn new(answer: Option<AuthFailure>) -> Self {
        Self { answer: Mutex::new(answer), asked_at: Mutex::default() }
    }

    pub(crate) fn asked_at(&self) -> Option<i64> {
        *self.asked_at.lock()
    }
}

#[async_trait]
impl Keys for FixedKeys {
    async fn authenticate(&self, _presented: &Secret, now: i64) -> Result<Arc<Key>, AuthFailure> {
        *self.asked_at.lock() = Some(now);
        self.answer.lock().take().map_or_else(|| Ok(Arc::new(btvep_testkit::key())), Err)
    }

    fn watch(&self, _: &Arc<Key>) -> KeyWatch {
        Box::pin(std::future::pending())
    }

    async fn create(&self, _: NewKey, _: i64) -> Result<(Arc<Key>, Secret), StoreError> {
        unreachable!("a filter makes no keys")
    }

    async fn get(&self, _: KeyId) -> Result<Option<Arc<Key>>, StoreError> {
        unreachable!("a filter knows no ids")
    }

    async fn list(&self, _: Option<KeyId>, _: usize) -> Result<Vec<Arc<Key>>, StoreError> {
        unreachable!("a filter lists no keys")
    }

    async fn edit(&self, _: KeyId, _: KeyEdit, _: i64) -> Result<Option<Arc<Key>>, StoreError> {
        unreachable!("a filter edits no keys")
    }

    async fn delete(&self, _: KeyId) -> Result<bool, StoreError> {
        unreachable!("a filter deletes no keys")
    }
}

/// Keeps the rows it is given.
#[derive(Debug, Default)]
pub(crate) struct KeptLogs(Mutex<Vec<LogRow>>);

impl KeptLogs {
    pub(crate) fn rows(&self) -> Vec<LogRow> {
        self.0.lock().clone()
    }
}

#[async_trait]
impl Logs for KeptLogs {
    fn append(&self, row: LogRow) -> Appended {
        self.0.lock().push(row);
        Appended::Queued
    }

    async fn query(&self, _: LogQuery) -> Result<Vec<LogRow>, StoreError> {
        Ok(self.rows())
    }

    fn dropped(&self) -> u64 {
        0
    }

    async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
