//! Every component by its name in the configuration: one line each.

use std::collections::BTreeMap;
use std::sync::Arc;

use btvep_domain::{ConfigError, Filter, MinerProtocol, Secret, Strategy};
use btvep_plugins::{Auth, Credits, Logging, Moderation, RateLimit};
use btvep_protocol::btauth::BtAuth;
use btvep_protocol::signer::Signer;
use btvep_protocol::synapse::Synapse;
use btvep_strategies::{DefaultStrategy, Hedge, LowestLatency, QuorumStrategy, TopN, Uids, Weighted};

use crate::config::{FiltersConfig, ProtocolConfig, StrategiesConfig};
use crate::store::Store;

/// Filters, in the order that is the default.
pub(crate) const FILTERS: [&str; 5] = ["logging", "auth", "rate_limit", "credits", "moderation"];

/// Strategies.
pub(crate) const STRATEGIES: [&str; 7] = ["default", "uids", "top_n", "lowest_latency", "weighted", "hedge", "quorum"];

/// Makes a filter; none when the name is unknown.
///
/// # Errors
///
/// Its settings cannot be used; the path begins below `filters`.
pub(crate) fn filter(
    name: &str,
    config: &FiltersConfig,
    store: &Store,
    moderation_key: Option<&Secret>,
) -> Result<Option<Arc<dyn Filter>>, ConfigError> {
    Ok(Some(match name {
        "logging" => Arc::new(Logging::new(&config.logging, Arc::clone(&store.logs))),
        "auth" => Arc::new(Auth::new(Arc::clone(&store.keys))),
        "rate_limit" => Arc::new(RateLimit::new(&config.rate_limit)?),
        "credits" => Arc::new(Credits::new()),
        "moderation" => Arc::new(Moderation::new(&config.moderation, moderation_key)?),
        _ => return Ok(None),
    }))
}

/// Makes every strategy.
///
/// # Errors
///
/// The settings of one cannot be used.
pub(crate) fn strategies(config: &StrategiesConfig) -> Result<BTreeMap<Arc<str>, Arc<dyn Strategy>>, ConfigError> {
    let all: [Arc<dyn Strategy>; STRATEGIES.len()] = [
        Arc::new(DefaultStrategy::new(&config.default)?),
        Arc::new(Uids),
        Arc::new(TopN),
        Arc::new(LowestLatency::new(&config.lowest_latency)?),
        Arc::new(Weighted::new(&config.weighted)?),
        Arc::new(Hedge::new(&config.hedge)?),
        Arc::new(QuorumStrategy::new(&config.quorum)?),
    ];
    Ok(all.into_iter().map(|strategy| (Arc::from(strategy.name()), strategy)).collect())
}

/// Makes the protocol of a subnet's miners.
///
/// # Errors
///
/// What is wrong with its settings; the path begins below `protocol`.
pub(crate) fn protocol(config: &ProtocolConfig, signer: Arc<Signer>) -> Result<Arc<dyn MinerProtocol>, ConfigError> {
    Ok(match config {
        ProtocolConfig::Btauth(config) => {
            Arc::new(BtAuth::new(config, signer).map_err(|error| ConfigError::new("path", error.to_string()))?)
        }
        ProtocolConfig::Synapse(config) => {
            Arc::new(Synapse::new(config, signer).map_err(|error| ConfigError::new(error.key(), error.to_string()))?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_makes_the_component_of_that_name() {
        let store = Store::in_memory();
        for name in FILTERS {
            let made = filter(name, &FiltersConfig::default(), &store, None).unwrap().unwrap();
            assert_eq!(made.name(), name);
        }
        let made = strategies(&StrategiesConfig::default()).unwrap();
        assert_eq!(made.keys().map(AsRef::as_ref).collect::<std::collections::BTreeSet<_>>(), STRATEGIES.into());
    }
}
