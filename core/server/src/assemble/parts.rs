//! What outlives configurations.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use btvep_devnet::{Devnet, DevnetConfig};
use btvep_domain::{ConfigError, NetUid};
use btvep_protocol::nonce::NonceSource;

use super::filters::Carried;
use crate::config::{FileMetagraph, Fingerprint};
use crate::store::Store;

/// What outlives configurations: the store, nonces, running miners of the devnet; metagraphs whose files stay, filters
/// whose settings stay.
///
/// A copy shares all of it; what is started for the copy alone ends with it.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    store: Store,
    nonces: BTreeMap<u16, Arc<NonceSource>>,
    devnets: BTreeMap<NetUid, Arc<Devnet>>,
    pub(super) metagraphs: Metagraphs,
    pub(super) filters: Vec<Carried>,
}

/// Those of files, for each subnet that was made of one.
pub(super) type Metagraphs = BTreeMap<(PathBuf, NetUid), Arc<FileMetagraph>>;

impl Parts {
    pub(crate) const fn new(store: Store) -> Self {
        Self {
            store,
            nonces: BTreeMap::new(),
            devnets: BTreeMap::new(),
            metagraphs: Metagraphs::new(),
            filters: Vec::new(),
        }
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the files that were read for the configuration that was built last, in the order of their paths.
    pub(super) fn files(&self) -> Vec<(PathBuf, Fingerprint)> {
        let files = self.metagraphs.iter().map(|((file, _), metagraph)| (file.clone(), metagraph.fingerprint()));
        files.collect()
    }

    /// Returns the nonces of a node id: one source for ever, or a reload could repeat a nonce.
    pub(super) fn nonces(&mut self, node_id: u16) -> Result<Arc<NonceSource>, ConfigError> {
        if let Some(nonces) = self.nonces.get(&node_id) {
            return Ok(Arc::clone(nonces));
        }
        let nonces = NonceSource::new(node_id).map_err(|e| ConfigError::new("validator.node_id", e.to_string()))?;
        let nonces = Arc::new(nonces);
        self.nonces.insert(node_id, Arc::clone(&nonces));
        Ok(nonces)
    }

    /// Returns the devnet of a subnet, started when it is first asked for.
    pub(super) fn devnet(&mut self, config: &DevnetConfig, netuid: NetUid) -> Result<Arc<Devnet>, ConfigError> {
        if let Some(devnet) = self.devnets.get(&netuid) {
            return Ok(Arc::clone(devnet));
        }
        let devnet = Devnet::start(config, netuid).map_err(|error| ConfigError::new("devnet", error.to_string()))?;
        let devnet = Arc::new(devnet);
        self.devnets.insert(netuid, Arc::clone(&devnet));
        Ok(devnet)
    }
}
