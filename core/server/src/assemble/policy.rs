//! Checks what a key shall be allowed, before it is stored.

use std::sync::Arc;

use btvep_control::PolicyCheck;
use btvep_domain::KeyPolicy;
use btvep_engine::Engine;
use btvep_plugins::rate_limit::check_rules;
use btvep_strategies::Spec;

use crate::config::{Config, suggestion};
use crate::roster::STRATEGIES;

/// What the running service offers to keys.
#[derive(Debug)]
pub(crate) struct ServicePolicies(pub(crate) Arc<Engine>);

impl PolicyCheck for ServicePolicies {
    fn check(&self, policy: &KeyPolicy) -> Result<(), String> {
        let service = self.0.service();
        check(policy, &service.models.iter().map(|model| &*model.id))
    }
}

/// What a configuration offers while no server runs.
#[derive(Debug)]
pub(crate) struct StoppedPolicies(Vec<String>);

impl StoppedPolicies {
    /// Takes the models of a configuration.
    pub(crate) fn new(config: &Config) -> Self {
        Self(config.model.iter().map(|model| model.id.clone()).collect())
    }
}

impl PolicyCheck for StoppedPolicies {
    fn check(&self, policy: &KeyPolicy) -> Result<(), String> {
        check(policy, &self.0.iter().map(String::as_str))
    }
}

fn check<'a>(policy: &KeyPolicy, models: &(impl Iterator<Item = &'a str> + Clone)) -> Result<(), String> {
    check_rules("rate_limits", policy.rate_limits.as_deref().unwrap_or_default()).map_err(|e| e.to_string())?;
    if policy.concurrency == Some(0) || policy.max_top_n == Some(0) {
        return Err("`concurrency` and `max_top_n` are at least 1; `default` lifts them".to_owned());
    }
    if let Some(text) = &policy.default_query_strategy {
        let spec = Spec::parse(text).map_err(|error| error.to_string())?;
        known("strategy", &spec.name, STRATEGIES.iter().copied())?;
    }
    for name in policy.strategies.iter().flatten() {
        known("strategy", name, STRATEGIES.iter().copied())?;
    }
    for name in policy.models.iter().flatten() {
        known("model", name, models.clone())?;
    }
    Ok(())
}

fn known<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a str> + Clone) -> Result<(), String> {
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    Err(format!("there is no {what} `{name}`{}", suggestion(name, names)))
}
