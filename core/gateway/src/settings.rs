use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::GatewayConfig;

/// What the gateway runs with: a value that is replaced whole while it runs. A request reads it once, when its head
/// is there.
#[derive(Clone, Debug)]
pub struct Settings(Arc<ArcSwap<GatewayConfig>>);

impl Settings {
    pub(crate) fn new(config: GatewayConfig) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(config)))
    }

    /// Serves new requests by other settings. Addresses, threads, `h2c`, whether there is TLS, and the patience with
    /// idle HTTP/2 connections stay as they were at the start.
    pub fn replace(&self, config: GatewayConfig) {
        self.0.store(Arc::new(config));
    }

    pub(crate) fn now(&self) -> Arc<GatewayConfig> {
        self.0.load_full()
    }
}
