use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures in a row after which the endpoint is left alone.
const FAILURES: u32 = 5;
/// How long it is left alone.
pub(super) const PAUSE: Duration = Duration::from_secs(10);

/// Keeps a dead endpoint from costing each request its timeout.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    closed_again_at: Option<Instant>,
}

impl Breaker {
    /// Returns whether to ask now. After a pause one request at a time finds out whether the endpoint is back.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        match state.closed_again_at {
            Some(at) if now < at => false,
            Some(_) => {
                // Whoever asks now is the probe; the others wait for what it finds, or for the next pause.
                state.closed_again_at = Some(now + PAUSE);
                true
            }
            None => true,
        }
    }

    /// Notes an answer; returns whether the endpoint was being left alone.
    pub(super) fn succeeded(&self) -> bool {
        let mut state = self.0.lock();
        state.failures = 0;
        state.closed_again_at.take().is_some()
    }

    /// Notes a failure; returns whether the endpoint is left alone from now on.
    pub(super) fn failed(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES {
            return false;
        }
        let is_new = state.closed_again_at.is_none();
        state.closed_again_at = Some(now + PAUSE);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets so many failures happen now, and returns the breaker.
    fn after(failures: u32, now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..failures {
            breaker.failed(now);
        }
        breaker
    }

    #[track_caller]
    fn check(failures: u32, later: Duration, admitted: bool) {
        let now = Instant::now();
        assert_eq!(after(failures, now).admits(now + later), admitted);
    }

    #[test]
    fn five_failures_in_a_row_pause_it_for_ten_seconds() {
        check(4, Duration::ZERO, true);
        check(5, Duration::ZERO, false);
        check(5, Duration::from_millis(9_999), false);
        check(5, Duration::from_secs(10), true);
    }

    #[test]
    fn an_answer_in_between_starts_the_count_anew() {
        let now = Instant::now();
        let breaker = after(4, now);
        assert!(!breaker.succeeded());
        assert!(!breaker.failed(now) && breaker.admits(now));
    }

    #[test]
    fn after_the_pause_one_request_finds_out() {
        let now = Instant::now();
        let breaker = after(5, now);
        let later = now + PAUSE;
        assert!(breaker.admits(later) && !breaker.admits(later), "one probe at a time");
        assert!(breaker.succeeded(), "it was being left alone");
        assert!(breaker.admits(later) && breaker.admits(later));
    }

    #[test]
    fn a_failed_probe_pauses_it_again() {
        let now = Instant::now();
        let breaker = after(5, now);
        let later = now + PAUSE;
        assert!(breaker.admits(later));
        assert!(!breaker.failed(later), "the pause is not news");
        assert!(!breaker.admits(later + PAUSE / 2));
    }
}
