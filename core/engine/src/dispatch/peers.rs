//! What is known of every party and its miners; outlives requests and configurations.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use btvep_domain::{Health, Hotkey, Metagraph, MinerHealth, NetUid, Target, Uid};
use http::Uri;
use http::uri::{Authority, Scheme};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::budget::Budget;
use super::health::Vitals;
use super::lane::Lanes;
use super::pace::Pace;
use crate::{Subnet, Upstream};

/// A frozen block of health is replaced when it is older.
const FRESH: Duration = Duration::from_millis(100);
/// Parties remembered; only the operator can add any, by editing the configuration.
const MAX_PARTIES: usize = 256;

/// One address that is called, and how it has been doing.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) target: Target,
    /// None when the configured origin is no URL.
    pub(super) base: Option<(Scheme, Authority)>,
    pub(super) lanes: Arc<Lanes>,
    pub(super) vitals: Vitals,
    reading: AtomicU8,
}

/// A subnet or an upstream.
#[derive(Debug, Default)]
pub(super) struct Party {
    /// Second sends to the same miner.
    pub(super) retries: Budget,
    /// Miners asked beside slow ones.
    pub(super) hedges: Budget,
    pub(super) pace: Arc<Pace>,
    column: ArcSwapOption<Column>,
    upstream: ArcSwapOption<Peer>,
    /// Held while a column is built, so that two do not carry over from the same one.
    building: Mutex<()>,
}

/// The peers of one metagraph, one beside each neuron.
#[derive(Debug)]
pub(super) struct Column {
    metagraph: Arc<Metagraph>,
    peers: Vec<Option<Arc<Peer>>>,
    pace: Arc<Pace>,
    frozen: Mutex<Option<(Instant, Arc<Health>)>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Subnet(Arc<str>, NetUid),
    Upstream(Arc<str>),
}

/// Every party.
#[derive(Debug, Default)]
pub(super) struct Peers(ArcSwap<HashMap<Name, Arc<Party>, ahash::RandomState>>);

impl Peers {
    pub(super) fn subnet(&self, subnet: &Subnet) -> Arc<Party> {
        self.party(&Name::Subnet(Arc::clone(&subnet.name), subnet.netuid))
    }

    pub(super) fn upstream(&self, upstream: &Upstream) -> Arc<Party> {
        self.party(&Name::Upstream(Arc::clone(&upstream.name)))
    }

    fn party(&self, name: &Name) -> Arc<Party> {
        if let Some(party) = self.0.load().get(name) {
            return Arc::clone(party);
        }
        let fresh = Arc::<Party>::default();
        self.0.rcu(|known| {
            let mut known = if known.len() < MAX_PARTIES { HashMap::clone(known) } else { HashMap::default() };
            known.entry(name.clone()).or_insert_with(|| Arc::clone(&fresh));
            known
        });
        self.0.load().get(name).map_or(fresh, Arc::clone)
    }
}

impl Party {
    /// Returns the peers of a metagraph. Miners keep what is known of them as long as hotkey and address stay; what
    /// is gone from the metagraph is forgotten.
    pub(super) fn column(&self, metagraph: &Arc<Metagraph>) -> Arc<Column> {
        let fits = |column: &Arc<Column>| Arc::ptr_eq(&column.metagraph, metagraph);
        if let Some(column) = self.column.load_full().filter(fits) {
            return column;
        }
        let _building = self.building.lock();
        let old = self.column.load_full();
        if let Some(column) = old.clone().filter(fits) {
            return column;
        }
        let column = Arc::new(Column::new(metagraph, old.as_deref(), Arc::clone(&self.pace)));
        // A request that still holds an older metagraph must not turn the clock back.
        if old.is_none_or(|old| age(&old.metagraph) <= age(metagraph)) {
            self.column.store(Some(Arc::clone(&column)));
        }
        column
    }

    /// Returns the one peer of an upstream.
    pub(super) fn only(&self, upstream: &Upstream) -> Arc<Peer> {
        if let Some(peer) = self.upstream.load_full().filter(|peer| peer.target.origin == upstream.origin) {
            return peer;
        }
        let target = Target { hotkey: None, origin: upstream.origin.clone(), address: None };
        let peer = Arc::new(Peer::new(target));
        self.upstream.store(Some(Arc::clone(&peer)));
        peer
    }
}

fn age(metagraph: &Metagraph) -> (u64, i64) {
    (metagraph.block, metagraph.read_at_ms)
}

impl Column {
    fn new(metagraph: &Arc<Metagraph>, old: Option<&Self>, pace: Arc<Pace>) -> Self {
        let known: HashMap<(Hotkey, SocketAddr), &Arc<Peer>> = old
            .into_iter()
            .flat_map(|old| old.peers.iter().flatten())
            .filter_map(|peer| Some(((peer.target.hotkey?, peer.target.address?), peer)))
            .collect();
        let peer = |hotkey: Hotkey, address: SocketAddr| {
            known.get(&(hotkey, address)).map_or_else(
                || {
                    let origin = format!("http://{address}");
                    Arc::new(Peer::new(Target { hotkey: Some(hotkey), origin, address: Some(address) }))
                },
                |known| Arc::clone(known),
            )
        };
        let peers = metagraph.neurons().iter().map(|neuron| Some(peer(neuron.hotkey, neuron.axon?))).collect();
        Self { metagraph: Arc::clone(metagraph), peers, pace, frozen: Mutex::default() }
    }

    /// Returns the peer of a uid; none when it does not serve.
    pub(super) fn peer(&self, uid: Uid) -> Option<&Arc<Peer>> {
        self.peers.get(self.metagraph.place(uid)?)?.as_ref()
    }

    /// Returns the health of all, at most 100 ms old.
    pub(super) fn health(&self, now: Instant) -> Arc<Health> {
        let mut frozen = self.frozen.lock();
        if let Some((at, health)) = &*frozen
            && now.saturating_duration_since(*at) < FRESH
        {
            return Arc::clone(health);
        }
        let of = |peer: &Option<Arc<Peer>>| peer.as_ref().map_or_else(MinerHealth::default, |p| p.vitals.freeze(now));
        let (first_token, whole) = self.pace.freeze();
        let health = Arc::new(Health { miners: self.peers.iter().map(of).collect(), first_token, whole });
        *frozen = Some((now, Arc::clone(&health)));
        health
    }
}

impl Peer {
    fn new(target: Target) -> Self {
        let base = target.origin.parse::<Uri>().ok().map(Uri::into_parts);
        let base = base.and_then(|parts| Some((parts.scheme?, parts.authority?)));
        Self { target, base, lanes: Arc::default(), vitals: Vitals::default(), reading: AtomicU8::new(0) }
    }

    /// Returns the reading of the body hash that this miner has proved.
    pub(super) fn reading(&self) -> u8 {
        self.reading.load(Ordering::Relaxed)
    }

    /// Remembers a reading, after a success.
    pub(super) fn remember(&self, reading: u8) {
        self.reading.store(reading, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use btvep_testkit::{hotkey, neuron, neurons};

    use super::*;

    fn metagraph(block: u64, uids: &[(u16, u16)]) -> Arc<Metagraph> {
        let neurons = uids.iter().map(|&(uid, key)| btvep_domain::Neuron { hotkey: hotkey(key), ..neuron(uid) });
        Arc::new(Metagraph::new(NetUid(1), block, 0, neurons.collect()).unwrap())
    }

    #[test]
    fn a_miner_is_known_by_hotkey_and_address_and_forgotten_when_gone() {
        let party = Party::default();
        let before = party.column(&metagraph(1, &[(0, 0), (1, 1), (2, 2)]));
        let after = party.column(&metagraph(2, &[(0, 0), (1, 9)]));
        assert!(Arc::ptr_eq(before.peer(Uid(0)).unwrap(), after.peer(Uid(0)).unwrap()));
        assert!(!Arc::ptr_eq(before.peer(Uid(1)).unwrap(), after.peer(Uid(1)).unwrap()), "another hotkey");
        assert!(after.peer(Uid(2)).is_none());
        let again = party.column(&metagraph(3, &[(2, 2)]));
        assert!(!Arc::ptr_eq(before.peer(Uid(2)).unwrap(), again.peer(Uid(2)).unwrap()), "it was forgotten");
    }

    #[test]
    fn an_older_metagraph_does_not_replace_a_newer() {
        let party = Party::default();
        let (old, new) = (metagraph(1, &[(0, 0)]), metagraph(2, &[(0, 0), (1, 1)]));
        let kept = party.column(&new);
        let aside = party.column(&old);
        assert!(Arc::ptr_eq(kept.peer(Uid(0)).unwrap(), aside.peer(Uid(0)).unwrap()));
        assert!(Arc::ptr_eq(&kept, &party.column(&new)));
    }

    #[tokio::test(start_paused = true)]
    async fn health_is_republished_after_100_ms() {
        let column = Party::default().column(&Arc::new(neurons(2)));
        let first = column.health(Instant::now());
        column.peer(Uid(1)).unwrap().vitals.enter(Instant::now());
        assert!(Arc::ptr_eq(&first, &column.health(Instant::now() + FRESH / 2)));
        let later = column.health(Instant::now() + FRESH);
        assert_eq!((later.miners[0].in_flight, later.miners[1].in_flight), (0, 1));
    }
}
