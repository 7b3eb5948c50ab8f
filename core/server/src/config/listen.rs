use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where clients and operators connect.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    /// Public.
    pub public: Option<String>,
    /// Admin.
    pub admin: Option<String>,
}
