use std::sync::atomic::Ordering;
use std::time::Duration;

use btvep_domain::Plan;
use tokio::time::{Instant, sleep_until};

use super::errand::{Common, Errands};

/// One miner more that a plan may ask beside slow ones, if its party's budget allows it.
#[derive(Debug)]
pub(super) struct Hedging<'a> {
    after: Duration,
    common: &'a Common,
}

impl<'a> Hedging<'a> {
    /// Notes a request whose plan hedges, which earns its share; none when it does not.
    pub(super) fn new(plan: &Plan, errands: &'a Errands) -> Option<Self> {
        let hedge = plan.hedge?;
        errands.common.party.hedges.earn(hedge.percent);
        Some(Self { after: hedge.after, common: &errands.common })
    }

    /// Returns the next of those that wait, if it may be asked now.
    pub(super) fn beside<F>(self, waiting: &mut impl Iterator<Item = F>) -> Option<F> {
        let (budget, metrics) = (&self.common.party.hedges, &self.common.metrics);
        if !budget.spend() {
            metrics.unhedged.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        // Taken only now: whoever is taken is asked.
        let next = waiting.next();
        match next {
            Some(_) => _ = metrics.hedged.fetch_add(1, Ordering::Relaxed),
            None => budget.give_back(),
        }
        next
    }
}

/// Comes when the newest of those in flight is slow; never when nobody may be asked beside it.
pub(super) async fn slow(hedging: Option<&Hedging<'_>>, newest: Instant) {
    match hedging.and_then(|hedging| newest.checked_add(hedging.after)) {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
