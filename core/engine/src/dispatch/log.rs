use std::sync::Arc;
use std::time::Duration;

use btvep_domain::AttemptReport;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Every attempt of one request, shared so that a cancelled future still leaves its record.
#[derive(Debug, Default)]
pub struct AttemptLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reports: Vec<AttemptReport>,
    begun: usize,
    running: usize,
    waiting_since: Option<Instant>,
    waited: Duration,
}

impl AttemptLog {
    /// Makes an empty one.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Takes the reports out, in the order the attempts ended.
    pub fn take(&self) -> Vec<AttemptReport> {
        std::mem::take(&mut self.state.lock().reports)
    }

    /// Returns how many attempts were begun.
    pub fn len(&self) -> usize {
        self.state.lock().begun
    }

    /// Whether none was begun.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns for how long at least one miner has been waited for, in microseconds: not our part of the latency.
    pub fn waited_us(&self) -> u64 {
        let state = self.state.lock();
        let running = state.waiting_since.map_or(Duration::ZERO, |since| since.elapsed());
        u64::try_from((state.waited + running).as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn begin(&self, now: Instant) {
        let mut state = self.state.lock();
        state.begun += 1;
        state.running += 1;
        state.waiting_since.get_or_insert(now);
    }

    pub(super) fn end(&self, now: Instant, report: AttemptReport) {
        let mut state = self.state.lock();
        state.reports.push(report);
        state.running = state.running.saturating_sub(1);
        if state.running == 0
            && let Some(since) = state.waiting_since.take()
        {
            state.waited += now.saturating_duration_since(since);
        }
    }
}
