use std::sync::atomic::{AtomicI64, Ordering};

/// What one extra prompt costs; what is earned are percents of it.
const COST: i64 = 100;
/// What can be saved up, so that a quiet hour does not pay for a storm.
const CAP: i64 = 10 * COST;

/// A budget of extra prompts to one party, as a share of others, so that a party in trouble is not asked twice as much.
#[derive(Debug)]
pub(super) struct Budget(AtomicI64);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicI64::new(CAP))
    }
}

impl Budget {
    /// Notes what earns so many percent of an extra prompt.
    pub(super) fn earn(&self, percent: u8) {
        self.add(percent.into());
    }

    /// Takes an extra prompt, if there is one.
    pub(super) fn spend(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| (saved >= COST).then_some(saved - COST))
            .is_ok()
    }

    /// Gives one back that was not sent.
    pub(super) fn give_back(&self) {
        self.add(COST);
    }

    fn add(&self, earned: i64) {
        let more = |saved: i64| (saved < CAP).then(|| CAP.min(saved + earned));
        // None is what a full one says.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_others_after_what_was_saved() {
        for (percent, expected) in [(5, 50), (20, 200), (100, 1_000)] {
            let budget = Budget::default();
            let saved = std::iter::from_fn(|| budget.spend().then_some(())).count();
            assert_eq!(saved, 10);
            let extra = (0..1_000).filter(|_| {
                budget.earn(percent);
                budget.spend()
            });
            assert_eq!(extra.count(), expected, "{percent}");
        }
    }

    #[test]
    fn savings_are_bounded() {
        let budget = Budget::default();
        (0..1_000).for_each(|_| budget.earn(100));
        assert!(budget.spend());
        budget.give_back();
        budget.give_back();
        assert_eq!(std::iter::from_fn(|| budget.spend().then_some(())).count(), 10);
    }
}
