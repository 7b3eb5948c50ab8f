use std::time::Duration;

use btvep_domain::{AttemptOutcome, Breaker, Flaw, MinerHealth};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::breaker::{Circuit, Sign};

/// What the newest attempt weighs in the moving averages.
const WEIGHT: f32 = 0.2;

/// How one miner has been doing.
#[derive(Debug, Default)]
pub(super) struct Vitals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    seen: MinerHealth,
    circuit: Circuit,
}

/// An attempt under way; to be handed back when it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    trial: bool,
}

impl Vitals {
    /// Returns what a strategy sees.
    pub(super) fn freeze(&self, now: Instant) -> MinerHealth {
        let state = self.0.lock();
        MinerHealth { breaker: state.circuit.state(now), ..state.seen }
    }

    /// Begins an attempt, whatever the breaker says; it is the trial when one is to be had.
    pub(super) fn enter(&self, now: Instant) -> Entry {
        let mut state = self.0.lock();
        state.enter(now)
    }

    /// Begins an attempt unless the breaker is open.
    pub(super) fn enter_if_healthy(&self, now: Instant) -> Option<Entry> {
        let mut state = self.0.lock();
        (state.circuit.state(now) != Breaker::Open).then(|| state.enter(now))
    }

    /// Learns from an attempt that has ended `elapsed` after it was sent.
    pub(super) fn leave(&self, entry: Entry, outcome: &AttemptOutcome, elapsed: Duration, now: Instant) {
        let sign = sign(outcome);
        let mut state = self.0.lock();
        state.circuit.learn(sign, entry.trial, now);
        let seen = &mut state.seen;
        seen.in_flight = seen.in_flight.saturating_sub(1);
        match sign {
            Sign::Works => {
                if matches!(outcome, AttemptOutcome::Success) {
                    let latency = elapsed.as_secs_f32() * 1_000.0;
                    let first = seen.latency_ms == 0.0;
                    seen.latency_ms = if first { latency } else { mix(seen.latency_ms, latency) };
                    seen.error_rate = mix(seen.error_rate, 0.0);
                }
            }
            Sign::Fails => seen.error_rate = mix(seen.error_rate, 1.0),
            Sign::Nothing => {}
        }
    }
}

impl State {
    fn enter(&mut self, now: Instant) -> Entry {
        self.seen.in_flight = self.seen.in_flight.saturating_add(1);
        self.seen.attempts = self.seen.attempts.saturating_add(1);
        Entry { trial: self.circuit.try_again(now) }
    }
}

fn mix(average: f32, newest: f32) -> f32 {
    WEIGHT.mul_add(newest - average, average)
}

fn sign(outcome: &AttemptOutcome) -> Sign {
    match outcome {
        AttemptOutcome::Success => Sign::Works,
        AttemptOutcome::Cancelled => Sign::Nothing,
        AttemptOutcome::Failed(failure) | AttemptOutcome::Partial(failure) => match failure.flaw {
            // A miner that fails under every reading fails.
            Flaw::Miner | Flaw::Reread => Sign::Fails,
            Flaw::Request => Sign::Works,
            Flaw::Busy => Sign::Nothing,
        },
    }
}

#[cfg(test)]
mod tests {
    use btvep_domain::{FailureKind, MinerFailure};

    use super::*;

    fn end(vitals: &Vitals, outcome: &AttemptOutcome, elapsed_ms: u64) -> MinerHealth {
        let now = Instant::now();
        let entry = vitals.enter(now);
        vitals.leave(entry, outcome, Duration::from_millis(elapsed_ms), now);
        vitals.freeze(now)
    }

    fn failed(flaw: Flaw) -> AttemptOutcome {
        AttemptOutcome::Failed(MinerFailure { flaw, ..MinerFailure::new(FailureKind::Status, "no") })
    }

    #[tokio::test(start_paused = true)]
    async fn averages_follow_the_newest_and_count_only_the_miners_own_failures() {
        let vitals = Vitals::default();
        assert!((end(&vitals, &AttemptOutcome::Success, 100).latency_ms - 100.0).abs() < 0.01);
        assert!((end(&vitals, &AttemptOutcome::Success, 200).latency_ms - 120.0).abs() < 0.01);
        for harmless in [failed(Flaw::Request), failed(Flaw::Busy), AttemptOutcome::Cancelled] {
            assert!(end(&vitals, &harmless, 9_000).error_rate.abs() < 0.01);
        }
        let after = end(&vitals, &failed(Flaw::Miner), 9_000);
        assert!((after.error_rate - 0.2).abs() < 0.01 && (after.latency_ms - 120.0).abs() < 0.01);
        assert_eq!((after.attempts, after.in_flight), (6, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_is_entered_only_by_force() {
        let vitals = Vitals::default();
        for _ in 0..5 {
            end(&vitals, &failed(Flaw::Miner), 1);
        }
        assert!(vitals.enter_if_healthy(Instant::now()).is_none());
        assert_eq!(end(&vitals, &AttemptOutcome::Success, 1).breaker, Breaker::Closed, "a forced success closes it");
    }
}
