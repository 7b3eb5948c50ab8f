use std::time::Duration;

use btvep_domain::{Deadlines, FailureKind, MinerFailure};
use tokio::time::{Instant, timeout_at};

/// A moment at which waiting ends, and how long that is in the configuration's words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alarm {
    pub(super) at: Instant,
    after: Duration,
}

/// The deadlines of one attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    deadlines: Deadlines,
    /// The client's own, for the whole job.
    client: Option<Alarm>,
}

impl Alarm {
    pub(super) fn after(from: Instant, after: Duration) -> Self {
        // A time beyond what the clock can hold is as good as never.
        let at = from.checked_add(after).unwrap_or_else(|| from + Duration::from_hours(24));
        Self { at, after }
    }

    fn or(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.at < self.at => other,
            _ => self,
        }
    }

    /// Returns the time until then, as a miner is told: rounded up, so that a fresh 12 s are 12 s.
    pub(super) fn left(self) -> Duration {
        let left = self.at.saturating_duration_since(Instant::now());
        let hundredths = u64::try_from(left.as_millis().div_ceil(10)).unwrap_or(u64::MAX);
        Duration::from_millis(hundredths.saturating_mul(10)).min(self.after)
    }

    /// Waits until then.
    pub(super) async fn bound<F: Future>(self, future: F) -> Result<F::Output, MinerFailure> {
        timeout_at(self.at, future).await.map_err(|_| timed_out(self.after))
    }
}

impl Clock {
    pub(super) const fn new(deadlines: Deadlines, client: Option<Alarm>) -> Self {
        Self { deadlines, client }
    }

    pub(super) const fn connect(&self) -> Duration {
        self.deadlines.connect
    }

    /// For a lane.
    pub(super) fn lane(&self, begun: Instant) -> Alarm {
        Alarm::after(begun, self.deadlines.first_token).or(self.client)
    }

    /// For all of it.
    pub(super) fn total(&self, sent: Instant) -> Alarm {
        Alarm::after(sent, self.deadlines.total).or(self.client)
    }

    /// For the first token of a stream.
    pub(super) fn first_token(&self, sent: Instant) -> Alarm {
        self.total(sent).or(Some(Alarm::after(sent, self.deadlines.first_token)))
    }

    /// For the next bytes.
    pub(super) fn idle(&self, sent: Instant) -> Alarm {
        self.total(sent).or(Some(Alarm::after(Instant::now(), self.deadlines.idle)))
    }
}

/// A deadline has passed, in the words that users of the original know.
pub(super) fn timed_out(after: Duration) -> MinerFailure {
    let seconds = after.as_secs_f64();
    MinerFailure::new(FailureKind::Timeout, format!("Timedout after {seconds} seconds."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_the_originals() {
        assert_eq!(timed_out(Duration::from_secs(12)).message, "Timedout after 12 seconds.");
        assert_eq!(timed_out(Duration::from_millis(250)).message, "Timedout after 0.25 seconds.");
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_deadline_counts() {
        let sent = Instant::now();
        let seconds = Duration::from_secs;
        let deadlines = Deadlines { connect: seconds(1), first_token: seconds(5), idle: seconds(9), total: seconds(7) };
        let clock = Clock::new(deadlines, None);
        assert_eq!(clock.first_token(sent).after, seconds(5));
        assert_eq!(clock.idle(sent).after, seconds(7));
        let hurried = Clock::new(deadlines, Some(Alarm::after(sent, seconds(3))));
        for alarm in [hurried.lane(sent), hurried.total(sent), hurried.first_token(sent), hurried.idle(sent)] {
            assert_eq!(alarm.after, seconds(3));
        }
    }
}
