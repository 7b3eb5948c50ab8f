use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::{Hotkey, Incentive, NetUid, Uid};

/// A neuron of a subnet: a miner, a validator, or both.
#[derive(Clone, Debug, PartialEq)]
pub struct Neuron {
    /// Its place.
    pub uid: Uid,
    /// Who it is.
    pub hotkey: Hotkey,
    /// Who owns it.
    pub coldkey: Hotkey,
    /// Where it serves; none when it does not. Chosen by the neuron itself: not to be trusted.
    pub axon: Option<SocketAddr>,
    /// Its share of the rewards.
    pub incentive: Incentive,
    /// In rao (1e9 = 1 TAO).
    pub stake: u64,
    /// Whether it may set weights.
    pub validator_permit: bool,
    /// Whether the chain calls it active.
    pub active: bool,
    /// The operator's or the chain's name for it.
    pub name: Option<Box<str>>,
    /// What it says of itself.
    pub description: Option<Box<str>>,
    /// The operator's labels.
    pub tags: Vec<Box<str>>,
}

/// The neurons of one subnet at one block: a value, replaced whole.
#[derive(Clone, Debug)]
pub struct Metagraph {
    /// The subnet.
    pub netuid: NetUid,
    /// The block it was read at; 0 when it comes from a file.
    pub block: u64,
    /// Unix milliseconds when it was read.
    pub read_at_ms: i64,
    neurons: Vec<Neuron>,
    places: HashMap<Uid, usize>,
    by_incentive: Vec<Uid>,
}

/// Two neurons have the same uid.
#[derive(Debug, thiserror::Error)]
#[error("uid {0} stands twice in the metagraph")]
pub struct DuplicateUid(Uid);

impl Metagraph {
    /// Makes a metagraph and the orders that many requests need.
    ///
    /// # Errors
    ///
    /// Two neurons have the same uid.
    pub fn new(netuid: NetUid, block: u64, read_at_ms: i64, mut neurons: Vec<Neuron>) -> Result<Self, DuplicateUid> {
        neurons.sort_by_key(|n| n.uid);
        let mut places = HashMap::with_capacity(neurons.len());
        for (place, neuron) in neurons.iter().enumerate() {
            if places.insert(neuron.uid, place).is_some() {
                return Err(DuplicateUid(neuron.uid));
            }
        }
        let mut serving: Vec<&Neuron> = neurons.iter().filter(|n| n.axon.is_some()).collect();
        // Ties go to the lower uid, so the same metagraph always gives the same order.
        serving.sort_by_key(|n| (std::cmp::Reverse(n.incentive), n.uid));
        let by_incentive = serving.into_iter().map(|n| n.uid).collect();
        Ok(Self { netuid, block, read_at_ms, neurons, places, by_incentive })
    }

    /// Returns the same without some of its neurons, as if they had never registered.
    #[must_use]
    pub fn without(&self, is_hidden: impl Fn(&Neuron) -> bool) -> Self {
        let neurons: Vec<Neuron> = self.neurons.iter().filter(|neuron| !is_hidden(neuron)).cloned().collect();
        let places: HashMap<Uid, usize> = neurons.iter().enumerate().map(|(place, n)| (n.uid, place)).collect();
        let by_incentive = self.by_incentive.iter().copied().filter(|uid| places.contains_key(uid)).collect();
        Self { neurons, places, by_incentive, ..*self }
    }

    /// Returns all neurons by uid.
    pub fn neurons(&self) -> &[Neuron] {
        &self.neurons
    }

    /// Returns one neuron.
    pub fn neuron(&self, uid: Uid) -> Option<&Neuron> {
        self.neurons.get(self.place(uid)?)
    }

    /// Returns a neuron's place in [`Self::neurons`] and in every column beside it.
    pub fn place(&self, uid: Uid) -> Option<usize> {
        self.places.get(&uid).copied()
    }

    /// Returns the serving neurons, highest incentive first, ties to the lower uid.
    pub fn by_incentive(&self) -> &[Uid] {
        &self.by_incentive
    }
}

/// Keeps the newest metagraph of one subnet.
pub trait MetagraphSource: Send + Sync + fmt::Debug {
    /// Returns the newest one; none before the first has been read.
    fn newest(&self) -> Option<Arc<Metagraph>>;
}
