use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{Explanation, Key, Kind, Model, ModerationMode, Prompt, RateState, Rejection, Secret, Uid};

/// Whose manners an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// `/v1/chat/completions`: what unmodified OpenAI clients depend on.
    OpenAi,
    /// `/chat`: the original's success shape and `detail` texts.
    Legacy,
}

/// What the client presented to prove who it is.
#[derive(Clone, Debug)]
pub enum Credential {
    /// No `Authorization` header, or an empty one.
    Missing,
    /// Another scheme than `Bearer`.
    WrongScheme,
    /// The key as presented.
    Key(Secret),
}

impl Credential {
    /// Returns the key as presented.
    ///
    /// # Errors
    ///
    /// None was, or not as a bearer token.
    pub fn presented(&self) -> Result<&Secret, Rejection> {
        match self {
            Self::Key(presented) => Ok(presented),
            Self::Missing => Err(Rejection::new(
                Kind::MissingKey,
                "no API key was sent; send it in the header `Authorization: Bearer YOUR_KEY`",
            )),
            Self::WrongScheme => Err(Rejection::new(
                Kind::WrongScheme,
                "the Authorization header has another scheme; send the API key as `Bearer YOUR_KEY`",
            )),
        }
    }
}

/// Which of the places that may name a strategy did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectionSource {
    /// Fields of the body.
    Body,
    /// The header `x-btvep-strategy`.
    Header,
    /// The suffix of the model's name.
    Suffix,
    /// The key's default.
    Key,
    /// The model's default.
    Model,
    /// Nobody named one: `default`.
    Default,
}

impl SelectionSource {
    /// The places, the nearest to the request first: the first that names a strategy wins.
    pub const ORDER: [Self; 6] = [Self::Body, Self::Header, Self::Suffix, Self::Key, Self::Model, Self::Default];

    /// Returns its name in headers and explanations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Header => "header",
            Self::Suffix => "suffix",
            Self::Key => "key",
            Self::Model => "model",
            Self::Default => "default",
        }
    }
}

impl Exchange {
    /// Whether the client wants a stream.
    pub fn wants_stream(&self) -> bool {
        self.prompt.as_ref().is_ok_and(|prompt| prompt.stream)
    }

    /// Returns how many miners its key may have asked.
    pub fn max_miners(&self) -> usize {
        let policy = self.key.as_ref().and_then(|key| key.policy.as_deref());
        policy.and_then(|policy| policy.max_top_n).unwrap_or(u16::MAX).into()
    }
}

/// The strategy of a request and its arguments, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The strategy's name.
    pub name: Arc<str>,
    /// Who named it.
    pub source: SelectionSource,
    /// Exactly these miners, in this order; each once.
    pub uids: Vec<Uid>,
    /// The best so many, at least 1.
    pub top_n: Option<u16>,
    /// How many must agree; none means as configured.
    pub quorum: Option<Quorum>,
    /// Batches of so many, at least 1; none means all at once.
    pub in_parallel: Option<u16>,
    /// Answer with the first success.
    pub first_success: bool,
}

/// How many of how many miners must agree; `2 <= k <= n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// So many must give the same answer.
    pub k: u16,
    /// So many are asked.
    pub n: u16,
}

/// What moderation found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the prompt was flagged.
    pub flagged: bool,
    /// The categories or keywords it was flagged for.
    pub categories: Vec<String>,
    /// The mode that was in force.
    pub mode: ModerationMode,
    /// Whether moderation could not answer.
    pub unavailable: bool,
}

/// One request on its way: what was received, and what filters and pipeline have found out since.
#[derive(Debug)]
pub struct Exchange {
    /// `req_…`, unique for ever.
    pub request_id: Arc<str>,
    /// The configuration it is served by, in 12 hex digits.
    pub config: Option<Arc<str>>,
    /// Unix milliseconds when it was received.
    pub received_at_ms: i64,
    /// Monotonic time when all of it had been received, since the process's own zero.
    pub received_at: Duration,
    /// Whose manners the answer has.
    pub surface: Surface,
    /// The client, behind trusted proxies the one they name.
    pub client: Option<IpAddr>,
    /// What it presented.
    pub credential: Credential,
    /// The header `x-btvep-strategy`.
    pub strategy_header: Option<String>,
    /// The header `x-btvep-timeout-ms`.
    pub timeout: Option<Duration>,
    /// The client's own retry counter (`x-stainless-retry-count`).
    pub client_retry: Option<u32>,
    /// The parsed body, or why it is refused; filters that do not need it let a bad one pass.
    pub prompt: Result<Arc<Prompt>, Option<Rejection>>,
    /// Set by auth.
    pub key: Option<Arc<Key>>,
    /// Set when the request's model is resolved, after the local filters.
    pub model: Option<Arc<Model>>,
    /// Set together with the model.
    pub selection: Option<Selection>,
    /// Set by `rate_limit`: the rules to be claimed.
    pub rules: Arc<[crate::RateRule]>,
    /// Set by `rate_limit`: the attempts rule to be claimed.
    pub attempts_rule: Option<crate::RateRule>,
    /// Set by `rate_limit`: the concurrency to be claimed.
    pub concurrency: Option<u32>,
    /// Set by credits: whether the price is to be held and charged.
    pub metered: bool,
    /// Set at admission (and by a rate refusal).
    pub rate: Option<RateState>,
    /// Set by moderation.
    pub verdict: Option<Verdict>,
    /// The header `x-btvep-explain`: the client wants to know how its answer came about.
    pub explain: bool,
    /// Filled on the way; none when nobody wants to know.
    pub explanation: Option<Box<Explanation>>,
}

impl Exchange {
    /// Returns the prompt once the pipeline has checked it.
    pub fn prompt(&self) -> Option<&Arc<Prompt>> {
        self.prompt.as_ref().ok()
    }
}
