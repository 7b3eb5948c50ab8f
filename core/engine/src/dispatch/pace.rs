use std::time::Duration;

use btvep_domain::Latencies;
use parking_lot::Mutex;

/// How fast the miners of one party answer, all together.
#[derive(Debug, Default)]
pub(super) struct Pace {
    first_token: Mutex<Latencies>,
    whole: Mutex<Latencies>,
}

impl Pace {
    /// Notes an answer: the time to the first token where the client wanted a stream, else to its end.
    pub(super) fn note(&self, stream: bool, time: Duration) {
        let latencies = if stream { &self.first_token } else { &self.whole };
        latencies.lock().note(time);
    }

    /// Returns what a strategy sees: of first tokens, and of whole answers.
    pub(super) fn freeze(&self) -> (Latencies, Latencies) {
        (self.first_token.lock().clone(), self.whole.lock().clone())
    }
}
