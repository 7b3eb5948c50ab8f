//! What the contracts promise, as tests that every implementation runs.
//!
//! Each function takes a strategy, or a maker of empty stores, and asserts; run the latter on a multi-threaded runtime.

mod accounts;
mod keys;
mod ledger;
mod logs;
mod random;
mod rates;
mod reopening;
mod strategies;

use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{Account, Accounts, ChargeRecord, Claims, Closing, Credits, KeyEdit, KeyId, Keys, NewKey};

pub use accounts::accounts;
pub use keys::keys;
pub use logs::{logs, row};
pub use reopening::reopening;
pub use strategies::strategy;

/// One store by its contracts.
#[derive(Clone, Debug)]
pub struct Store {
    /// Its keys.
    pub keys: Arc<dyn Keys>,
    /// Their accounts.
    pub accounts: Arc<dyn Accounts>,
}

/// When the suite's requests are admitted and closed, unix milliseconds.
const AT_MS: i64 = 1_700_000_000_000;

impl Store {
    async fn key(&self, credits: Option<i64>) -> KeyId {
        let new = NewKey { credits: credits.map(Credits::whole), ..NewKey::default() };
        self.keys.create(new, AT_MS / 1000).await.expect("a key is made").0.id
    }

    async fn account(&self, key: KeyId) -> Account {
        self.accounts.account(key).await.expect("the store answers").expect("the account exists")
    }

    /// Returns the whole ledger, read in small pages.
    async fn ledger(&self) -> Vec<ChargeRecord> {
        let (mut records, mut from) = (Vec::new(), None);
        loop {
            let page = self.accounts.ledger(from, 7).await.expect("the ledger can be read");
            assert!(page.records.len() <= 7, "a page is longer than asked for");
            records.extend(page.records);
            from = page.next;
            if from.is_none() {
                return records;
            }
        }
    }

    /// Returns the records of one request.
    async fn records(&self, request_id: &str) -> Vec<ChargeRecord> {
        self.ledger().await.into_iter().filter(|record| &*record.request_id == request_id).collect()
    }

    /// Waits until what was abandoned before is settled: an edit stands behind it in every queue.
    async fn settle(&self, key: KeyId) {
        self.keys.edit(key, KeyEdit::default(), AT_MS / 1000).await.expect("the store takes edits");
    }
}

/// Returns claims on one choice of one credit, without limits.
fn claims(request_id: &str, key: KeyId) -> Claims {
    Claims {
        request_id: request_id.into(),
        key,
        price: Credits::whole(1),
        metered: true,
        max_choices: 1,
        max_attempts: 1,
        rules: Arc::new([]),
        attempts: None,
        concurrency: None,
        at_ms: AT_MS,
    }
}

const fn closing(choices: u32) -> Closing {
    Closing { choices, attempts: 1, at_ms: AT_MS + 200 }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
