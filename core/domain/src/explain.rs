use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{AttemptReport, Credits, Hotkey, Neuron, Uid};

/// How a request came to its answer; made only when somebody wants to know. Holds no text of a prompt and no word of
/// a miner's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Explanation {
    /// The configuration it was served by, as `x-btvep-config` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Arc<str>>,
    /// The filters in the order they were entered.
    pub filters: Vec<FilterStep>,
    /// The strategy; none when the request did not get that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<StrategyStep>,
    /// The miners: those planned in the order of the plan, then the others; at most [`Self::CANDIDATES`].
    pub candidates: Vec<Candidate>,
    /// How many more there are.
    pub more_candidates: usize,
    /// The miners asked, in the order their attempts ended.
    pub attempts: Vec<ExplainedAttempt>,
    /// The most it could cost when it was admitted; set aside, unless the credits are unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Credits>,
    /// What was charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charged: Option<Credits>,
}

/// What one filter said on the way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterStep {
    /// Its name.
    pub name: Cow<'static, str>,
    /// `passed`, or the code of its rejection.
    pub verdict: Cow<'static, str>,
    /// How long it took, in microseconds.
    pub us: u64,
}

/// Which strategy chose, and who named it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyStep {
    /// With its argument, such as `top_n=5`.
    pub name: String,
    /// The place that named it: `body`, `header`, `suffix`, `key`, `model`, `default`.
    pub named_by: Cow<'static, str>,
    /// The nearer places, which name none.
    pub empty: Vec<Cow<'static, str>>,
    /// Batches of so many; absent means all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_parallel: Option<u16>,
    /// Whether the first success is the answer.
    pub first_success: bool,
    /// For how long a miner is waited for before another is asked beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge_after_ms: Option<u64>,
}

/// One miner that could have been asked, and why it was or was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The miner.
    pub uid: Uid,
    /// Its hotkey.
    pub hotkey: Hotkey,
    /// Its share of the rewards as the chain stores it: `0..=65535`.
    pub incentive: u16,
    /// One of [`verdict`], or the strategy's own.
    pub verdict: Cow<'static, str>,
}

/// Why a miner was asked, or not.
pub mod verdict {
    /// The first of the plan that was asked.
    pub const ASKED_FIRST: &str = "asked_first";
    /// Asked too.
    pub const ASKED: &str = "asked";
    /// In the plan; the request ended before its turn.
    pub const NOT_NEEDED: &str = "not_needed";
    /// In the plan; put off because its breaker was open.
    pub const BREAKER_OPEN: &str = "breaker_open";
    /// On the operator's list.
    pub const BANNED: &str = "banned";
    /// It publishes no address.
    pub const NOT_SERVING: &str = "not_serving";
    /// Others earn more.
    pub const LOWER_INCENTIVE: &str = "lower_incentive";
    /// Others were named.
    pub const NOT_AMONG_UIDS: &str = "not_among_uids";
    /// Chance chose others.
    pub const NOT_DRAWN: &str = "not_drawn";
    /// It earns nothing.
    pub const NO_INCENTIVE: &str = "no_incentive";
    /// Nothing stands behind it.
    pub const NO_STAKE: &str = "no_stake";
    /// Not chosen; the strategy does not say why.
    pub const NOT_CHOSEN: &str = "not_chosen";
}

/// One attempt, as far as anybody may know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedAttempt {
    /// The miner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<Uid>,
    /// The upstream, where no miner was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Arc<str>>,
    /// `success`, `failed`, `partial` or `cancelled`.
    pub outcome: Cow<'static, str>,
    /// The kind of its failure, never the miner's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// Its HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// From sending to the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u32>,
    /// From sending to the end.
    pub elapsed_ms: u32,
}

impl Explanation {
    /// The most candidates that are named; the others are counted.
    pub const CANDIDATES: usize = 32;

    /// Adds candidates, as far as there is room; the others are counted.
    pub fn consider<'a>(&mut self, candidates: impl IntoIterator<Item = (&'a Neuron, &'static str)>) {
        for (neuron, verdict) in candidates {
            if self.candidates.len() == Self::CANDIDATES {
                self.more_candidates += 1;
                continue;
            }
            let Neuron { uid, hotkey, incentive, .. } = *neuron;
            self.candidates.push(Candidate { uid, hotkey, incentive: incentive.0, verdict: verdict.into() });
        }
    }

    /// Adds what is known at the end.
    pub fn complete(&mut self, attempts: &[AttemptReport], charged: Option<Credits>) {
        self.charged = charged;
        self.attempts = attempts.iter().map(ExplainedAttempt::from).collect();
        let asked = |uid: Uid| attempts.iter().any(|attempt| attempt.uid == Some(uid));
        let mut verdict = verdict::ASKED_FIRST;
        for candidate in self.candidates.iter_mut().filter(|candidate| asked(candidate.uid)) {
            candidate.verdict = verdict.into();
            verdict = verdict::ASKED;
        }
    }
}

impl From<&AttemptReport> for ExplainedAttempt {
    fn from(report: &AttemptReport) -> Self {
        Self {
            uid: report.uid,
            upstream: report.upstream.clone(),
            outcome: report.outcome.label().into(),
            reason: report.outcome.failure().map(|failure| failure.kind.label().into()),
            status: report.status,
            first_token_ms: report.first_token_ms,
            elapsed_ms: report.elapsed_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{AttemptOutcome, FailureKind, Incentive, MinerFailure};

    use super::*;

    fn neuron(uid: u16) -> Neuron {
        Neuron {
            uid: Uid(uid),
            hotkey: Hotkey([7; 32]),
            coldkey: Hotkey([7; 32]),
            axon: None,
            incentive: Incentive(uid),
            stake: 0,
            validator_permit: false,
            active: true,
            name: None,
            description: None,
            tags: Vec::new(),
        }
    }

    fn attempt(uid: u16, outcome: AttemptOutcome) -> AttemptReport {
        AttemptReport {
            uid: Some(Uid(uid)),
            hotkey: None,
            upstream: None,
            outcome,
            first_token_ms: None,
            elapsed_ms: 5,
            status: None,
        }
    }

    #[test]
    fn candidates_are_bounded_and_the_rest_is_counted() {
        let neurons: Vec<Neuron> = (0..100).map(neuron).collect();
        let mut explanation = Explanation::default();
        explanation.consider(neurons.iter().map(|neuron| (neuron, verdict::NOT_CHOSEN)));
        assert_eq!((explanation.candidates.len(), explanation.more_candidates), (32, 68));
    }

    #[test]
    fn who_was_asked_is_known_at_the_end_and_never_in_the_miners_words() {
        let neurons: Vec<Neuron> = (0..3).map(neuron).collect();
        let mut explanation = Explanation::default();
        explanation.consider(neurons.iter().map(|neuron| (neuron, verdict::NOT_NEEDED)));
        let failed = AttemptOutcome::Failed(MinerFailure::new(FailureKind::Status, "the prompt, repeated"));
        explanation.complete(&[attempt(1, AttemptOutcome::Success), attempt(0, failed)], Some(Credits(3)));
        let verdicts: Vec<&str> = explanation.candidates.iter().map(|candidate| &*candidate.verdict).collect();
        assert_eq!(verdicts, [verdict::ASKED_FIRST, verdict::ASKED, verdict::NOT_NEEDED]);
        let json = serde_json::to_string(&explanation).unwrap();
        assert!(!json.contains("repeated") && json.contains(r#""reason":"status""#), "{json}");
        assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), explanation);
    }
}
