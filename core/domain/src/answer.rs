use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{FailureKind, Hotkey, MinerFailure, Uid};

/// A member of a miner's JSON that is passed on untouched: its name and raw value.
pub type Extra = (Box<str>, Box<RawValue>);

/// A decoded fragment of one choice; never wire bytes.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// Which choice, from 0.
    pub choice: u32,
    /// New text.
    pub content: String,
    /// Other members of the delta or message (`tool_calls`, `refusal`, …), untouched.
    pub extras: Vec<Extra>,
    /// The choice's `logprobs`, untouched.
    pub logprobs: Option<Box<RawValue>>,
    /// Set in the last fragment of the choice.
    pub finish_reason: Option<Box<str>>,
}

impl Delta {
    /// Whether it carries anything a client would call an answer.
    pub fn has_substance(&self) -> bool {
        !self.content.is_empty() || !self.extras.is_empty()
    }

    /// Returns the length of all its texts, in bytes.
    pub fn bytes(&self) -> usize {
        let extras: usize = self.extras.iter().map(|(name, value)| name.len() + value.get().len()).sum();
        self.content.len() + extras + self.logprobs.as_ref().map_or(0, |logprobs| logprobs.get().len())
    }
}

/// One successful choice of a whole answer, with who gave it.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The miner; none for an upstream.
    pub uid: Option<Uid>,
    /// The miner's hotkey; none for an upstream.
    pub hotkey: Option<Hotkey>,
    /// The text.
    pub content: String,
    /// Other members of the message, untouched.
    pub extras: Vec<Extra>,
    /// `logprobs`, untouched.
    pub logprobs: Option<Box<RawValue>>,
    /// Why the miner stopped; `stop` when it did not say.
    pub finish_reason: Box<str>,
    /// From sending the prompt to the whole answer.
    pub response_ms: u32,
}

/// Token counts as the miner gave them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of the prompt.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
    /// Of both.
    #[serde(default)]
    pub total_tokens: u64,
}

/// How one miner's attempt ended.
#[derive(Clone, Debug)]
pub enum AttemptOutcome {
    /// It answered, whole or with a stream that ended in order.
    Success,
    /// It failed before the first token, or was not whole.
    Failed(MinerFailure),
    /// It failed after the first token had gone to the client.
    Partial(MinerFailure),
    /// We ended it: another miner won, or the client left.
    Cancelled,
}

impl AttemptOutcome {
    /// Returns its name in rows.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed(_) => "failed",
            Self::Partial(_) => "partial",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it answered to the end.
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }

    /// Returns why the miner failed, if it did.
    pub const fn failure(&self) -> Option<&MinerFailure> {
        match self {
            Self::Failed(failure) | Self::Partial(failure) => Some(failure),
            Self::Success | Self::Cancelled => None,
        }
    }
}

/// One miner's attempt, for the row, the health block and `failed_responses`.
#[derive(Clone, Debug)]
pub struct AttemptReport {
    /// The miner; none for an upstream.
    pub uid: Option<Uid>,
    /// The miner's hotkey; none for an upstream.
    pub hotkey: Option<Hotkey>,
    /// The upstream's name, where no miner was asked.
    pub upstream: Option<Arc<str>>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// From sending to the first token; none when none came.
    pub first_token_ms: Option<u32>,
    /// From sending to the end.
    pub elapsed_ms: u32,
    /// The miner's HTTP status, if it answered at all.
    pub status: Option<u16>,
}

impl AttemptReport {
    /// Whether it failed because this server had no memory left for its answer.
    pub const fn had_no_room(&self) -> bool {
        matches!(&self.outcome, AttemptOutcome::Failed(failure) if matches!(failure.kind, FailureKind::NoRoom))
    }
}

/// How many miners gave the same answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Miners asked.
    pub asked: usize,
    /// Those that gave it.
    pub agreed: usize,
    /// Who they are, in the order they answered.
    pub uids: Vec<Uid>,
}

/// A whole answer: at least one choice.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// In the order of completion (first success) or of the plan (all).
    pub choices: Vec<Choice>,
    /// Summed over the choices; none when no miner said.
    pub usage: Option<Usage>,
    /// Every attempt, failures among them, in the order they ended.
    pub attempts: Vec<AttemptReport>,
    /// How many miners gave it, where agreement was wanted.
    pub agreement: Option<Agreement>,
}

impl Usage {
    /// Returns the sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
            total_tokens: self.total_tokens.saturating_add(other.total_tokens),
        }
    }
}
