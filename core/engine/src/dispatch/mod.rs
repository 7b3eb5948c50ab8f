//! Sends one prompt to miners by a plan, and owns their connections, lanes and health.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{Answer, AttemptReport, Delta, Health, InvalidPlan, Metagraph, MinerFailure, Plan, Prompt, Usage};

use crate::{Subnet, Upstream};

/// Which addresses of miners are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Globally reachable ones only: miners choose what they publish.
    #[default]
    Global,
    /// Any, for miners from a file or the devnet, which the operator wrote himself.
    Any,
}
