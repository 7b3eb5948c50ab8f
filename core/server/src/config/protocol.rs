//! `subnet.protocol`: how miners are spoken to.

use btvep_protocol::btauth::BtAuthConfig;
use btvep_protocol::synapse::SynapseConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the miners of a subnet are spoken to: `kind`, and the settings of that protocol beside it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProtocolConfig {
    /// Request signatures of SDK 11 over an OpenAI body.
    Btauth(BtAuthConfig),
    /// Axons up to SDK 10.
    Synapse(SynapseConfig),
}
