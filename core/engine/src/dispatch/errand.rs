use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{Call, FailureKind, Flaw, MinerFailure, MinerProtocol, Prompt, Uid};
use btvep_protocol::nonce::NonceSource;
use tokio::time::Instant;

use super::alarm::{Alarm, Clock};
use super::health::Entry;
use super::log::AttemptLog;
use super::metrics::Metrics;
use super::peers::{self, Column, Peer};
use super::record::{Identity, Record};
use super::{Dispatcher, Job, Party, address};
use crate::Place;
use crate::kill_list::Kills;

/// What all attempts of one job have in common.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) prompt: Arc<Prompt>,
    pub(super) model: Arc<str>,
    /// Whether the client wants a stream.
    pub(super) stream: bool,
    /// Whether miners are asked to stream.
    pub(super) streamed: bool,
    pub(super) party: Arc<peers::Party>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) kills: Arc<Kills>,
    pub(super) place: Arc<Place>,
    side: Party,
    pub(super) log: Arc<AttemptLog>,
    client: Option<Alarm>,
}

/// One prompt for one miner: everything an attempt needs, owned.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) common: Common,
    peer: Option<Arc<Peer>>,
    entry: Option<Entry>,
    uid: Option<Uid>,
}

/// The miners of a job's plan, to be turned into errands.
#[derive(Debug)]
pub(super) struct Errands {
    pub(super) common: Common,
    column: Option<Arc<Column>>,
}

impl Errands {
    pub(super) fn new(job: &Job, dispatcher: &Dispatcher, stream: bool) -> Self {
        let Dispatcher { peers, metrics, kills } = dispatcher;
        let party = match &job.party {
            Party::Subnet(subnet) => peers.subnet(subnet),
            Party::Upstream(upstream) => peers.upstream(upstream),
        };
        let column = job.snapshot.as_ref().map(|snapshot| party.column(&snapshot.metagraph));
        let now = Instant::now();
        let mut common = Common {
            prompt: Arc::clone(&job.prompt),
            model: Arc::clone(&job.model),
            stream,
            streamed: false,
            party,
            metrics: Arc::clone(metrics),
            kills: Arc::clone(kills),
            place: Arc::clone(&job.place),
            side: job.party.clone(),
            log: Arc::clone(&job.attempts),
            client: job.timeout.map(|timeout| Alarm::after(now, timeout)),
        };
        common.streamed = stream && common.protocol().can_stream();
        Self { common, column }
    }

    /// Returns the errand to a miner, unless its breaker is open: then it is asked only when no other is left.
    pub(super) fn to(&self, uid: Uid) -> Option<Errand> {
        let peer = self.peer(uid);
        let entry = match &peer {
            Some(peer) => Some(peer.vitals.enter_if_healthy(Instant::now())?),
            None => None,
        };
        Some(self.errand(Some(uid), peer, entry))
    }

    /// Returns the errand to a miner, whatever its breaker says.
    pub(super) fn to_anyway(&self, uid: Uid) -> Errand {
        let peer = self.peer(uid);
        let entry = peer.as_ref().map(|peer| peer.vitals.enter(Instant::now()));
        self.errand(Some(uid), peer, entry)
    }

    /// Returns the errand to the upstream, if that is who is asked.
    pub(super) fn to_upstream(&self) -> Option<Errand> {
        let Party::Upstream(upstream) = &self.common.side else { return None };
        let peer = self.common.party.only(upstream);
        let entry = peer.vitals.enter(Instant::now());
        Some(self.errand(None, Some(peer), Some(entry)))
    }

    /// Whether the client's own deadline has passed.
    pub(super) fn is_late(&self) -> bool {
        self.common.client.is_some_and(|alarm| alarm.at <= Instant::now())
    }

    fn peer(&self, uid: Uid) -> Option<Arc<Peer>> {
        self.column.as_ref()?.peer(uid).map(Arc::clone)
    }

    fn errand(&self, uid: Option<Uid>, peer: Option<Arc<Peer>>, entry: Option<Entry>) -> Errand {
        Errand { common: self.common.clone(), peer, entry, uid }
    }
}

impl Common {
    pub(super) fn protocol(&self) -> &dyn MinerProtocol {
        match &self.side {
            Party::Subnet(subnet) => &*subnet.protocol,
            Party::Upstream(upstream) => &*upstream.protocol,
        }
    }

    pub(super) fn nonces(&self) -> Option<&NonceSource> {
        match &self.side {
            Party::Subnet(subnet) => Some(&subnet.nonces),
            Party::Upstream(_) => None,
        }
    }

    pub(super) fn answer_bytes(&self) -> usize {
        match &self.side {
            Party::Subnet(subnet) => subnet.answer_bytes,
            Party::Upstream(upstream) => upstream.answer_bytes,
        }
    }
}

impl Errand {
    pub(super) fn clock(&self) -> Clock {
        let deadlines = match &self.common.side {
            Party::Subnet(subnet) => subnet.deadlines,
            Party::Upstream(upstream) => upstream.deadlines,
        };
        Clock::new(deadlines, self.common.client)
    }

    /// Begins the attempt's record; from now on it ends by itself.
    pub(super) fn record(&mut self) -> Record {
        let health = self.peer.clone().zip(self.entry.take());
        let hotkey = self.peer.as_ref().and_then(|peer| peer.target.hotkey);
        let upstream = match &self.common.side {
            Party::Subnet(_) => None,
            Party::Upstream(upstream) => Some(Arc::clone(&upstream.name)),
        };
        let identity = Identity { uid: self.uid, hotkey, upstream };
        Record::begin(&self.common, health, identity)
    }

    /// Returns what the protocol encodes.
    pub(super) fn call<'a>(&'a self, peer: &'a Peer, reading: u8, timeout: Duration) -> Call<'a> {
        let Common { prompt, model, streamed, .. } = &self.common;
        Call { prompt, model, stream: *streamed, target: &peer.target, timeout, reading }
    }

    /// How many prompts the miner works on at the same time; none means no limit of ours.
    pub(super) fn lanes(&self) -> Option<u16> {
        match &self.common.side {
            Party::Subnet(subnet) => Some(subnet.lanes),
            Party::Upstream(_) => None,
        }
    }

    /// Returns who is called, if we call such an address.
    pub(super) fn reachable(&self) -> Result<Arc<Peer>, MinerFailure> {
        let Some(peer) = &self.peer else {
            let message = "it publishes no address".to_owned();
            return Err(MinerFailure { kind: FailureKind::Unreachable, flaw: Flaw::Miner, message });
        };
        if let (Party::Subnet(subnet), Some(address)) = (&self.common.side, peer.target.address)
            && !address::is_allowed(subnet.addresses, address)
        {
            let message = format!("its address {address} is not globally reachable");
            return Err(MinerFailure::new(FailureKind::AddressNotAllowed, message));
        }
        Ok(Arc::clone(peer))
    }
}
