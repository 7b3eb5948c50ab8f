use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{AttemptOutcome, AttemptReport, FailureKind, Flaw, Hotkey, MinerFailure, Uid};
use tokio::time::Instant;

use super::errand::Common;
use super::health::Entry;
use super::log::AttemptLog;
use super::metrics::Metrics;
use super::peers::{Party, Peer};
use crate::Shed;

/// Who is asked.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) uid: Option<Uid>,
    pub(super) hotkey: Option<Hotkey>,
    pub(super) upstream: Option<Arc<str>>,
}

/// Writes down how an attempt ends, exactly once; dropped before its end, that it was cancelled.
#[derive(Debug)]
pub(super) struct Record {
    log: Arc<AttemptLog>,
    metrics: Arc<Metrics>,
    party: Arc<Party>,
    /// Whether the client wants a stream.
    stream: bool,
    /// None when there is nobody to ask, such as a neuron that does not serve.
    health: Option<(Arc<Peer>, Entry)>,
    identity: Identity,
    sent: Instant,
    first_token: Option<Instant>,
    status: Option<u16>,
    ended: bool,
}

impl Record {
    pub(super) fn begin(common: &Common, health: Option<(Arc<Peer>, Entry)>, identity: Identity) -> Self {
        let now = Instant::now();
        common.log.begin(now);
        Self {
            log: Arc::clone(&common.log),
            metrics: Arc::clone(&common.metrics),
            party: Arc::clone(&common.party),
            stream: common.stream,
            health,
            identity,
            sent: now,
            first_token: None,
            status: None,
            ended: false,
        }
    }

    /// Notes that it is sent now: what was waited for a lane is not the miner's latency.
    pub(super) fn sent(&mut self) -> Instant {
        self.sent = Instant::now();
        self.sent
    }

    pub(super) const fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }

    pub(super) fn first_token(&mut self) {
        self.first_token.get_or_insert_with(Instant::now);
    }

    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Ends in order; returns the time since sending, in milliseconds.
    pub(super) fn succeed(&mut self) -> u32 {
        self.end(AttemptOutcome::Success);
        millis(self.sent.elapsed())
    }

    /// Ends with a failure; nothing of the answer has been passed on.
    pub(super) fn fail(&mut self, failure: MinerFailure) {
        self.end(AttemptOutcome::Failed(failure));
    }

    /// Ends with a failure after the first token has been passed on.
    pub(super) fn break_off(&mut self, failure: MinerFailure) {
        self.end(AttemptOutcome::Partial(failure));
    }

    fn end(&mut self, outcome: AttemptOutcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(self.sent);
        self.metrics.count(&outcome);
        let first_token = self.first_token.map(|at| at.saturating_duration_since(self.sent));
        let answered = if self.stream { first_token } else { outcome.is_success().then_some(elapsed) };
        if let Some(time) = answered {
            self.party.pace.note(self.stream, time);
        }
        if let Some((peer, entry)) = self.health.take() {
            peer.vitals.leave(entry, &outcome, elapsed, now);
        }
        let report = AttemptReport {
            uid: self.identity.uid,
            hotkey: self.identity.hotkey,
            upstream: self.identity.upstream.take(),
            outcome,
            first_token_ms: first_token.map(millis),
            elapsed_ms: millis(elapsed),
            status: self.status,
        };
        tracing::debug!(uid = ?report.uid, upstream = ?report.upstream, outcome = label(&report.outcome),
            status = ?report.status, elapsed_ms = report.elapsed_ms, "attempt ended");
        self.log.end(now, report);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end(AttemptOutcome::Cancelled);
    }
}

/// The server has no memory left for an answer: not the miner's fault.
pub(super) fn no_room(shed: Shed) -> MinerFailure {
    MinerFailure { kind: FailureKind::NoRoom, flaw: Flaw::Busy, message: shed.to_string() }
}

/// A miner's own words may repeat the prompt, which no log of ours does.
fn label(outcome: &AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Success => "success",
        AttemptOutcome::Failed(failure) | AttemptOutcome::Partial(failure) => failure.kind.label(),
        AttemptOutcome::Cancelled => "cancelled",
    }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
