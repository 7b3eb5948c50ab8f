//! What the gateway's health and metrics routes tell.

use std::sync::Arc;

use btvep_engine::Engine;
use btvep_engine::dispatch::Dispatcher;
use btvep_gateway::Probes;
use prometheus::{Registry, TextEncoder};
use tracing::error;

/// Readiness and metrics of the running server.
#[derive(Debug)]
pub(crate) struct ServerProbes {
    pub(crate) engine: Arc<Engine>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) registry: Registry,
}

impl Probes for ServerProbes {
    fn ready(&self) -> Result<(), String> {
        let service = self.engine.service();
        // The cause may name paths; those are for the log.
        service.accounts.health().map_err(|error| {
            error!(error = %error, "the store is not ready");
            "the store is unavailable".to_owned()
        })?;
        match service.subnets.values().find(|subnet| subnet.source.newest().is_none()) {
            Some(subnet) => Err(format!("the metagraph of subnet {} has not been read yet", subnet.name)),
            None => Ok(()),
        }
    }

    fn metrics(&self) -> String {
        let mut families = self.registry.gather();
        families.extend(self.dispatcher.metrics());
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            error!(error = %error, "the metrics cannot be written");
            String::new()
        })
    }
}
