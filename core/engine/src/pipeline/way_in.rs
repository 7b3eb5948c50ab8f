//! The filters on the way in.

use std::sync::Arc;

use btvep_domain::{Exchange, Filter, Rejection};

use super::explain;

/// Runs the filters of one half (local, or asking the network) in the configured order, and keeps which were entered.
pub(super) async fn enter(
    filters: &[Arc<dyn Filter>],
    network: bool,
    exchange: &mut Exchange,
    entered: &mut Vec<Arc<dyn Filter>>,
) -> Result<(), Rejection> {
    for filter in filters.iter().filter(|filter| filter.needs().network == network) {
        entered.push(Arc::clone(filter));
        let begun = explain::begin(exchange);
        let flow = filter.on_request(exchange).await;
        explain::filter(exchange, filter.name(), &flow, begun);
        flow?;
    }
    Ok(())
}
