//! The arithmetic of money: what a closing charges.

use std::sync::Arc;

use btvep_domain::{ChargeRecord, Credits, KeyId, Settlement};

/// The durable part of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    /// What is left; none means unlimited.
    pub(crate) credits: Option<Credits>,
    /// API requests admitted.
    pub(crate) api_request_count: u64,
    /// Miners asked.
    pub(crate) request_count: u64,
}

/// What a request owes: enough to settle it in this process or, from its mark, in the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Debt {
    /// Names the charge record.
    pub(crate) request_id: Arc<str>,
    /// Who owes.
    pub(crate) key: KeyId,
    /// Of one choice.
    pub(crate) price: Credits,
    /// The most choices it can be charged for.
    pub(crate) max_choices: u32,
    /// What was held; none when the account was unlimited.
    pub(crate) held: Option<Credits>,
    /// Unix milliseconds of the admission.
    pub(crate) at_ms: i64,
}

/// How a debt ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    /// Choices delivered.
    pub(crate) choices: u32,
    /// Miners asked.
    pub(crate) attempts: u32,
    /// Unix milliseconds.
    pub(crate) at_ms: i64,
    /// How it came about.
    pub(crate) settlement: Settlement,
}

impl Debt {
    /// Charges the balance and returns the record of it.
    ///
    /// A limited account is charged at most what was held and never below zero: whoever lowers a balance under
    /// what is held forgives the difference.
    pub(crate) fn settle(&self, balance: &mut Balance, ending: Ending) -> ChargeRecord {
        let choices = ending.choices.min(self.max_choices);
        let due = self.price.times(choices);
        let charged = balance.credits.map_or(due, |left| {
            let covered = self.held.unwrap_or_default().min(left.max(Credits::ZERO));
            due.min(covered)
        });
        balance.credits = balance.credits.map(|left| left.minus(charged));
        balance.request_count = balance.request_count.saturating_add(u64::from(ending.attempts));
        ChargeRecord {
            request_id: Arc::clone(&self.request_id),
            key: self.key,
            price: self.price,
            choices,
            charged,
            balance: balance.credits,
            attempts: ending.attempts,
            at_ms: ending.at_ms,
            settlement: ending.settlement,
        }
    }

    /// Returns how a crash, or dropping a marked hold, ends it: the price of one choice.
    pub(crate) const fn after_a_crash(&self) -> Ending {
        Ending { choices: 1, attempts: 0, at_ms: self.at_ms, settlement: Settlement::Recovered }
    }
}

/// Sets a balance and returns the record of it: `charged` is what the balance lost, negative for a grant.
pub(crate) fn adjust(
    balance: &mut Balance,
    credits: Option<Credits>,
    request_id: Arc<str>,
    (key, at_ms): (KeyId, i64),
) -> ChargeRecord {
    let charged = balance.credits.unwrap_or_default().minus(credits.unwrap_or_default());
    balance.credits = credits;
    ChargeRecord {
        request_id,
        key,
        price: Credits::ZERO,
        choices: 0,
        charged,
        balance: credits,
        attempts: 0,
        at_ms,
        settlement: Settlement::Adjusted,
    }
}
