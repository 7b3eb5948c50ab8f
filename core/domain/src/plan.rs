use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Uid;

/// What a strategy wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Batches of miners; the next begins when one has ended without satisfying `until`. Each miner at most once.
    pub stages: Vec<Vec<Uid>>,
    /// Miners of one stage in flight at the same time; the others wait for a place. At least 1.
    pub at_once: u16,
    /// When to stop.
    pub until: Until,
    /// Whether one miner more may be asked beside those that are slow.
    pub hedge: Option<Hedge>,
}

/// One miner more than `at_once`, the stage's next, is asked when those in flight are slow; once in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// From asking the newest miner; until then it should have given its first token (of a stream) or answered (whole).
    pub after: Duration,
    /// Of a subnet's requests with such a plan so many in a hundred may have a miner more; `1..=100`.
    pub percent: u8,
}

/// When a plan is satisfied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// One miner has answered; the others are cancelled.
    First,
    /// Every miner has answered or failed.
    All,
    /// So many have given the same answer, or no longer can; the others are cancelled.
    Agree {
        /// How many.
        k: u16,
        /// What the same is.
        by: Comparison,
    },
}

/// When two answers are the same. Compared are the texts; of answers without text (tool calls) the other members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Byte for byte.
    Exact,
    /// But for letters' case and white space.
    Normalised,
    /// By this member of the JSON object that the text is; an answer without it agrees with none.
    Field(Arc<str>),
}

/// How long each part of an attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    /// To open a connection.
    pub connect: Duration,
    /// From sending to the first token (of a stream) or to the head (of a whole answer: see `total`).
    pub first_token: Duration,
    /// Between two fragments.
    pub idle: Duration,
    /// From sending to the end.
    pub total: Duration,
}

/// A plan that dispatch refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// Nobody is asked.
    #[error("the plan asks no miner")]
    Empty,
    /// More miners than the configuration allows.
    #[error("the plan asks {planned} miners, at most {limit} are allowed")]
    TooMany {
        /// As planned.
        planned: usize,
        /// As configured.
        limit: usize,
    },
    /// A miner that is not in the metagraph.
    #[error("the plan asks uid {0}, which is not in the metagraph")]
    Unknown(Uid),
    /// A miner twice.
    #[error("the plan asks uid {0} twice")]
    Twice(Uid),
    /// Nobody may be in flight.
    #[error("the plan allows no miner at once")]
    NoneAtOnce,
    /// More miners must agree than are asked.
    #[error("the plan wants {k} of {planned} miners to agree")]
    NeverAgree {
        /// So many must agree.
        k: u16,
        /// So many are asked.
        planned: usize,
    },
}

impl Plan {
    /// Returns how many miners it asks at most.
    pub fn miners(&self) -> usize {
        self.stages.iter().map(Vec::len).sum()
    }

    /// Returns the most choices it can deliver when each miner gives `n`.
    pub fn max_choices(&self, n: u32) -> u32 {
        match self.until {
            Until::First | Until::Agree { .. } => n,
            Until::All => n.saturating_mul(u32::try_from(self.miners()).unwrap_or(u32::MAX)),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(4),
            first_token: Duration::from_secs(12),
            idle: Duration::from_secs(12),
            total: Duration::from_mins(2),
        }
    }
}
