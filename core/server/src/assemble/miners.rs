//! Shows the neurons of every subnet.

use std::collections::HashSet;
use std::sync::Arc;

use btvep_control::{MinerView, MinersView};
use btvep_domain::{MetagraphSource, NetUid};
use btvep_engine::Engine;
use tracing::warn;

use crate::config::{FileMetagraph, Loaded, MetagraphConfig};

/// Those of the running service.
#[derive(Debug)]
pub(crate) struct ServiceMiners(pub(crate) Arc<Engine>);

impl MinersView for ServiceMiners {
    fn miners(&self) -> Vec<MinerView> {
        let service = self.0.service();
        let metagraphs = service.subnets.values().filter_map(|subnet| subnet.source.newest());
        each_once(metagraphs.flat_map(|metagraph| views(&metagraph)).collect())
    }
}

/// Those that are known while no server runs: the ones of files.
#[derive(Debug)]
pub(crate) struct StoppedMiners(pub(crate) Loaded);

impl MinersView for StoppedMiners {
    fn miners(&self) -> Vec<MinerView> {
        let resolver = self.0.resolver();
        let read = |path, netuid| match FileMetagraph::read(&resolver.path(path), NetUid(netuid), 0) {
            Ok(metagraph) => metagraph.newest(),
            Err(error) => {
                warn!(error = %error, "neurons not read");
                None
            }
        };
        let subnets = self.0.config.subnet.iter();
        let metagraphs = subnets.filter_map(|subnet| match &subnet.metagraph {
            MetagraphConfig::File { path } => read(path, subnet.netuid),
            MetagraphConfig::Devnet {} => {
                warn!(subnet = %subnet.name, "the devnet's miners run only inside a server");
                None
            }
        });
        each_once(metagraphs.flat_map(|metagraph| views(&metagraph)).collect())
    }
}

/// Returns every neuron once, also one that several subnets of the configuration speak to in different protocols.
fn each_once(miners: Vec<MinerView>) -> Vec<MinerView> {
    let mut seen = HashSet::with_capacity(miners.len());
    miners.into_iter().filter(|miner| seen.insert((miner.uid, miner.hotkey, miner.axon))).collect()
}

/// Returns the neurons of a metagraph by uid.
pub(crate) fn views(metagraph: &btvep_domain::Metagraph) -> Vec<MinerView> {
    metagraph.neurons().iter().map(MinerView::from).collect()
}
