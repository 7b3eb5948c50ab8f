//! What a key needs only while it is in use: holds, concurrency, rate windows.

use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{Claims, Credits, Key, RateRule, RateState, Refusal};
use tokio::sync::oneshot;

use super::window::Window;

/// Made with a key's first request, dropped once nothing in it matters any more.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Held by requests in flight.
    pub(crate) held: Credits,
    /// Requests in flight.
    pub(crate) in_flight: u32,
    windows: Vec<(Counter, Window)>,
    watchers: Vec<Watcher>,
}

/// Who is told of the key's next change: the key as it is then, none when it is deleted.
pub(crate) type Watcher = oneshot::Sender<Option<Arc<Key>>>;

/// Names a counter. The limit is no part of it, so that a changed limit grants no burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counter {
    seconds: u32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Requests,
    Attempts,
}

/// The miners claimed of the attempts rule, to give back those not asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptsClaim {
    seconds: u32,
    at: u64,
    times: u32,
}

/// What an admission took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Held of the balance; none for an unlimited account.
    pub(crate) held: Option<Credits>,
    /// Claimed of the attempts rule.
    pub(crate) attempts: Option<AttemptsClaim>,
    /// The most constrained rate rule.
    pub(crate) rate: Option<RateState>,
}

impl Live {
    /// Takes all claims or none.
    pub(crate) fn admit(&mut self, claims: &Claims, now: Duration, balance: Option<Credits>) -> Result<Taken, Refusal> {
        let now = nanos(now);
        self.check_rates(&claims.rules, now)?;
        self.check_attempts(claims, now)?;
        if let Some(limit) = claims.concurrency.filter(|limit| self.in_flight >= *limit) {
            return Err(Refusal::Concurrency { limit });
        }
        let held = self.check_credits(claims, balance)?;
        self.in_flight += 1;
        self.held = self.held.plus(held.unwrap_or_default());
        let rate = self.take_rates(&claims.rules, now);
        let attempts = claims.attempts.map(|rule| {
            let claim = AttemptsClaim { seconds: rule.seconds, at: now, times: claims.max_attempts };
            self.window(Counter::of(rule, Unit::Attempts)).take(now, claim.times, length(rule.seconds));
            claim
        });
        Ok(Taken { held, attempts, rate })
    }

    /// Ends a request. `asked` is how many miners were asked; none if nobody knows.
    pub(crate) fn release(&mut self, taken: &Taken, asked: Option<u32>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.held = self.held.minus(taken.held.unwrap_or_default());
        if let (Some(claim), Some(asked)) = (taken.attempts, asked) {
            let counter = Counter { seconds: claim.seconds, unit: Unit::Attempts };
            if let Some((_, window)) = self.windows.iter_mut().find(|(of, _)| *of == counter) {
                window.give_back(claim.at, claim.times.saturating_sub(asked));
            }
        }
    }

    /// Drops what is over and returns whether nothing is left.
    pub(crate) fn sweep(&mut self, now: Duration) -> bool {
        let now = nanos(now);
        self.windows.retain_mut(|(counter, window)| {
            window.count(now, length(counter.seconds));
            !window.is_empty()
        });
        // Looking at each of many for each request would cost more than they take.
        if self.in_flight == 0 {
            self.watchers.retain(|watcher| !watcher.is_closed());
        }
        self.windows.is_empty() && self.in_flight == 0 && self.watchers.is_empty()
    }

    /// Tells `watcher` of the next change. Those who have gone make room before the list grows; it grows unless they make
    /// half of it free, or each newcomer would look at all of them.
    pub(crate) fn watch(&mut self, watcher: Watcher) {
        if self.watchers.len() == self.watchers.capacity() {
            self.watchers.retain(|watcher| !watcher.is_closed());
            if self.watchers.len() > self.watchers.capacity() / 2 {
                self.watchers.reserve(self.watchers.capacity());
            }
        }
        self.watchers.push(watcher);
    }

    /// Tells everyone who watches.
    pub(crate) fn tell(&mut self, key: Option<&Arc<Key>>) {
        for watcher in self.watchers.drain(..) {
            // Whoever has gone has no ear.
            let _ = watcher.send(key.map(Arc::clone));
        }
    }

    fn check_rates(&mut self, rules: &[RateRule], now: u64) -> Result<(), Refusal> {
        let used_up = rules.iter().filter_map(|rule| {
            let (_, window) = self.windows.iter_mut().find(|(of, _)| *of == Counter::of(*rule, Unit::Requests))?;
            refusal(window, *rule, 1, now)
        });
        // The client comes back once, so it is told the longest wait.
        used_up.max_by_key(|state| state.reset_after).map_or(Ok(()), |state| Err(Refusal::Rate(state)))
    }

    fn check_attempts(&mut self, claims: &Claims, now: u64) -> Result<(), Refusal> {
        let Some(rule) = claims.attempts else { return Ok(()) };
        let counter = Counter::of(rule, Unit::Attempts);
        let mut none = Window::default();
        let window = self.windows.iter_mut().find(|(of, _)| *of == counter).map_or(&mut none, |(_, window)| window);
        refusal(window, rule, claims.max_attempts, now).map_or(Ok(()), |state| Err(Refusal::Attempts(state)))
    }

    fn check_credits(&self, claims: &Claims, balance: Option<Credits>) -> Result<Option<Credits>, Refusal> {
        let Some(balance) = balance else { return Ok(None) };
        let needed = claims.price.times(claims.max_choices);
        let available = balance.minus(self.held);
        if available < needed {
            return Err(Refusal::Credits { needed, available });
        }
        Ok(Some(needed))
    }

    fn take_rates(&mut self, rules: &[RateRule], now: u64) -> Option<RateState> {
        for (place, rule) in rules.iter().enumerate() {
            // Two rules of the same length share one counter.
            if !rules.iter().take(place).any(|earlier| earlier.seconds == rule.seconds) {
                self.window(Counter::of(*rule, Unit::Requests)).take(now, 1, length(rule.seconds));
            }
        }
        let states = rules.iter().map(|rule| {
            let window = self.window(Counter::of(*rule, Unit::Requests));
            let seen = window.count(now, length(rule.seconds));
            let reset_after = window.wait(now, length(rule.seconds), seen.saturating_sub(1));
            RateState { rule: *rule, remaining: remaining(rule.times, seen), reset_after }
        });
        states.min_by_key(|state| (state.remaining, std::cmp::Reverse(state.reset_after)))
    }

    fn window(&mut self, counter: Counter) -> &mut Window {
        let place = self.windows.iter().position(|(of, _)| *of == counter).unwrap_or(self.windows.len());
        if place == self.windows.len() {
            self.windows.push((counter, Window::default()));
        }
        #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
        &mut self.windows[place].1
    }
}

impl Counter {
    const fn of(rule: RateRule, unit: Unit) -> Self {
        Self { seconds: rule.seconds, unit }
    }
}

fn refusal(window: &mut Window, rule: RateRule, times: u32, now: u64) -> Option<RateState> {
    let seen = window.count(now, length(rule.seconds));
    let limit = u64::from(rule.times);
    if seen.saturating_add(u64::from(times)) <= limit {
        return None;
    }
    let reset_after = match limit.checked_sub(u64::from(times)) {
        Some(room) => window.wait(now, length(rule.seconds), room),
        // It asks for more than the rule ever gives.
        None => Duration::from_secs(u64::from(rule.seconds)),
    };
    Some(RateState { rule, remaining: remaining(rule.times, seen), reset_after })
}

fn remaining(times: u32, seen: u64) -> u32 {
    times.saturating_sub(u32::try_from(seen).unwrap_or(u32::MAX))
}

const fn length(seconds: u32) -> u64 {
    (seconds as u64).saturating_mul(1_000_000_000)
}

fn nanos(now: Duration) -> u64 {
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_that_have_gone_make_room() {
        let mut live = Live::default();
        let (watcher, mut stays) = oneshot::channel();
        live.watch(watcher);
        for _ in 0..10_000 {
            live.watch(oneshot::channel().0);
        }
        assert!(live.watchers.capacity() <= 8, "{} places", live.watchers.capacity());
        assert!(!live.sweep(Duration::ZERO), "one still watches");
        live.tell(None);
        assert_eq!(stays.try_recv(), Ok(None));
        assert!(live.sweep(Duration::ZERO));
    }
}
