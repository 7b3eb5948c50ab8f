use std::fmt;
use std::sync::Arc;

use crate::{AttemptReport, Exchange, Health, Metagraph, Neuron, Plan, Selection, Uid, verdict};

/// One immutable metagraph and a frozen block of health beside it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The neurons.
    pub metagraph: Arc<Metagraph>,
    /// How they have been doing.
    pub health: Arc<Health>,
}

/// A strategy finds nobody to ask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCandidate {
    /// No miner of the subnet serves.
    #[error("no miner of the subnet serves")]
    NobodyServes,
    /// Fewer miners can be asked than must agree.
    #[error("{wanted} miners must agree and only {known} can be asked")]
    TooFew {
        /// So many must.
        wanted: u16,
        /// So many serve and may be asked by this key.
        known: usize,
    },
    /// Uids that are not in the metagraph.
    #[error("unknown uids: {}", list(.0))]
    UnknownUids(Vec<Uid>),
}

/// Chooses the miners for a request.
///
/// A strategy calls nobody and keeps no clock: it is deterministic in its arguments and its own state.
pub trait Strategy: Send + Sync + fmt::Debug {
    /// Its name in configuration, requests and headers.
    fn name(&self) -> &'static str;

    /// Returns the plan. `now_ms` is unix time, `seed` a fresh random number.
    ///
    /// # Errors
    ///
    /// [`NoCandidate`] when nobody fits.
    fn plan(
        &self,
        exchange: &Exchange,
        selection: &Selection,
        snapshot: &Snapshot,
        moment: (i64, u64),
    ) -> Result<Plan, NoCandidate>;

    /// Returns why a miner is in no plan of this selection; asked only when somebody wants to know.
    fn passes_over(&self, _selection: &Selection, neuron: &Neuron) -> &'static str {
        if neuron.axon.is_some() { verdict::NOT_CHOSEN } else { verdict::NOT_SERVING }
    }

    /// Learns from ended attempts; off the request path.
    fn observe(&self, _ended: &[AttemptReport]) {}
}

fn list(uids: &[Uid]) -> String {
    uids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
