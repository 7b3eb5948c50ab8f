use btvep_domain::{AttemptOutcome, AttemptReport, Hotkey, Uid};
use serde::Serialize;

/// A failed attempt as clients see it, on both surfaces.
#[derive(Debug, Serialize)]
pub(super) struct FailedResponse<'a> {
    index: usize,
    uid: Option<Uid>,
    responder_hotkey: Option<Hotkey>,
    error: &'a str,
    response_ms: u32,
}

/// Returns the failures among attempts, in the order they ended.
pub(super) fn failed_responses(attempts: &[AttemptReport]) -> Vec<FailedResponse<'_>> {
    let failures = attempts.iter().filter_map(|attempt| match &attempt.outcome {
        AttemptOutcome::Failed(failure) | AttemptOutcome::Partial(failure) => Some((attempt, failure)),
        AttemptOutcome::Success | AttemptOutcome::Cancelled => None,
    });
    failures
        .enumerate()
        .map(|(index, (attempt, failure))| FailedResponse {
            index,
            uid: attempt.uid,
            responder_hotkey: attempt.hotkey,
            error: &failure.message,
            response_ms: attempt.elapsed_ms,
        })
        .collect()
}

#[cfg(test)]
pub(super) mod samples {
    use btvep_domain::{Answer, Choice, FailureKind, MinerFailure};

    use super::*;

    /// Returns an attempt of a miner that failed.
    pub(crate) fn failed(uid: u16, message: &str) -> AttemptReport {
        AttemptReport {
            uid: Some(Uid(uid)),
            hotkey: Some(Hotkey([uid.to_le_bytes()[0]; 32])),
            upstream: None,
            outcome: AttemptOutcome::Failed(MinerFailure::new(FailureKind::Timeout, message)),
            first_token_ms: None,
            elapsed_ms: 12,
            status: None,
        }
    }

    /// Returns a choice of an upstream.
    pub(crate) fn choice(content: &str, finish: &str) -> Choice {
        Choice {
            uid: None,
            hotkey: None,
            content: content.into(),
            extras: Vec::new(),
            logprobs: None,
            finish_reason: finish.into(),
            response_ms: 31,
        }
    }

    /// Returns an answer of those choices in which miner 9 timed out.
    pub(crate) fn answer(choices: Vec<Choice>) -> Answer {
        Answer { choices, usage: None, attempts: vec![failed(9, "timed out")], agreement: None }
    }
}
