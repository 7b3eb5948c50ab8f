//! The words and the contracts of Validator Endpoint.
//!
//! Nothing in here does I/O, reads a clock or needs a runtime: times, peers and randomness are
//! passed in. Every other crate depends on this one and on no other implementation.

mod account;
mod answer;
mod config;
mod credits;
mod exchange;
mod explain;
mod filter;
mod health;
mod hotkey;
mod key;
mod latencies;
mod log;
mod metagraph;
mod model;
mod plan;
mod prompt;
mod protocol;
mod rate;
mod rejection;
mod secret;
mod store_error;
mod strategy;
pub mod written;

pub use account::{
    Account, Accounts, Admission, ChargeRecord, Claims, Closed, Closing, Hold, LedgerPage, Refusal, Settlement,
};
pub use answer::{Agreement, Answer, AttemptOutcome, AttemptReport, Choice, Delta, Extra, Usage};
pub use config::{ConfigError, SecretRef};
pub use credits::{Credits, ParseCredits};
pub use exchange::{Credential, Exchange, Quorum, Selection, SelectionSource, Surface, Verdict};
pub use explain::{Candidate, ExplainedAttempt, Explanation, FilterStep, StrategyStep, verdict};
pub use filter::{Ending, Filter, Flow, Needs, Outcome, Pass};
pub use health::{Breaker, Health, MinerHealth};
pub use hotkey::{Hotkey, ParseHotkey};
pub use key::{
    AuthFailure, ContentPolicy, Key, KeyEdit, KeyId, KeyPolicy, KeyWatch, Keys, ModerationMode, NewKey, ParseKeyId,
};
pub use latencies::Latencies;
pub use log::{Appended, LogQuery, LogRow, Logs, RowAttempt};
pub use metagraph::{DuplicateUid, Metagraph, MetagraphSource, Neuron};
pub use model::{Modality, Model, ParameterMode, Route};
pub use plan::{Comparison, Deadlines, Hedge, InvalidPlan, Plan, Until};
pub use prompt::{Field, Message, Prompt, Role, StrategyFields};
pub use protocol::{
    Call, Decoder, EncodeError, Encoded, FailureKind, Flaw, MinerFailure, MinerProtocol, Stamp, Target,
};
pub use rate::{RateRule, RateState};
pub use rejection::{FieldError, Kind, Rejection};
pub use secret::Secret;
pub use store_error::StoreError;
pub use strategy::{NoCandidate, Snapshot, Strategy};

/// A miner's or validator's place on a subnet: `0..num_uids`, reassigned when a neuron is replaced.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Uid(pub u16);

/// A subnet's number on the chain.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct NetUid(pub u16);

/// A miner's share of its subnet's rewards, as the chain stores it: `0..=65535` stands for `0..=1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Incentive(pub u16);

impl std::fmt::Display for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
