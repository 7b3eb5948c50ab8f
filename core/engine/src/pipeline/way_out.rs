//! The way out: every filter that was entered sees the end, in reverse, exactly once.

use std::sync::Arc;
use std::time::Instant;

use btvep_domain::{AttemptReport, Closed, Ending, Exchange, Filter, Outcome, Surface, Usage};
use btvep_protocol::surface::error_head;

use super::explain;
use super::metrics::EngineMetrics;
use super::standing::Clock;

/// Owns the exchange, so that nothing can end without the way out: dropping it is a panic's way out.
pub(super) struct WayOut {
    pub(super) exchange: Exchange,
    pub(super) entered: Vec<Arc<dyn Filter>>,
    pub(super) facts: Facts,
    received_at: Instant,
    metrics: Arc<EngineMetrics>,
    ended: bool,
}

/// What the request came to, filled as it becomes known.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) attempts: Vec<AttemptReport>,
    pub(super) choices: u32,
    pub(super) texts: Vec<String>,
    pub(super) usage: Option<Usage>,
    pub(super) closed: Option<Closed>,
    pub(super) first_token_us: Option<u64>,
}

impl WayOut {
    pub(super) fn new(exchange: Exchange, received_at: Instant, metrics: Arc<EngineMetrics>) -> Self {
        metrics.begun();
        Self { exchange, entered: Vec::with_capacity(8), facts: Facts::default(), received_at, metrics, ended: false }
    }

    /// Microseconds since the request was received.
    pub(super) fn elapsed_us(&self) -> u64 {
        u64::try_from(self.received_at.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Returns when the request was received, by both clocks.
    pub(super) fn clock(&self) -> Clock {
        Clock { unix_ms: self.exchange.received_at_ms, at: self.received_at.into() }
    }

    /// Tells every entered filter how the request ended.
    pub(super) fn end(&mut self, ending: Ending) -> Outcome {
        self.ended = true;
        let facts = std::mem::take(&mut self.facts);
        let outcome = Outcome {
            status: status(self.exchange.surface, &ending),
            ending,
            attempts: facts.attempts,
            choices: facts.choices,
            texts: facts.texts,
            usage: facts.usage,
            closed: facts.closed,
            elapsed_us: self.elapsed_us(),
            first_token_us: facts.first_token_us,
        };
        explain::end(&mut self.exchange, &outcome);
        for filter in self.entered.drain(..).rev() {
            filter.on_end(&self.exchange, &outcome);
        }
        let surface = match self.exchange.surface {
            Surface::OpenAi => "openai",
            Surface::Legacy => "legacy",
        };
        self.metrics.ended(surface, label(&outcome.ending), outcome.elapsed_us, outcome.first_token_us);
        outcome
    }
}

impl Drop for WayOut {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Ending::Panicked);
        }
    }
}

/// Nginx's number for a client that left before its answer.
const CLIENT_GONE: u16 = 499;

fn status(surface: Surface, ending: &Ending) -> u16 {
    match ending {
        Ending::Answered | Ending::Streamed | Ending::Partial(_) | Ending::ClientGone { delivered: true } => 200,
        Ending::ClientGone { delivered: false } => CLIENT_GONE,
        Ending::Rejected(rejection) => error_head(surface, rejection).status,
        Ending::Panicked => 500,
    }
}

fn label(ending: &Ending) -> &'static str {
    match ending {
        Ending::Answered => "answered",
        Ending::Streamed => "streamed",
        Ending::Partial(_) => "partial",
        Ending::ClientGone { .. } => "client_gone",
        Ending::Rejected(rejection) => rejection.kind.code(),
        Ending::Panicked => "panicked",
    }
}
