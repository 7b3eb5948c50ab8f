use prometheus::{Gauge, IntCounterVec, IntGaugeVec, Opts, Registry};

/// What reloads count.
#[derive(Debug)]
pub(super) struct ReloadMetrics {
    reloads: IntCounterVec,
    last_success: Gauge,
    info: IntGaugeVec,
}

impl ReloadMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    ///
    /// They are registered there already.
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let reloads = Opts::new("btvep_config_reloads_total", "Configurations read since the start, by outcome.");
        let info = Opts::new("btvep_config_info", "The configuration that serves, by its hash; always 1.");
        let metrics = Self {
            reloads: IntCounterVec::new(reloads, &["outcome"])?,
            last_success: Gauge::new(
                "btvep_config_last_success_timestamp_seconds",
                "When a configuration was last taken over.",
            )?,
            info: IntGaugeVec::new(info, &["hash"])?,
        };
        for outcome in ["accepted", "refused"] {
            metrics.reloads.with_label_values(&[outcome]).reset();
        }
        registry.register(Box::new(metrics.reloads.clone()))?;
        registry.register(Box::new(metrics.last_success.clone()))?;
        registry.register(Box::new(metrics.info.clone()))?;
        Ok(metrics)
    }

    /// Notes which configuration serves since when.
    #[expect(clippy::cast_precision_loss, reason = "seconds with milliseconds; 2^53 ms are 285,000 years")]
    pub(super) fn serves(&self, hash: &str, since_ms: i64) {
        self.last_success.set(since_ms as f64 / 1000.0);
        // The one before serves no more, and would stay in memory.
        self.info.reset();
        self.info.with_label_values(&[hash]).set(1);
    }

    pub(super) fn accepted(&self) {
        self.reloads.with_label_values(&["accepted"]).inc();
    }

    pub(super) fn refused(&self) {
        self.reloads.with_label_values(&["refused"]).inc();
    }
}
