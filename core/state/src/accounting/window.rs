//! A sliding window that never admits too much.

use std::collections::VecDeque;
use std::time::Duration;

/// Above so many runs a window is counted in slices of its length instead of single admissions.
const MAX_RUNS: usize = 1024;
/// Slices of a coarse window: an admission counts at most 1/512 of the window too long, never too short.
const SLICES: u64 = 512;

/// The admissions of one counter that a window of its length can still see.
#[derive(Debug, Default)]
pub(crate) struct Window {
    runs: VecDeque<Run>,
    total: u64,
    coarse: bool,
    /// When the last run began; it takes more admissions for one slice.
    began: u64,
    /// The date of the latest run that has left the window.
    expired_through: Option<u64>,
}

/// Admissions that are counted together, all dated like the last of them.
#[derive(Clone, Copy, Debug)]
struct Run {
    at: u64,
    times: u32,
}

impl Window {
    /// Returns the admissions seen in the `length` that ends at `now`; both in nanoseconds.
    pub(crate) fn count(&mut self, now: u64, length: u64) -> u64 {
        while let Some(run) = self.runs.front().copied() {
            if now.saturating_sub(run.at) < length {
                break;
            }
            self.runs.pop_front();
            self.total = self.total.saturating_sub(u64::from(run.times));
            self.expired_through = Some(run.at);
        }
        if self.runs.is_empty() {
            self.coarse = false;
        }
        self.total
    }

    /// Counts `times` admissions at `now`. Threads may come a little out of order: dates never go back.
    pub(crate) fn take(&mut self, now: u64, times: u32, length: u64) {
        if times == 0 {
            return;
        }
        let now = self.runs.back().map_or(now, |last| now.max(last.at));
        self.total = self.total.saturating_add(u64::from(times));
        let slice = length / SLICES;
        let began = self.began;
        match self.runs.back_mut() {
            Some(last) if last.at == now || (self.coarse && now.saturating_sub(began) < slice) => {
                *last = Run { at: now, times: last.times.saturating_add(times) };
            }
            _ => {
                self.runs.push_back(Run { at: now, times });
                self.began = now;
            }
        }
        if self.runs.len() > MAX_RUNS {
            self.coarsen(slice);
        }
    }

    /// Gives back `times` of the admissions taken at `at`, as far as the window still sees them.
    pub(crate) fn give_back(&mut self, at: u64, times: u32) {
        if self.expired_through.is_some_and(|through| at <= through) {
            return;
        }
        let place = self.runs.partition_point(|run| run.at < at);
        if let Some(run) = self.runs.get_mut(place) {
            let given = times.min(run.times);
            run.times -= given;
            self.total = self.total.saturating_sub(u64::from(given));
        }
    }

    /// Returns how long after `now` the window will hold at most `limit` admissions.
    pub(crate) fn wait(&self, now: u64, length: u64, limit: u64) -> Duration {
        let mut left = self.total;
        let mut free_at = now;
        for run in &self.runs {
            if left <= limit {
                break;
            }
            left = left.saturating_sub(u64::from(run.times));
            free_at = run.at.saturating_add(length);
        }
        Duration::from_nanos(free_at.saturating_sub(now))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    fn coarsen(&mut self, slice: u64) {
        self.coarse = true;
        let mut runs: VecDeque<Run> = VecDeque::with_capacity(MAX_RUNS + 1);
        let mut began = 0;
        for run in self.runs.drain(..) {
            match runs.back_mut() {
                Some(last) if run.at.saturating_sub(began) < slice => {
                    *last = Run { at: run.at, times: last.times.saturating_add(run.times) };
                }
                _ => {
                    began = run.at;
                    runs.push_back(run);
                }
            }
        }
        self.runs = runs;
        self.began = began;
    }

    #[cfg(test)]
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Admits at random times and checks every window by counting afterwards.
    #[track_caller]
    fn check(seed: u64, limit: u64, length: u64, step: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut window = Window::default();
        let (mut now, mut admitted) = (0, Vec::new());
        for _ in 0..20_000 {
            now += random.random_range(0..step);
            if window.count(now, length) < limit {
                window.take(now, 1, length);
                admitted.push(now);
            }
            assert!(window.runs() <= MAX_RUNS, "a window grew to {} runs", window.runs());
        }
        let mut first = 0;
        for (place, at) in admitted.iter().enumerate() {
            while at - admitted[first] >= length {
                first += 1;
            }
            let within = (place - first + 1) as u64;
            assert!(within <= limit, "{within} admissions in one window of limit {limit} (seed {seed})");
        }
        assert!(admitted.len() as u64 >= limit, "nearly nothing was admitted (seed {seed})");
    }

    #[test]
    fn no_window_ever_holds_more_than_the_limit() {
        for seed in 0..8 {
            check(seed, 10, 1_000_000, 50_000);
            check(seed, 5_000, 100_000_000, 20_000);
        }
    }

    #[test]
    fn a_coarse_window_frees_its_places_in_time() {
        let (limit, length) = (4_000_u64, 1_000_000_000_u64);
        let mut window = Window::default();
        for place in 0..limit {
            window.take(place * 250_000, 1, length);
        }
        assert!(window.coarse);
        // All but the last slice are at most 1/512 late.
        let seen = window.count(length + length / 2, length);
        assert!((1_990..=2_020).contains(&seen), "{seen} still count");
        assert_eq!(window.count(2 * length + length / SLICES, length), 0);
    }

    #[test]
    fn a_place_is_free_when_its_admission_is_one_window_old() {
        let mut window = Window::default();
        window.take(5, 1, 100);
        assert_eq!(window.count(104, 100), 1);
        assert_eq!(window.wait(104, 100, 0), Duration::from_nanos(1));
        assert_eq!(window.count(105, 100), 0);
    }

    #[test]
    fn what_has_left_the_window_is_not_given_back_from_others() {
        let mut window = Window::default();
        window.take(5, 3, 100);
        window.take(50, 3, 100);
        window.count(105, 100);
        window.give_back(5, 3);
        assert_eq!(window.count(105, 100), 3);
        window.give_back(50, 2);
        assert_eq!(window.count(105, 100), 1);
    }
}
