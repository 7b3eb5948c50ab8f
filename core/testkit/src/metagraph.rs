use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use btvep_domain::{Health, Hotkey, Incentive, Metagraph, MetagraphSource, MinerHealth, NetUid, Neuron, Snapshot, Uid};

/// Returns the hotkey of the fake neuron `uid`: no real key, but one of its own for each uid.
pub fn hotkey(uid: u16) -> Hotkey {
    let mut bytes = [0x42; 32];
    bytes[..2].copy_from_slice(&uid.to_be_bytes());
    Hotkey(bytes)
}

/// Returns a serving miner: axon `127.0.0.1:(20000 + uid)`, incentive `uid × 10`, so the highest uid earns most.
pub fn neuron(uid: u16) -> Neuron {
    Neuron {
        uid: Uid(uid),
        hotkey: hotkey(uid),
        coldkey: Hotkey([0xc0; 32]),
        axon: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 20_000_u16.saturating_add(uid)))),
        incentive: Incentive(uid.saturating_mul(10)),
        stake: u64::from(uid).saturating_mul(1_000_000_000),
        validator_permit: false,
        active: true,
        name: None,
        description: None,
        tags: Vec::new(),
    }
}

/// Returns subnet 1 with `n` serving miners (see [`neuron`]), uids from 0.
pub fn neurons(n: u16) -> Metagraph {
    Metagraph::new(NetUid(1), 0, 0, (0..n).map(neuron).collect()).expect("the uids differ")
}

/// Returns a metagraph with the health of miners never asked.
pub fn snapshot(metagraph: Metagraph) -> Snapshot {
    let miners = vec![MinerHealth::default(); metagraph.neurons().len()];
    Snapshot { metagraph: Arc::new(metagraph), health: Arc::new(Health { miners, ..Health::default() }) }
}

/// A source whose newest metagraph never changes.
#[derive(Clone, Debug, Default)]
pub struct FixedMetagraph(pub Option<Arc<Metagraph>>);

impl FixedMetagraph {
    /// Takes the metagraph; the default has none, as before the first was read.
    pub fn new(metagraph: Metagraph) -> Self {
        Self(Some(Arc::new(metagraph)))
    }
}

impl MetagraphSource for FixedMetagraph {
    fn newest(&self) -> Option<Arc<Metagraph>> {
        self.0.clone()
    }
}
