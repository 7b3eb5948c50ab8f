//! That the request costs money: its price is held at admission and charged when it ends.

use async_trait::async_trait;
use btvep_domain::{Exchange, Filter, Flow};

/// Marks the exchange as metered. The accounts hold and charge; without this filter a route is free.
#[derive(Debug, Default)]
pub struct Credits;

impl Credits {
    /// Makes it; there is nothing to configure.
    pub const fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Filter for Credits {
    fn name(&self) -> &'static str {
        "credits"
    }

    async fn on_request(&self, exchange: &mut Exchange) -> Flow {
        exchange.metered = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::block_on;

    #[test]
    fn the_request_is_metered() {
        let mut exchange = btvep_testkit::exchange();
        block_on(Credits::new().on_request(&mut exchange)).unwrap();
        assert!(exchange.metered);
    }
}
