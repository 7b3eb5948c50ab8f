use std::sync::atomic::{AtomicU64, Ordering};

use btvep_domain::{AttemptOutcome, FailureKind};
use prometheus::proto::{Counter, LabelPair, Metric, MetricFamily, MetricType};

/// Every kind of failure, so that its counter is there before the first.
const KINDS: [FailureKind; 13] = [
    FailureKind::Unreachable,
    FailureKind::Timeout,
    FailureKind::Disconnected,
    FailureKind::Refused,
    FailureKind::Status,
    FailureKind::Malformed,
    FailureKind::Empty,
    FailureKind::TooLarge,
    FailureKind::AddressNotAllowed,
    FailureKind::Unavailable,
    FailureKind::NotEncoded,
    FailureKind::Banned,
    FailureKind::NoRoom,
];

/// Counters of attempts and retries: closed sets, never a uid.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    success: AtomicU64,
    partial: AtomicU64,
    cancelled: AtomicU64,
    failed: [AtomicU64; KINDS.len()],
    /// Sends on a fresh connection after a reused one had died.
    pub(super) stale: AtomicU64,
    /// Sends with another reading of the body hash.
    pub(super) reread: AtomicU64,
    /// Retries that the budget did not allow.
    pub(super) refused: AtomicU64,
    /// Miners asked beside slow ones.
    pub(super) hedged: AtomicU64,
    /// Slow miners that the budget gave nobody beside.
    pub(super) unhedged: AtomicU64,
}

impl Metrics {
    pub(super) fn count(&self, outcome: &AttemptOutcome) {
        let counter = match outcome {
            AttemptOutcome::Success => Some(&self.success),
            AttemptOutcome::Partial(_) => Some(&self.partial),
            AttemptOutcome::Cancelled => Some(&self.cancelled),
            AttemptOutcome::Failed(failure) => {
                KINDS.iter().zip(&self.failed).find(|(kind, _)| **kind == failure.kind).map(|(_, counter)| counter)
            }
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let ends = [("success", &self.success), ("partial", &self.partial), ("cancelled", &self.cancelled)];
        let failures = KINDS.iter().map(|kind| kind.label()).zip(&self.failed);
        let retries = [("stale_connection", &self.stale), ("reread", &self.reread), ("over_budget", &self.refused)];
        let hedges = [("sent", &self.hedged), ("over_budget", &self.unhedged)];
        vec![
            family(
                "btvep_dispatch_attempts_total",
                "Miners asked, by how it ended.",
                "outcome",
                ends.into_iter().chain(failures),
            ),
            family(
                "btvep_dispatch_retries_total",
                "Second sends, by reason; `over_budget` was not sent.",
                "reason",
                retries,
            ),
            family(
                "btvep_dispatch_hedges_total",
                "Slow miners beside which another was asked, or would have been.",
                "result",
                hedges,
            ),
        ]
    }
}

fn family<'a>(
    name: &str,
    help: &str,
    label: &str,
    counters: impl IntoIterator<Item = (&'a str, &'a AtomicU64)>,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(MetricType::COUNTER);
    family.set_metric(counters.into_iter().map(|(value, counter)| metric(label, value, counter)).collect());
    family
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floating numbers")]
fn metric(label: &str, value: &str, total: &AtomicU64) -> Metric {
    let mut pair = LabelPair::default();
    pair.set_name(label.to_owned());
    pair.set_value(value.to_owned());
    let mut counter = Counter::default();
    counter.set_value(total.load(Ordering::Relaxed) as f64);
    let mut metric = Metric::default();
    metric.set_label(vec![pair]);
    metric.set_counter(counter);
    metric
}
