use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// What the gateway counts; the engine counts requests and outcomes.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    answers: IntCounterVec,
    /// Clients that left before their answer was whole.
    pub(crate) gone: IntCounter,
    /// Clients cut off because they took none of their answer.
    pub(crate) stalled: IntCounter,
    /// Connections closed because a head did not arrive in time.
    pub(crate) late_heads: IntCounter,
    /// Connections that ended before their first request was read.
    pub(crate) without_request: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let answers = Opts::new("btvep_gateway_answers_total", "Answers written, by route and status.");
        let counter = |name, help| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let metrics = Self {
            answers: IntCounterVec::new(answers, &["route", "status"])?,
            gone: counter("btvep_gateway_clients_gone_total", "Clients that left before their answer was whole.")?,
            stalled: counter(
                "btvep_gateway_clients_stalled_total",
                "Clients cut off because they took none of their answer.",
            )?,
            late_heads: counter("btvep_gateway_late_heads_total", "Connections closed because a head came too late.")?,
            without_request: counter(
                "btvep_gateway_connections_without_request_total",
                "Connections that ended before their first request was read: refused by the parser, or never sent.",
            )?,
        };
        registry.register(Box::new(metrics.answers.clone()))?;
        Ok(metrics)
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, route: &'static str, status: u16) {
        let mut digits = [b'0'; 3];
        let (hundreds, tens, ones) = (status / 100 % 10, status / 10 % 10, status % 10);
        for (place, digit) in digits.iter_mut().zip([hundreds, tens, ones]) {
            *place += u8::try_from(digit).unwrap_or_default();
        }
        let status = std::str::from_utf8(&digits).unwrap_or_default();
        self.answers.with_label_values(&[route, status]).inc();
    }
}
