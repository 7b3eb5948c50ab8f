//! `[pipeline]`, `[filters.*]` and `[strategies.*]`: the steps of a request and their settings.

use btvep_domain::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wording::suggestion;
use crate::roster;

/// `[pipeline]`: which filters a request passes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineConfig {
    /// The filters in the order of the way in; the way out is the reverse. `logging` stands first, so that it sees
    /// every rejection; `rate_limit` and `credits` stand behind `auth`. A filter that is left out does not work.
    pub filters: Vec<String>,
    /// The most miners one request may ask, whatever its strategy.
    #[schemars(range(min = 1))]
    pub max_miners: u16,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self { filters: roster::FILTERS.iter().map(|filter| (*filter).to_owned()).collect(), max_miners: 256 }
    }
}

impl PipelineConfig {
    /// Checks names, order and what belongs together.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |path: String, message: String| Err(ConfigError::new(path, message));
        for (at, name) in self.filters.iter().enumerate() {
            let path = format!("pipeline.filters.{at}");
            if !roster::FILTERS.contains(&name.as_str()) {
                let hint = suggestion(name, roster::FILTERS.iter().copied());
                return refuse(path, format!("there is no filter `{name}`{hint}"));
            }
            if self.filters.iter().take(at).any(|earlier| earlier == name) {
                return refuse(path, format!("`{name}` stands twice; name each filter once"));
            }
            if name == "logging" && at != 0 {
                return refuse(path, "`logging` stands first, so that it sees every rejection".to_owned());
            }
            if matches!(name.as_str(), "rate_limit" | "credits") && !self.before(at, "auth") {
                return refuse(path, format!("`{name}` works on a key: write \"auth\" before it"));
            }
        }
        if self.max_miners == 0 {
            return refuse("pipeline.max_miners".to_owned(), "must be at least 1".to_owned());
        }
        Ok(())
    }

    fn before(&self, at: usize, name: &str) -> bool {
        self.filters.iter().take(at).any(|earlier| earlier == name)
    }
}

/// `[filters.*]`: each filter's own settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FiltersConfig {
    /// What the request log keeps of a request.
    pub logging: btvep_plugins::logging::Config,
    /// How often and how much a key may ask, if it has no limits of its own.
    pub rate_limit: btvep_plugins::rate_limit::Config,
    /// What prompts are refused for: a list of your own, and a moderation endpoint that speaks OpenAI's API.
    pub moderation: btvep_plugins::moderation::Config,
}

/// `[strategies.*]`: each strategy's own settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StrategiesConfig {
    /// Who serves when neither the request, nor its key, nor its model names a strategy.
    pub default: btvep_strategies::default::Config,
    /// How miners are drawn that have been answering fast and without errors.
    pub lowest_latency: btvep_strategies::lowest_latency::Config,
    /// How miners are drawn by what the chain says of them.
    pub weighted: btvep_strategies::weighted::Config,
    /// One miner, and a second beside it when it is slow: `hedge`.
    pub hedge: btvep_strategies::hedge::Config,
    /// The answer that several miners give: `quorum`.
    pub quorum: btvep_strategies::quorum::Config,
    /// Strategies that nobody may use, whoever names them.
    #[schemars(example = ["top_n"])]
    pub disabled: Vec<String>,
}
