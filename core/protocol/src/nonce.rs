//! Nonces: unique and rising for each hotkey, also across threads and processes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Low bits that tell processes of one hotkey apart.
const NODE_BITS: u32 = 10;

/// How far the clock may stand behind the last nonce: 1 s, in ticks of 1,024 ns.
const TOLERANCE: u64 = 1_000_000_000 >> NODE_BITS;

/// The node id does not fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("node id {0} is too large; each process of a hotkey takes its own of 0 to 1023")]
pub struct NodeIdTooLarge(pub u16);

/// The clock went back: miners would refuse everything signed until it has caught up.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the clock stands {behind_ms} ms behind the last nonce; signing waits until it has caught up, check time sync")]
pub struct ClockBehind {
    /// By how much.
    pub behind_ms: u64,
}

/// The nonces of one hotkey in one process.
///
/// A nonce is unix time in nanoseconds whose low 10 bits are replaced by the node id, so that processes that share a
/// hotkey never make the same one. Its resolution is about a microsecond; a burst runs ahead of the clock by as much.
#[derive(Debug)]
pub struct NonceSource {
    last: AtomicU64,
    node: u64,
}

impl NonceSource {
    /// Makes a source for one of up to 1,024 processes of a hotkey.
    ///
    /// # Errors
    ///
    /// The id is 1,024 or more.
    pub const fn new(node_id: u16) -> Result<Self, NodeIdTooLarge> {
        if node_id >> NODE_BITS != 0 {
            return Err(NodeIdTooLarge(node_id));
        }
        Ok(Self { last: AtomicU64::new(0), node: node_id as u64 })
    }

    /// Returns a nonce greater than every one before it. `now_ns` is unix time in nanoseconds.
    ///
    /// # Errors
    ///
    /// The clock stands more than a second behind the last nonce.
    pub fn next(&self, now_ns: u64) -> Result<u64, ClockBehind> {
        let now = now_ns >> NODE_BITS;
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let behind = last.saturating_sub(now);
            if behind > TOLERANCE {
                return Err(ClockBehind { behind_ms: (behind << NODE_BITS) / 1_000_000 });
            }
            let tick = now.max(last + 1);
            match self.last.compare_exchange_weak(last, tick, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(tick << NODE_BITS | self.node),
                Err(newer) => last = newer,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    const NOW: u64 = 1_795_000_000_000_000_000;
    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn threads_never_share_a_nonce_and_each_sees_its_own_rise() {
        let source = NonceSource::new(7).unwrap();
        let runs: Vec<Vec<u64>> = thread::scope(|scope| {
            let runs: Vec<_> = (0..4)
                .map(|thread| {
                    let source = &source;
                    // Each thread's clock jitters by itself, some of them backwards.
                    scope.spawn(move || {
                        (0..5_000).map(|i| source.next(NOW + (i * 7919 * (thread + 1)) % 1_000_000).unwrap()).collect()
                    })
                })
                .collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        for run in &runs {
            assert!(run.is_sorted_by(|a, b| a < b));
        }
        let all: HashSet<u64> = runs.iter().flatten().copied().collect();
        assert_eq!(all.len(), 4 * 5_000);
        assert!(all.iter().all(|nonce| nonce % 1024 == 7));
    }

    #[test]
    fn a_nonce_is_the_time_within_a_microsecond() {
        let nonce = NonceSource::new(0).unwrap().next(NOW).unwrap();
        assert!(NOW.abs_diff(nonce) < 1024);
    }

    #[test]
    fn processes_of_one_hotkey_differ_at_the_same_moment() {
        let [one, other] = [1, 1023].map(|node| NonceSource::new(node).unwrap().next(NOW).unwrap());
        assert_ne!(one, other);
    }

    #[test]
    fn a_clock_that_went_back_stops_signing_until_it_has_caught_up() {
        let source = NonceSource::new(0).unwrap();
        let first = source.next(NOW).unwrap();
        assert!(source.next(NOW - SECOND / 2).unwrap() > first);
        assert_eq!(source.next(NOW - 2 * SECOND).unwrap_err(), ClockBehind { behind_ms: 2_000 });
        assert!(source.next(NOW + 1).unwrap() > first);
    }

    #[test]
    fn a_node_id_has_ten_bits() {
        assert_eq!(NonceSource::new(1024).unwrap_err(), NodeIdTooLarge(1024));
    }
}
