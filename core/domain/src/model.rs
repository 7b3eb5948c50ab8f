use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Credits;

/// What a model is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    /// Conversations.
    #[default]
    Chat,
}

/// What happens to request fields that a miner's protocol cannot carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParameterMode {
    /// The request is refused and the field named.
    #[default]
    Strict,
    /// The field is dropped.
    Lenient,
}

/// Who serves a model, by the name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The miners of a subnet.
    Subnet(Arc<str>),
    /// One OpenAI-compatible upstream.
    Upstream(Arc<str>),
}

/// A model that clients can ask for.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its name towards clients.
    pub id: Arc<str>,
    /// Its name towards miners that speak OpenAI; as asked for when absent.
    pub upstream_name: Option<Arc<str>>,
    /// Who serves it.
    pub route: Route,
    /// What it is for.
    pub modality: Modality,
    /// Price of one successful choice.
    pub price: Credits,
    /// The strategy when neither the request nor the key names one, such as `top_n:3`.
    pub default_strategy: Option<String>,
    /// Strategies that are listed as models of their own, `id:preset`, for programs that can only pick a model.
    pub presets: Vec<String>,
    /// What happens to fields that cannot be carried.
    pub mode: ParameterMode,
    /// Unix seconds, for `/v1/models`.
    pub created: i64,
}
