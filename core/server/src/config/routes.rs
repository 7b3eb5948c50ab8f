//! `[[subnet]]`, `[[upstream]]` and `[[model]]`: the way out.

use std::path::PathBuf;
use std::time::Duration;

use btvep_domain::{Credits, Deadlines, Modality, ParameterMode, SecretRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ProtocolConfig;

/// `[[subnet]]`: miners that can be asked.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubnetConfig {
    /// Its name, by which models refer to it, such as `sn1`.
    pub name: String,
    /// Its number on the chain.
    pub netuid: u16,
    /// Its incentive mechanism; 0 unless the subnet has several.
    #[serde(default)]
    pub mechanism: u8,
    /// How its miners are spoken to, such as `{ kind = "btauth" }`.
    pub protocol: ProtocolConfig,
    /// Where its metagraph comes from.
    pub metagraph: MetagraphConfig,
    /// Which addresses of miners are called: `global` (the default) or `any`. `any` also calls private and loopback
    /// addresses and is allowed only for miners from a file or the devnet.
    #[serde(default)]
    pub addresses: Addresses,
    /// How long each part of an attempt may take.
    #[serde(default)]
    pub deadlines: DeadlinesConfig,
    /// Prompts that one miner works on at the same time. 8 by default.
    #[serde(default = "lanes")]
    pub lanes: u16,
    /// The largest answer taken of a miner, in bytes. 4 MiB by default.
    #[serde(default = "answer_bytes")]
    pub answer_bytes: usize,
}

/// Where a metagraph comes from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub enum MetagraphConfig {
    /// Neurons that the operator wrote down, `[[neuron]]` each.
    File {
        /// The file, such as `neurons.toml`.
        path: PathBuf,
    },
    /// The scripted miners of `[devnet]`.
    Devnet {},
}

/// Which addresses of miners are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Addresses {
    /// Globally reachable ones only.
    #[default]
    Global,
    /// Any, also private and loopback ones.
    Any,
}

/// How long each part of an attempt may take.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeadlinesConfig {
    /// To open a connection. `4s` by default.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub connect: Duration,
    /// From sending a prompt to the first token of a stream. `12s` by default.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub first_token: Duration,
    /// Between two fragments of an answer. `12s` by default.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub idle: Duration,
    /// From sending to the end. `2m` by default.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub total: Duration,
}

impl Default for DeadlinesConfig {
    fn default() -> Self {
        let Deadlines { connect, first_token, idle, total } = Deadlines::default();
        Self { connect, first_token, idle, total }
    }
}

impl From<&DeadlinesConfig> for Deadlines {
    fn from(config: &DeadlinesConfig) -> Self {
        let DeadlinesConfig { connect, first_token, idle, total } = *config;
        Self { connect, first_token, idle, total }
    }
}

/// `[[upstream]]`: one OpenAI-compatible server.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Its name, by which models refer to it.
    pub name: String,
    /// Where it serves, as an OpenAI SDK wants it: `https://host/v1`. Requests go to `/chat/completions` below it.
    pub base_url: String,
    /// The bearer key, as a reference: `env:NAME` or `file:PATH`. None is sent when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretRef>,
    /// How long each part of an attempt may take.
    #[serde(default)]
    pub deadlines: DeadlinesConfig,
    /// The largest answer taken, in bytes. 4 MiB by default.
    #[serde(default = "answer_bytes")]
    pub answer_bytes: usize,
}

/// `[[model]]`: what clients can ask for. The first one serves `/chat`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Its name towards clients; without `:`, which begins a strategy suffix.
    pub id: String,
    /// The subnet whose miners serve it; either this or `upstream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// The upstream that serves it; either this or `subnet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Its name towards miners and upstreams that speak OpenAI; `id` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_name: Option<String>,
    /// What it is for: `chat`.
    #[serde(default)]
    pub modality: Modality,
    /// Price of one successful choice in credits, with up to six decimals. 0 by default.
    #[serde(default)]
    pub price: Credits,
    /// The strategy when neither request nor key names one, such as `top_n:3`; `default` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_strategy: Option<String>,
    /// What happens to request fields that the miners cannot take: `strict` (the default) refuses the request,
    /// `lenient` drops the field.
    #[serde(default)]
    pub mode: ParameterMode,
    /// Unix time in seconds shown as `created` in `/v1/models`. 0 by default.
    #[serde(default)]
    pub created: i64,
}

const fn lanes() -> u16 {
    8
}

const fn answer_bytes() -> usize {
    4 << 20
}
