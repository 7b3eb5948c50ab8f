use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Credits, KeyId, RateRule, RateState, StoreError};

/// Everything a request asks of the accounts; taken whole or not at all.
#[derive(Clone, Debug)]
pub struct Claims {
    /// The request, unique for ever; names its charge record.
    pub request_id: Arc<str>,
    /// Whose money and whose counters.
    pub key: KeyId,
    /// The price of one successful choice; stored in the hold, so a later price change alters nothing.
    pub price: Credits,
    /// Whether a charge record is kept. Without one nothing can be charged and the closing waits for nothing; only the
    /// counters of the account tell of the request, and a crash may lose the last second of them.
    pub metered: bool,
    /// The most choices the plan can deliver: `price × max_choices` is held.
    pub max_choices: u32,
    /// Miners the plan may ask; counted against `attempts`.
    pub max_attempts: u32,
    /// The key's rate rules, each with a counter of its own.
    pub rules: Arc<[RateRule]>,
    /// A rule over miners asked instead of requests, so that free failures cannot be abused.
    pub attempts: Option<RateRule>,
    /// Requests of this key in flight at the same time.
    pub concurrency: Option<u32>,
    /// Unix time in milliseconds, for the record.
    pub at_ms: i64,
}

/// A balance and what is held of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What is left, settled; none means unlimited.
    pub credits: Option<Credits>,
    /// Held by requests in flight; what can be spent is `credits - held`.
    pub held: Credits,
    /// API requests that were admitted, ever.
    pub api_request_count: u64,
    /// Miners asked, ever.
    pub request_count: u64,
}

/// An admitted request.
#[derive(Debug)]
pub struct Admission {
    /// Its hold, to be closed exactly once.
    pub hold: Box<dyn Hold>,
    /// The most constrained rate rule, if any applies.
    pub rate: Option<RateState>,
}

/// Why nothing was taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Less can be spent than the request may cost.
    #[error("{needed} credits are needed and {available} can be spent")]
    Credits {
        /// What the request may cost at most.
        needed: Credits,
        /// Balance less what is held.
        available: Credits,
    },
    /// A rate rule is used up.
    #[error("at most {} requests in {} s", .0.rule.times, .0.rule.seconds)]
    Rate(RateState),
    /// The attempts rule is used up.
    #[error("at most {} miners asked in {} s", .0.rule.times, .0.rule.seconds)]
    Attempts(RateState),
    /// Too many requests in flight.
    #[error("at most {limit} requests at the same time")]
    Concurrency {
        /// The limit.
        limit: u32,
    },
    /// The key was deleted meanwhile.
    #[error("the account is gone")]
    UnknownAccount,
    /// The store is shut.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Choices delivered; the charge is `price × choices`, never more than was held.
    pub choices: u32,
    /// Miners really asked.
    pub attempts: u32,
    /// When, unix milliseconds.
    pub at_ms: i64,
}

/// A closed hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// What was charged.
    pub charged: Credits,
    /// What is left to spend; none means unlimited.
    pub remaining: Option<Credits>,
}

/// Credits set aside for one request.
///
/// Dropping an open hold releases it without a charge, or, when it was marked, settles it as a crash would:
/// `price` for one choice. Either happens without waiting.
#[async_trait]
pub trait Hold: Send + Sync + fmt::Debug {
    /// Notes durably that the answer begins to leave: from now on a crash charges the price of one choice.
    async fn mark(&mut self) -> Result<(), StoreError>;
    /// Settles, releases and writes the charge record in one batch; durable when it returns.
    ///
    /// # Errors
    ///
    /// The commit failed: the answer must be withheld.
    async fn close(self: Box<Self>, closing: Closing) -> Result<Closed, StoreError>;
}

/// How a charge came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// The request ended in order.
    Closed,
    /// Recovered after a crash from its mark.
    Recovered,
    /// A grant or a correction by the owner; `charged` is negative for a grant.
    Adjusted,
}

/// One line of the ledger. Never altered, never dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChargeRecord {
    /// The request (or the adjustment).
    pub request_id: Arc<str>,
    /// Whose money.
    pub key: KeyId,
    /// Price of one choice when the request was admitted.
    pub price: Credits,
    /// Choices delivered.
    pub choices: u32,
    /// `price × choices`.
    pub charged: Credits,
    /// The balance after it; none means unlimited.
    pub balance: Option<Credits>,
    /// Miners asked.
    pub attempts: u32,
    /// When it was closed, unix milliseconds.
    pub at_ms: i64,
    /// How it came about.
    pub settlement: Settlement,
}

/// A page of the ledger, oldest first.
#[derive(Clone, Debug, Default)]
pub struct LedgerPage {
    /// The records.
    pub records: Vec<ChargeRecord>,
    /// Where the next page begins; none at the end.
    pub next: Option<Vec<u8>>,
}

/// Admission and money.
///
/// Held plus settled never exceeds what was granted; a refusal takes nothing; a hold ends exactly once.
/// A rate rule admits at most `times` in any window of `seconds`.
#[async_trait]
pub trait Accounts: Send + Sync + fmt::Debug {
    /// Takes all claims or none. `now` is a monotonic time since any fixed moment.
    async fn admit(&self, claims: Claims, now: Duration) -> Result<Admission, Refusal>;
    /// Returns an account, or none.
    async fn account(&self, key: KeyId) -> Result<Option<Account>, StoreError>;
    /// Returns the ledger from `from` on (none: from the beginning), at most `limit` records.
    async fn ledger(&self, from: Option<Vec<u8>>, limit: usize) -> Result<LedgerPage, StoreError>;
    /// Whether paid work can be accounted for now.
    ///
    /// # Errors
    ///
    /// What is wrong with the store.
    fn health(&self) -> Result<(), StoreError>;
}
