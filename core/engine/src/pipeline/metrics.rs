use std::sync::Arc;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

use crate::Load;

/// What the pipeline counts; labels come from closed sets.
#[derive(Debug)]
pub struct EngineMetrics {
    requests: IntCounterVec,
    seconds: Histogram,
    first_token: Histogram,
    in_flight: IntGauge,
    load: Arc<Load>,
}

/// From half a millisecond to two minutes.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 120.0];

impl EngineMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    ///
    /// They are registered there already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let histogram = |name, help: &str| {
            Histogram::with_opts(HistogramOpts::new(name, help.to_owned()).buckets(SECONDS.to_vec()))
        };
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new("btvep_requests_total", "Requests that ended, by surface and outcome."),
                &["surface", "outcome"],
            )?,
            seconds: histogram("btvep_request_seconds", "From receiving a request to its end.")?,
            first_token: histogram("btvep_first_token_seconds", "From receiving a request to its first token.")?,
            in_flight: IntGauge::new("btvep_requests_in_flight", "Requests that have not ended.")?,
            load: Load::new(registry)?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.first_token.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        Ok(metrics)
    }

    pub(super) const fn load(&self) -> &Arc<Load> {
        &self.load
    }

    pub(super) fn begun(&self) {
        self.in_flight.inc();
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds of one request")]
    pub(super) fn ended(&self, surface: &str, outcome: &str, elapsed_us: u64, first_token_us: Option<u64>) {
        self.in_flight.dec();
        self.requests.with_label_values(&[surface, outcome]).inc();
        self.seconds.observe(elapsed_us as f64 / 1e6);
        if let Some(us) = first_token_us {
            self.first_token.observe(us as f64 / 1e6);
        }
    }
}
