//! Whether a request in flight may go on, however old its configuration: its key and its strategy.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{AuthFailure, Key, KeyWatch, Keys, Kind, Rejection};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::kill_list::{Kills, Sentence, Suspect};

/// No request lasts as long: a key that expires later needs no timer.
const LONGEST: i64 = 24 * 60 * 60;

/// Tells when a request must end before its time.
pub(super) struct Standing {
    key: Option<KeyStanding>,
    strategy: Option<(Sentence, Arc<str>)>,
}

/// A key in use, and what may happen to it.
struct KeyStanding {
    keys: Arc<dyn Keys>,
    clock: Clock,
    changed: KeyWatch,
    expiry: Option<(i64, Pin<Box<Sleep>>)>,
}

/// One moment as both clocks have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Unix milliseconds.
    pub(super) unix_ms: i64,
    /// The same moment.
    pub(super) at: Instant,
}

impl Standing {
    /// Watches over a request of `key` that arrived at `clock`.
    pub(super) fn new(keys: &Arc<dyn Keys>, key: Option<&Arc<Key>>, clock: Clock) -> Self {
        Self { key: key.map(|key| KeyStanding::new(Arc::clone(keys), key, clock)), strategy: None }
    }

    /// Also watches over its strategy.
    pub(super) fn and_strategy(mut self, kills: &Arc<Kills>, name: &Arc<str>) -> Self {
        let sentence = Sentence::watch(kills, Suspect::Strategy(Arc::clone(name)));
        self.strategy = Some((sentence, Arc::clone(name)));
        self
    }

    /// Notes that the answer has begun: how its miner was chosen matters no more.
    pub(super) fn begun(&mut self) {
        self.strategy = None;
    }

    /// Returns once the request must end.
    pub(super) async fn lost(&mut self) -> Rejection {
        let Self { key, strategy } = self;
        tokio::select! {
            biased;
            failure = key_lost(key) => failure.into(),
            rejection = strategy_lost(strategy) => rejection,
        }
    }
}

async fn key_lost(key: &mut Option<KeyStanding>) -> AuthFailure {
    match key {
        Some(key) => key.lost().await,
        None => pending().await,
    }
}

async fn strategy_lost(strategy: &mut Option<(Sentence, Arc<str>)>) -> Rejection {
    let Some((sentence, name)) = strategy else { return pending().await };
    sentence.falls().await;
    let message = format!("strategy `{name}` has been disabled meanwhile; nothing was charged, name another");
    Rejection::new(Kind::StrategyDisabled, message).about("strategy")
}

impl KeyStanding {
    fn new(keys: Arc<dyn Keys>, key: &Arc<Key>, clock: Clock) -> Self {
        let changed = keys.watch(key);
        let expiry = key.valid_until.and_then(|at| Some((at, Box::pin(sleep_until(clock.moment(at)?)))));
        Self { keys, clock, changed, expiry }
    }

    async fn lost(&mut self) -> AuthFailure {
        loop {
            let key = tokio::select! {
                biased;
                key = &mut self.changed => key,
                at = expired(&mut self.expiry) => return AuthFailure::Expired { at },
            };
            let Some(key) = key else { return AuthFailure::Unknown };
            if let Err(failure) = key.check(self.clock.now()) {
                return failure;
            }
            *self = Self::new(Arc::clone(&self.keys), &key, self.clock);
        }
    }
}

async fn expired(expiry: &mut Option<(i64, Pin<Box<Sleep>>)>) -> i64 {
    let Some((at, sleep)) = expiry else { return pending().await };
    sleep.as_mut().await;
    *at
}

impl Clock {
    /// Returns when a unix second comes, if a request may live to see it.
    fn moment(self, unix: i64) -> Option<Instant> {
        let left = unix.saturating_mul(1000).saturating_sub(self.unix_ms);
        let left = (left < LONGEST * 1000).then(|| u64::try_from(left).unwrap_or(0))?;
        self.at.checked_add(Duration::from_millis(left))
    }

    /// Returns unix seconds.
    fn now(self) -> i64 {
        let since = i64::try_from(self.at.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.unix_ms.saturating_add(since).div_euclid(1000)
    }
}
