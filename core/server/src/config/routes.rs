//! `[[subnet]]`, `[[upstream]]` and `[[model]]`: the way out.

use std::path::PathBuf;
use std::time::Duration;

use btvep_domain::{Credits, Deadlines, Modality, ParameterMode, SecretRef, written};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ProtocolConfig;

/// `[[subnet]]`: miners that can be asked.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubnetConfig {
    /// Its name, by which models refer to it.
    #[schemars(example = &"sn1")]
    pub name: String,
    /// Its number on the chain.
    pub netuid: u16,
    /// Its incentive mechanism; 0 unless the subnet has several.
    #[serde(default)]
    pub mechanism: u8,
    /// How its miners are spoken to.
    #[schemars(example = serde_json::json!({ "kind": "btauth" }))]
    pub protocol: ProtocolConfig,
    /// Where it is known from which miners there are.
    #[schemars(example = serde_json::json!({ "source": "file", "path": "neurons.toml" }))]
    pub metagraph: MetagraphConfig,
    /// Which addresses of miners are called. Miners choose the addresses they publish, so `any` is only for those of a
    /// file or the devnet.
    #[serde(default)]
    pub addresses: Addresses,
    /// How long each part of an attempt may take.
    #[serde(default)]
    pub deadlines: DeadlinesConfig,
    /// Prompts that one miner works on at the same time.
    #[serde(default = "lanes")]
    #[schemars(range(min = 1))]
    pub lanes: u16,
    /// The largest answer taken of a miner.
    #[serde(default = "answer_bytes")]
    #[schemars(range(min = 1))]
    pub answer_bytes: usize,
}

/// Where a metagraph comes from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub enum MetagraphConfig {
    /// Neurons that the operator wrote down, `[[neuron]]` each.
    File {
        /// The file.
        #[schemars(schema_with = "written::path", example = &"neurons.toml")]
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
    /// To open a connection.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub connect: Duration,
    /// From sending a prompt to the first token of a stream.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub first_token: Duration,
    /// Between two fragments of an answer.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub idle: Duration,
    /// From sending to the end.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
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
    /// Where it serves, as an OpenAI SDK wants it. Requests go to `/chat/completions` below it.
    #[schemars(example = &"https://host/v1")]
    pub base_url: String,
    /// The bearer key. None is sent when absent.
    #[schemars(example = &"env:UPSTREAM_KEY")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretRef>,
    /// How long each part of an attempt may take.
    #[serde(default)]
    pub deadlines: DeadlinesConfig,
    /// The largest answer taken.
    #[serde(default = "answer_bytes")]
    #[schemars(range(min = 1))]
    pub answer_bytes: usize,
}

/// `[[model]]`: what clients can ask for. The first one serves `/chat`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Its name towards clients; without `:`, which begins a strategy suffix (`sn1:top_n=5`).
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
    /// What it is for.
    #[serde(default)]
    pub modality: Modality,
    /// The price of one successful choice, in credits. A price above 0 needs the filter `credits`.
    #[serde(default)]
    #[schemars(example = 0.5)]
    pub price: Credits,
    /// The strategy when neither request nor key names one, such as `default`, `lowest_latency`, `top_n:N` or
    /// `uids:1,2,3`. `default` when absent.
    #[schemars(example = &"top_n:3")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_strategy: Option<String>,
    /// Strategies that `/v1/models` lists as models of their own, `id:preset`, for programs that can only pick a model.
    #[schemars(example = ["lowest_latency", "top_n:3"])]
    #[serde(default)]
    pub presets: Vec<String>,
    /// What happens to fields of a request that the miners cannot take.
    #[serde(default)]
    pub mode: ParameterMode,
    /// What `/v1/models` shows as `created`: unix time in seconds.
    #[serde(default)]
    pub created: i64,
}

const fn lanes() -> u16 {
    8
}

const fn answer_bytes() -> usize {
    4 << 20
}
