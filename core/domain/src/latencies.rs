use std::time::Duration;

/// Buckets of an octave: neighbouring bounds differ by a fifth.
const PER_OCTAVE: f32 = 4.0;
/// From a millisecond to a minute.
const BUCKETS: usize = 64;

/// How long the newest answers took, in buckets: those of less than a millisecond are in the first, those of more than
/// a minute in the last.
#[derive(Clone, Debug)]
pub struct Latencies {
    counts: [u16; BUCKETS],
    total: u16,
}

impl Latencies {
    /// With fewer answers nothing is said of them.
    pub const ENOUGH: u16 = 20;
    /// Answers after which all that is known weighs half, so that the newest are heard.
    pub const MOST: u16 = 1_024;

    /// Adds an answer.
    pub fn note(&mut self, time: Duration) {
        if self.total >= Self::MOST {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        if let Some(count) = self.counts.get_mut(bucket(time)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// Returns a time within which the share `q`, `0..=1`, of the answers came; none when too little is known. It is at
    /// most a fifth too long.
    pub fn quantile(&self, q: f32) -> Option<Duration> {
        if self.total < Self::ENOUGH {
            return None;
        }
        let wanted = q * f32::from(self.total);
        let mut counted = 0.0;
        let reached = self.counts.iter().position(|count| {
            counted += f32::from(*count);
            counted >= wanted
        });
        Some(bound(reached.unwrap_or(BUCKETS - 1)))
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], total: 0 }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float is cut to the bounds of the type")]
fn bucket(time: Duration) -> usize {
    let octaves = (time.as_secs_f32() * 1_000.0).max(1.0).log2();
    ((octaves * PER_OCTAVE) as usize).min(BUCKETS - 1)
}

/// Returns the end of a bucket.
fn bound(bucket: usize) -> Duration {
    let octaves = f32::from(u16::try_from(bucket + 1).unwrap_or(u16::MAX)) / PER_OCTAVE;
    Duration::from_secs_f32(octaves.exp2() / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times_ms: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        times_ms.into_iter().for_each(|ms| latencies.note(Duration::from_millis(ms)));
        latencies
    }

    #[track_caller]
    fn check(latencies: &Latencies, q: f32, at_least_ms: u64) {
        let (found, least) = (latencies.quantile(q).unwrap(), Duration::from_millis(at_least_ms));
        assert!(found >= least && found <= least.mul_f32(1.2), "{q} is {found:?}, not {least:?}");
    }

    #[test]
    fn quantiles_are_never_too_short_and_at_most_a_fifth_too_long() {
        let latencies = of(1..=1_000);
        for (q, ms) in [(0.1, 100), (0.5, 500), (0.95, 950), (1.0, 1_000)] {
            check(&latencies, q, ms);
        }
        for ms in [1, 7, 100, 2_000, 50_000] {
            check(&of(std::iter::repeat_n(ms, 20)), 0.5, ms);
        }
    }

    #[test]
    fn nothing_is_said_of_a_few() {
        assert_eq!(of(1..=19).quantile(0.5), None);
        assert!(of(1..=20).quantile(0.5).is_some());
    }

    #[test]
    fn the_newest_are_heard_and_counts_are_bounded() {
        let slow_then_fast = of(std::iter::repeat_n(5_000, 100_000).chain(std::iter::repeat_n(10, 2_000)));
        check(&slow_then_fast, 0.5, 10);
        assert!(slow_then_fast.total <= Latencies::MOST);
    }

    #[test]
    fn times_beyond_the_buckets_are_in_the_outermost() {
        assert!(of(std::iter::repeat_n(0, 20)).quantile(0.5).unwrap() < Duration::from_millis(2));
        assert!(of(std::iter::repeat_n(u64::MAX / 2, 20)).quantile(0.5).unwrap() > Duration::from_mins(1));
    }
}
