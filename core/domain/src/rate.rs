use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// At most `times` admissions in any window of `seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateRule {
    /// The most admissions in any window.
    #[schemars(range(min = 1))]
    pub times: u32,
    /// Length of the window, in seconds.
    #[schemars(range(min = 1))]
    pub seconds: u32,
}

/// Where the most constrained rule stands after an admission or a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateState {
    /// The rule.
    pub rule: RateRule,
    /// Admissions left in the window that ends now.
    pub remaining: u32,
    /// Until the window holds one admission less (after a refusal: until the next can succeed).
    pub reset_after: Duration,
}
