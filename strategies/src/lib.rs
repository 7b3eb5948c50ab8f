//! The built-in query strategies, one file each, and the one place that reads their texts.
//!
//! A strategy turns a checked [`Selection`](btvep_domain::Selection) and a snapshot into a plan. It
//! calls nobody: whom dispatch skips, retries or gives up on is dispatch's business.

pub mod default;
mod draw;
pub mod hedge;
pub mod lowest_latency;
pub mod quorum;
pub mod spec;
mod stages;
mod top_n;
mod uids;
pub mod weighted;

#[cfg(test)]
mod fixture;

pub use default::DefaultStrategy;
pub use hedge::Hedge;
pub use lowest_latency::LowestLatency;
pub use quorum::QuorumStrategy;
pub use spec::{Spec, SpecError};
pub use top_n::TopN;
pub use uids::Uids;
pub use weighted::Weighted;
