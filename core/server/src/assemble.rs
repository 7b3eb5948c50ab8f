//! Makes what runs from what was written: the only place that knows every implementation.

mod miners;
mod policy;
mod routes;
mod signer;

use std::collections::BTreeMap;
use std::sync::Arc;

use btvep_devnet::{Devnet, DevnetConfig};
use btvep_domain::{ConfigError, Filter, NetUid};
use btvep_engine::Service;
use btvep_protocol::nonce::NonceSource;

use crate::config::{LoadError, Loaded};
use crate::store::Store;
use crate::{logging, roster, store};

pub(crate) use miners::{ServiceMiners, StoppedMiners, views};
pub(crate) use policy::Policies;

/// What outlives configurations: the store, nonces, running miners of the devnet.
#[derive(Debug)]
pub(crate) struct Parts {
    store: Store,
    nonces: BTreeMap<u16, Arc<NonceSource>>,
    devnets: BTreeMap<NetUid, Arc<Devnet>>,
}

impl Parts {
    pub(crate) const fn new(store: Store) -> Self {
        Self { store, nonces: BTreeMap::new(), devnets: BTreeMap::new() }
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the nonces of a node id: one source for ever, or a reload could repeat a nonce.
    fn nonces(&mut self, node_id: u16) -> Result<Arc<NonceSource>, ConfigError> {
        if let Some(nonces) = self.nonces.get(&node_id) {
            return Ok(Arc::clone(nonces));
        }
        let nonces = NonceSource::new(node_id).map_err(|e| ConfigError::new("validator.node_id", e.to_string()))?;
        let nonces = Arc::new(nonces);
        self.nonces.insert(node_id, Arc::clone(&nonces));
        Ok(nonces)
    }

    /// Returns the devnet of a subnet, started when it is first asked for.
    fn devnet(&mut self, config: &DevnetConfig, netuid: NetUid) -> Result<Arc<Devnet>, ConfigError> {
        if let Some(devnet) = self.devnets.get(&netuid) {
            return Ok(Arc::clone(devnet));
        }
        let devnet = Devnet::start(config, netuid).map_err(|error| ConfigError::new("devnet", error.to_string()))?;
        let devnet = Arc::new(devnet);
        self.devnets.insert(netuid, Arc::clone(&devnet));
        Ok(devnet)
    }
}

/// Makes the service of a configuration: the one way from files to what serves.
///
/// # Errors
///
/// A secret, a key file or a component's settings cannot be used.
pub(crate) fn build(loaded: &Loaded, parts: &mut Parts) -> Result<Service, LoadError> {
    let place = |error: ConfigError| loaded.source.refuse(&error);
    let config = &loaded.config;
    let filters = filters(loaded, parts.store())?;
    let strategies = roster::strategies(&config.strategies).map_err(place)?;
    let subnets = routes::subnets(loaded, parts)?;
    let upstreams = routes::upstreams(loaded).map_err(place)?;
    let models = config.model.iter().map(|model| Arc::new(routes::model(model))).collect();
    let Store { keys, accounts, .. } = parts.store().clone();
    Ok(Service {
        filters,
        models,
        strategies,
        subnets,
        upstreams,
        keys,
        accounts,
        max_miners: config.pipeline.max_miners,
    })
}

/// Does all that a start does before it listens, without touching the store.
///
/// # Errors
///
/// What a start would fail at.
pub(crate) fn preflight(loaded: &Loaded) -> Result<(), LoadError> {
    let resolver = loaded.resolver();
    logging::check(&loaded.config.log).map_err(|message| loaded.source.error("log.level", message))?;
    store::check_writable(loaded)?;
    if let Some(pepper) = &loaded.config.state.pepper {
        resolver.secret(pepper).map_err(|message| loaded.source.error("state.pepper", message))?;
    }
    build(loaded, &mut Parts::new(Store::in_memory())).map(drop)
}

fn filters(loaded: &Loaded, store: &Store) -> Result<Vec<Arc<dyn Filter>>, LoadError> {
    let config = &loaded.config;
    let moderation = config.filters.moderation.key.as_ref().map(|key| loaded.resolver().secret(key)).transpose();
    let moderation = moderation.map_err(|message| loaded.source.error("filters.moderation.key", message))?;
    let mut filters = Vec::with_capacity(config.pipeline.filters.len());
    for name in &config.pipeline.filters {
        let made = roster::filter(name, &config.filters, store, moderation.as_ref());
        let made = made.map_err(|ConfigError { path, message }| loaded.source.error(&below_filters(path), message))?;
        filters.extend(made);
    }
    Ok(filters)
}

/// Filters name their keys from their own name on.
fn below_filters(path: String) -> String {
    if path.starts_with("filters.") { path } else { format!("filters.{path}") }
}
