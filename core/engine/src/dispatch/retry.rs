use std::sync::atomic::{AtomicI64, Ordering};

/// What an attempt earns, in fifths of a retry: retries are at most 20 % of the attempts.
const EARNED: i64 = 1;
/// What a retry costs.
const COST: i64 = 5;
/// What can be saved up, so that a quiet hour does not pay for a storm.
const CAP: i64 = 10 * COST;

/// A budget of second sends to one party, so that a party in trouble is not asked twice as much.
#[derive(Debug)]
pub(super) struct RetryBudget(AtomicI64);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicI64::new(CAP))
    }
}

impl RetryBudget {
    /// Notes an attempt.
    pub(super) fn earn(&self) {
        // A lost race misses a fifth of a retry; the bound holds.
        let _ =
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| (saved < CAP).then_some(saved + EARNED));
    }

    /// Takes a retry, if there is one.
    pub(super) fn spend(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| (saved >= COST).then_some(saved - COST))
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_retry_in_five_attempts_after_what_was_saved() {
        let budget = RetryBudget::default();
        let saved = std::iter::from_fn(|| budget.spend().then_some(())).count();
        assert_eq!(saved, 10);
        let retries = (0..100).filter(|_| {
            budget.earn();
            budget.spend()
        });
        assert_eq!(retries.count(), 20);
    }

    #[test]
    fn savings_are_bounded() {
        let budget = RetryBudget::default();
        (0..1_000).for_each(|_| budget.earn());
        assert_eq!(std::iter::from_fn(|| budget.spend().then_some(())).count(), 10);
    }
}
