use std::sync::atomic::{AtomicUsize, Ordering};

/// The rule by which what is scarce is divided: whoever holds less than `ratio` times what is free may take, where
/// `ratio = share / (1 - share)`.
///
/// One that takes all it can while it is alone stops at `share` of the whole; `n` that do so hold
/// `ratio / (1 + n * ratio)` of it each. Something always stays free, so that one who holds nothing is refused only
/// when nothing at all is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// In thousandths, 1 to 999.
    share: u64,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too little is free.
    Full,
    /// Whoever asked holds its share.
    Share,
}

impl Share {
    /// Makes the rule under which one that is alone gets `share` of the whole, between 0 and 1.
    pub(super) fn alone(share: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 1 and 999")]
        let share = (share * 1000.0).round().clamp(1.0, 999.0) as u64;
        Self { share }
    }

    fn allows(self, mine: usize, free: usize) -> bool {
        let times = |number: usize, factor: u64| (number as u64).saturating_mul(factor);
        times(mine, 1000 - self.share) < times(free, self.share)
    }

    /// Adds `amount` to both counters, or to neither. The total never exceeds `cap`.
    pub(super) fn take(
        self,
        amount: usize,
        (total, cap): (&AtomicUsize, usize),
        mine: &AtomicUsize,
    ) -> Result<(), Refused> {
        // Noted first: of two that race for the last of a share, at most one wins.
        let before = mine.fetch_add(amount, Ordering::Relaxed);
        let fits = |taken: usize| {
            let free = cap.saturating_sub(taken);
            amount <= free && self.allows(before, free)
        };
        let taken = total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            fits(taken).then(|| taken.saturating_add(amount))
        });
        taken.map(drop).map_err(|taken| {
            mine.fetch_sub(amount, Ordering::Relaxed);
            let free = cap.saturating_sub(taken);
            if free == 0 || amount > free { Refused::Full } else { Refused::Share }
        })
    }
}

/// Gives back what was taken.
pub(super) fn give_back(amount: usize, total: &AtomicUsize, mine: &AtomicUsize) {
    total.fetch_sub(amount, Ordering::Relaxed);
    mine.fetch_sub(amount, Ordering::Relaxed);
}
