use std::time::Duration;

use btvep_domain::Breaker;
use tokio::time::Instant;

/// Failures in a row that open the breaker.
const PATIENCE: u32 = 5;
/// For how long it opens first; twice as long after each trial that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Keeps prompts from a miner that fails, and lets one through now and then to see whether it has recovered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Circuit {
    /// In a row.
    failures: u32,
    /// Pauses in a row.
    pauses: u32,
    /// Until when it is open; none while it is closed.
    until: Option<Instant>,
    /// Whether the one prompt of the half-open state is under way.
    trying: bool,
}

/// What an attempt's end says of a miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// It answered, or refused for a reason that lies in the request: it works.
    Works,
    /// It failed.
    Fails,
    /// Nothing was learned: cancelled, or never sent.
    Nothing,
}

impl Circuit {
    /// Returns whether the miner is asked now.
    pub(super) fn state(&self, now: Instant) -> Breaker {
        match self.until {
            None => Breaker::Closed,
            Some(until) if now < until || self.trying => Breaker::Open,
            Some(_) => Breaker::HalfOpen,
        }
    }

    /// Takes the half-open trial if it is to be had; returns whether this attempt is it.
    pub(super) fn try_again(&mut self, now: Instant) -> bool {
        let half_open = self.state(now) == Breaker::HalfOpen;
        self.trying |= half_open;
        half_open
    }

    /// Learns from an attempt's end; `trial` is what [`Self::try_again`] said when it began.
    pub(super) fn learn(&mut self, sign: Sign, trial: bool, now: Instant) {
        if trial {
            self.trying = false;
        }
        match sign {
            Sign::Works => *self = Self::default(),
            Sign::Fails if self.until.is_none() => {
                self.failures += 1;
                if self.failures >= PATIENCE {
                    self.open(now);
                }
            }
            Sign::Fails if trial => self.open(now),
            // A failure that ends while it is open says nothing new.
            Sign::Fails | Sign::Nothing => {}
        }
    }

    fn open(&mut self, now: Instant) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.pauses.min(16)).min(LONGEST_PAUSE);
        self.pauses = self.pauses.saturating_add(1);
        self.until = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(circuit: &mut Circuit, times: u32, now: Instant) {
        for _ in 0..times {
            let trial = circuit.try_again(now);
            circuit.learn(Sign::Fails, trial, now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_success_between_does_not() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        fail(&mut circuit, PATIENCE - 1, now);
        circuit.learn(Sign::Works, false, now);
        fail(&mut circuit, PATIENCE - 1, now);
        assert_eq!(circuit.state(now), Breaker::Closed);
        circuit.learn(Sign::Nothing, false, now);
        fail(&mut circuit, 1, now);
        assert_eq!(circuit.state(now), Breaker::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn half_open_lets_one_through_and_its_end_decides() {
        let mut now = Instant::now();
        let mut circuit = Circuit::default();
        fail(&mut circuit, PATIENCE, now);
        now += FIRST_PAUSE;
        assert_eq!(circuit.state(now), Breaker::HalfOpen);
        assert!(circuit.try_again(now));
        assert!(!circuit.try_again(now), "only one");
        assert_eq!(circuit.state(now), Breaker::Open);
        circuit.learn(Sign::Nothing, true, now);
        assert!(circuit.try_again(now), "a cancelled trial has not been one");
        circuit.learn(Sign::Fails, true, now);
        assert_eq!(circuit.state(now + FIRST_PAUSE), Breaker::Open, "the pause has doubled");
        now += 2 * FIRST_PAUSE;
        assert!(circuit.try_again(now));
        circuit.learn(Sign::Works, true, now);
        assert_eq!(circuit.state(now), Breaker::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_minute_and_stay_there() {
        let mut now = Instant::now();
        let mut circuit = Circuit::default();
        fail(&mut circuit, PATIENCE, now);
        for _ in 0..40 {
            now += LONGEST_PAUSE;
            assert_eq!(circuit.state(now), Breaker::HalfOpen);
            fail(&mut circuit, 1, now);
        }
        assert_eq!(circuit.state(now + LONGEST_PAUSE - Duration::from_millis(1)), Breaker::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_were_under_way_when_it_opened_change_nothing() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        fail(&mut circuit, PATIENCE + 20, now);
        assert_eq!(circuit.state(now + FIRST_PAUSE), Breaker::HalfOpen);
    }
}
