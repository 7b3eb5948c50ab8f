use std::sync::Arc;

use crate::{Latencies, Metagraph, Uid};

/// Whether a miner is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Breaker {
    /// Asked.
    #[default]
    Closed,
    /// One prompt is let through to see whether it has recovered.
    HalfOpen,
    /// Not asked.
    Open,
}

/// How a miner has been doing, as dispatch has seen it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MinerHealth {
    /// Moving average of answered prompts' latency in milliseconds; 0 when it was never asked.
    pub latency_ms: f32,
    /// Moving average of failures, `0..=1`.
    pub error_rate: f32,
    /// Prompts it is working on.
    pub in_flight: u32,
    /// Whether it is asked.
    pub breaker: Breaker,
    /// Prompts it has been asked since it registered here.
    pub attempts: u64,
}

/// A frozen block of health, one entry beside each neuron of a metagraph.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// In the order of [`Metagraph::neurons`].
    pub miners: Vec<MinerHealth>,
    /// How long the miners of the subnet, all together, took to the first token of a stream.
    pub first_token: Latencies,
    /// How long they took to a whole answer.
    pub whole: Latencies,
}

impl Health {
    /// Returns a miner's health; that of a miner never asked when it is unknown.
    pub fn of(&self, metagraph: &Arc<Metagraph>, uid: Uid) -> MinerHealth {
        metagraph.place(uid).and_then(|place| self.miners.get(place)).copied().unwrap_or_default()
    }
}
