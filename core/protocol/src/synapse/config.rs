use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Settings of the protocol `synapse`: what the miners' Python class is called and which fields it has.
///
/// Whatever is not set comes from the preset.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SynapseConfig {
    /// A known class to start from: whatever is not set below is as there.
    #[serde(default)]
    pub preset: SynapsePreset,
    /// The name of the miners' Python class, which is the path of the request.
    #[serde(default)]
    #[schemars(example = &"PromptingSynapse")]
    pub class: Option<String>,
    /// How the conversation is put into the fields of the class.
    #[schemars(example = serde_json::json!({ "lists": { "roles": "roles", "messages": "messages" } }))]
    #[serde(default)]
    pub mapping: Option<Mapping>,
    /// The `required_hash_fields` of the class, in its order: what the signature covers. An empty list is allowed, too.
    #[schemars(example = ["messages"])]
    #[serde(default)]
    pub hash_fields: Option<Vec<String>>,
    /// Fields without a default value in the class; axons refuse requests that do not announce them.
    #[schemars(example = ["roles", "messages"])]
    #[serde(default)]
    pub required_fields: Option<Vec<String>>,
    /// Further fields and their constant values, in the order of the class. A float needs its point, for `1` and `1.0`
    /// hash differently.
    #[schemars(example = serde_json::json!({ "task_name": "inference" }))]
    #[serde(default)]
    pub extra_fields: Option<Map<String, Value>>,
    /// The field of the answer that holds the completion.
    #[schemars(example = &"completion")]
    #[serde(default)]
    pub answer_field: Option<String>,
    /// Whether the class is a `StreamingSynapse`, whose answers are raw text in pieces.
    #[serde(default)]
    pub streaming: Option<bool>,
}

/// A class that text miners are known to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SynapsePreset {
    /// `Prompting`, as the original Validator Endpoint of 2023 had it.
    #[default]
    Prompting,
    /// `PromptingSynapse`, subnet 1 from January to May 2024.
    PromptingSynapse,
    /// `StreamPromptingSynapse`, subnet 1 from February to August 2024.
    StreamPromptingSynapse,
    /// `StreamPromptingSynapse` with a task name, subnet 1 from August to November 2024.
    StreamPromptingSynapseV2,
}

/// How the conversation is put into fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mapping {
    /// Two lists of texts of the same length.
    Lists {
        /// The field for who speaks.
        roles: String,
        /// The field for what is said.
        messages: String,
    },
    /// One list of objects with `role` and `content`.
    Objects {
        /// The field.
        messages: String,
    },
    /// One text that holds the JSON of such a list.
    Json {
        /// The field.
        messages: String,
    },
}

impl SynapsePreset {
    /// Returns the settings that the preset stands for, all of them set.
    pub fn settings(self) -> SynapseConfig {
        let class = match self {
            Self::Prompting => "Prompting",
            Self::PromptingSynapse => "PromptingSynapse",
            Self::StreamPromptingSynapse | Self::StreamPromptingSynapseV2 => "StreamPromptingSynapse",
        };
        let mut extra_fields = Map::new();
        // Older classes declare their hash fields as a field, which travels.
        if self != Self::PromptingSynapse {
            extra_fields.insert("required_hash_fields".to_owned(), json!(["messages"]));
        }
        let mut required_fields = vec!["roles".to_owned(), "messages".to_owned()];
        if self == Self::StreamPromptingSynapseV2 {
            extra_fields.insert("task_name".to_owned(), json!("inference"));
            required_fields.insert(0, "task_name".to_owned());
        }
        extra_fields.insert("completion".to_owned(), json!(""));
        SynapseConfig {
            preset: self,
            class: Some(class.to_owned()),
            mapping: Some(Mapping::Lists { roles: "roles".to_owned(), messages: "messages".to_owned() }),
            hash_fields: Some(vec!["messages".to_owned()]),
            required_fields: Some(required_fields),
            extra_fields: Some(extra_fields),
            answer_field: Some("completion".to_owned()),
            streaming: Some(matches!(self, Self::StreamPromptingSynapse | Self::StreamPromptingSynapseV2)),
        }
    }
}
