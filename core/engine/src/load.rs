//! What the server carries at this moment, and whom it still takes on.
//!
//! Requests and bytes of memory are counted for all and for each key; [`OverloadConfig`] says how many there may be,
//! `share` how they are divided. The counters outlive configurations.

mod config;
mod place;
mod share;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use btvep_domain::{KeyId, Kind, Rejection};
use parking_lot::Mutex;
use prometheus::{IntCounterVec, Opts, PullingGauge, Registry};

pub use config::OverloadConfig;
pub use place::{Place, Taken};
use share::{Refused, Share, give_back};

/// How often a body, or a text of an answer, stands in memory: as it came, and as it was parsed or will be written.
pub const COPIES: usize = 2;

/// A power of two, so that threads that serve different keys seldom meet.
const SHARDS: usize = 16;

/// The most that those who are refused are asked to wait; each a random time, so that they do not come back together.
const LONGEST_WAIT: u64 = 3;

type Shard = Mutex<HashMap<KeyId, Arc<Held>, ahash::RandomState>>;

/// Counts what is in flight.
pub struct Load {
    requests: AtomicUsize,
    bytes: AtomicUsize,
    connections: Arc<AtomicUsize>,
    /// Of keys with something in flight.
    keys: [Shard; SHARDS],
    hasher: ahash::RandomState,
    strangers: Arc<Held>,
    shed: IntCounterVec,
}

/// What one key holds.
#[derive(Debug, Default)]
struct Held {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// An open connection; counted until dropped.
#[derive(Debug)]
pub struct Connection(Arc<AtomicUsize>);

/// Why a request is not taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shed {
    /// As many requests as there may be are in flight.
    #[error("the server has as many requests in flight as it takes")]
    Requests,
    /// As much memory as there may be is in use.
    #[error("the server holds as many bytes of requests and answers as it takes")]
    Bytes,
    /// The key holds its share.
    #[error("this key has its share of the requests that the server takes")]
    KeyShare,
    /// Those without a valid key hold theirs.
    #[error("the server has as many requests without a valid API key in flight as it takes")]
    Strangers,
    /// As many connections as there may be are open.
    #[error("the server has as many connections open as it takes")]
    Connections,
}

impl Shed {
    const ALL: [Self; 5] = [Self::Requests, Self::Bytes, Self::KeyShare, Self::Strangers, Self::Connections];

    const fn label(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Bytes => "bytes",
            Self::KeyShare => "key_share",
            Self::Strangers => "strangers",
            Self::Connections => "connections",
        }
    }
}

impl From<Shed> for Rejection {
    fn from(shed: Shed) -> Self {
        Self::new(Kind::Overloaded, format!("{shed}; nothing was charged, try again in a moment"))
            .after(Duration::from_secs(rand::random_range(1..=LONGEST_WAIT)))
    }
}

impl Load {
    /// Makes the counters, and registers `btvep_shed_total` and `btvep_bytes_in_flight`.
    ///
    /// # Errors
    ///
    /// They are registered there already.
    pub fn new(registry: &Registry) -> prometheus::Result<Arc<Self>> {
        let opts = Opts::new("btvep_shed_total", "What was refused because too much was in flight, by what ran out.");
        let shed = IntCounterVec::new(opts, &["reason"])?;
        for reason in Shed::ALL {
            shed.with_label_values(&[reason.label()]);
        }
        registry.register(Box::new(shed.clone()))?;
        let load = Arc::new(Self {
            requests: AtomicUsize::default(),
            bytes: AtomicUsize::default(),
            connections: Arc::default(),
            keys: Default::default(),
            hasher: ahash::RandomState::new(),
            strangers: Arc::default(),
            shed,
        });
        for (name, help, read) in GAUGES {
            let load = Arc::clone(&load);
            registry.register(Box::new(PullingGauge::new(name, help, Box::new(move || decimal(read(&load))))?))?;
        }
        Ok(load)
    }

    /// Returns how many requests have a place.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns how many bytes requests in flight hold, as far as they are counted.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Gives a request a place, with `bytes` of memory at once; `who` asks, none for those without a valid key.
    ///
    /// # Errors
    ///
    /// There is no room, or the key has its share. Then nothing is taken.
    pub fn enter(
        self: &Arc<Self>,
        who: Option<KeyId>,
        bytes: usize,
        limits: &OverloadConfig,
    ) -> Result<Arc<Place>, Shed> {
        let held = self.held(who);
        let taken = self.take_place(who, &held, bytes, limits);
        if let Err(shed) = taken {
            self.forget(who, &held);
            self.shed.with_label_values(&[shed.label()]).inc();
            return Err(shed);
        }
        Ok(Place::new(Arc::clone(self), (who, held), bytes, *limits))
    }

    /// Counts a connection of a client; none when there are too many.
    pub fn connect(&self, most: usize) -> Option<Connection> {
        let connection = Connection(Arc::clone(&self.connections));
        if connection.0.fetch_add(1, Ordering::Relaxed) < most {
            return Some(connection);
        }
        self.shed.with_label_values(&[Shed::Connections.label()]).inc();
        None
    }

    fn take_place(&self, who: Option<KeyId>, held: &Held, bytes: usize, limits: &OverloadConfig) -> Result<(), Shed> {
        let share = share(who, limits);
        let full = share.take(1, (&self.requests, limits.requests), &held.requests);
        full.map_err(|refused| shed(refused, Shed::Requests, who))?;
        // What is in shall find room for its answer, so no more is let in beyond the half.
        share.take(bytes, (&self.bytes, limits.bytes / 2), &held.bytes).map_err(|refused| {
            give_back(1, &self.requests, &held.requests);
            shed(refused, Shed::Bytes, who)
        })
    }

    /// Counts memory of a request that has its place.
    fn grow(&self, who: Option<KeyId>, held: &Held, bytes: usize, limits: &OverloadConfig) -> Result<(), Shed> {
        let taken = share(who, limits).take(bytes, (&self.bytes, limits.bytes), &held.bytes);
        taken.map_err(|refused| {
            let shed = shed(refused, Shed::Bytes, who);
            self.shed.with_label_values(&[shed.label()]).inc();
            shed
        })
    }

    fn held(&self, who: Option<KeyId>) -> Arc<Held> {
        let Some((id, shard)) = who.and_then(|id| Some((id, self.shard(id)?))) else {
            return Arc::clone(&self.strangers);
        };
        Arc::clone(shard.lock().entry(id).or_default())
    }

    /// Forgets a key that holds nothing any more; called by whoever is about to drop `held`.
    fn forget(&self, who: Option<KeyId>, held: &Arc<Held>) {
        let Some((id, shard)) = who.and_then(|id| Some((id, self.shard(id)?))) else { return };
        let mut shard = shard.lock();
        // The map's own and the caller's; a third could only come from the map, which is locked.
        if Arc::strong_count(held) == 2 {
            shard.remove(&id);
        }
    }

    fn shard(&self, id: KeyId) -> Option<&Shard> {
        let hash = usize::try_from(self.hasher.hash_one(id)).unwrap_or_default();
        self.keys.get(hash % SHARDS)
    }
}

/// Name, help, and what is read when somebody asks.
type Gauge = (&'static str, &'static str, fn(&Load) -> usize);

const GAUGES: [Gauge; 2] = [
    ("btvep_bytes_in_flight", "Bytes held by requests in flight: bodies, and answers that wait.", Load::bytes),
    ("btvep_connections", "Open connections of clients.", |load| load.connections.load(Ordering::Relaxed)),
];

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floating numbers")]
const fn decimal(count: usize) -> f64 {
    count as f64
}

fn share(who: Option<KeyId>, limits: &OverloadConfig) -> Share {
    Share::alone(if who.is_some() { limits.key_share } else { limits.stranger_share })
}

const fn shed(refused: Refused, what: Shed, who: Option<KeyId>) -> Shed {
    match (refused, who) {
        (Refused::Full, _) => what,
        (Refused::Share, Some(_)) => Shed::KeyShare,
        (Refused::Share, None) => Shed::Strangers,
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, bytes) = (self.requests(), self.bytes());
        f.debug_struct("Load").field("requests", &requests).field("bytes", &bytes).finish_non_exhaustive()
    }
}
