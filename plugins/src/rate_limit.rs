//! How often a key may ask: puts the rules on the exchange, which the accounts claim at admission.

use std::sync::Arc;

use async_trait::async_trait;
use btvep_domain::{ConfigError, Exchange, Filter, Flow, RateRule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[filters.rate_limit]`: how often each key may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether limits are enforced at all, those of keys among them.
    pub enabled: bool,
    /// Rules for each key that has none of its own: at most so many requests in any window of so many seconds.
    /// Every rule counts for itself, and all must allow the request. Each key is counted alone. Without a rule there
    /// is no limit. `btvep ratelimit add` changes this list.
    pub default: Vec<RateRule>,
    /// Requests that a key may have in flight at the same time, if the key does not say otherwise. Unlimited when
    /// absent.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// The most miners asked for a key in a window, whatever comes of it: failures are free of charge, and
    /// this keeps them from being abused.
    pub attempts: RateRule,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            default: Vec::new(),
            concurrency: None,
            attempts: RateRule { times: 10_000, seconds: 60 },
        }
    }
}

/// Puts the rate rules, the attempts rule and the concurrency of the request's key on the exchange.
///
/// It counts nothing itself: a counter here and a hold there could not be taken together or not at all.
#[derive(Debug)]
pub struct RateLimit {
    enabled: bool,
    default: Arc<[RateRule]>,
    concurrency: Option<u32>,
    attempts: RateRule,
}

impl RateLimit {
    /// Makes it from its configuration.
    ///
    /// # Errors
    ///
    /// A rule or the concurrency is 0.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        check_rules("filters.rate_limit.default", &config.default)?;
        check_rule("filters.rate_limit.attempts", config.attempts)?;
        if config.concurrency == Some(0) {
            let message = "0 would refuse every request; write at least 1, or leave it out for no limit";
            return Err(ConfigError::new("filters.rate_limit.concurrency", message));
        }
        Ok(Self {
            enabled: config.enabled,
            default: config.default.as_slice().into(),
            concurrency: config.concurrency,
            attempts: config.attempts,
        })
    }
}

/// Checks rules that somebody wrote, at the path where they stand; also for those of a key.
///
/// # Errors
///
/// The first rule that allows nothing or has no window.
pub fn check_rules(path: &str, rules: &[RateRule]) -> Result<(), ConfigError> {
    rules.iter().enumerate().try_for_each(|(place, rule)| check_rule(&format!("{path}.{place}"), *rule))
}

fn check_rule(path: &str, rule: RateRule) -> Result<(), ConfigError> {
    let field = match rule {
        RateRule { times: 0, .. } => "times",
        RateRule { seconds: 0, .. } => "seconds",
        _ => return Ok(()),
    };
    Err(ConfigError::new(format!("{path}.{field}"), "0 is no limit; write at least 1, or remove the rule"))
}

#[async_trait]
impl Filter for RateLimit {
    fn name(&self) -> &'static str {
        "rate_limit"
    }

    async fn on_request(&self, exchange: &mut Exchange) -> Flow {
        if !self.enabled {
            return Ok(());
        }
        let policy = exchange.key.as_ref().and_then(|key| key.policy.as_deref());
        exchange.concurrency = policy.and_then(|policy| policy.concurrency).or(self.concurrency);
        // An empty list on the key is a list of its own: no limit.
        exchange.rules = match policy.and_then(|policy| policy.rate_limits.as_deref()) {
            Some(rules) => rules.into(),
            None => Arc::clone(&self.default),
        };
        exchange.attempts_rule = Some(self.attempts);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use btvep_domain::KeyPolicy;

    use super::*;
    use crate::fixture::{block_on, exchange_with};

    const CONFIG: &str =
        r#"{"default": [{"times": 5, "seconds": 1}, {"times": 100, "seconds": 60}], "concurrency": 8}"#;

    fn rule(times: u32, seconds: u32) -> RateRule {
        RateRule { times, seconds }
    }

    /// Checks the claims of a key with this policy: its rules and its concurrency.
    #[track_caller]
    fn check(config: &str, policy: Option<&str>, rules: &[RateRule], concurrency: Option<u32>) -> Exchange {
        let filter = RateLimit::new(&serde_json::from_str(config).unwrap()).unwrap();
        let mut exchange = exchange_with(policy.map(|text| serde_json::from_str::<KeyPolicy>(text).unwrap()));
        block_on(filter.on_request(&mut exchange)).unwrap();
        assert_eq!(&*exchange.rules, rules);
        assert_eq!(exchange.concurrency, concurrency);
        exchange
    }

    #[test]
    fn a_key_without_policy_has_the_defaults() {
        let exchange = check(CONFIG, None, &[rule(5, 1), rule(100, 60)], Some(8));
        assert_eq!(exchange.attempts_rule, Some(rule(10_000, 60)));
    }

    #[test]
    fn a_keys_own_rules_replace_the_defaults() {
        check(CONFIG, Some(r#"{"rate_limits": [{"times": 1, "seconds": 2}]}"#), &[rule(1, 2)], Some(8));
    }

    #[test]
    fn an_empty_list_on_the_key_means_no_limit() {
        let exchange = check(CONFIG, Some(r#"{"rate_limits": []}"#), &[], Some(8));
        assert!(exchange.attempts_rule.is_some(), "failures stay limited");
    }

    #[test]
    fn concurrency_is_overridden_alone() {
        check(CONFIG, Some(r#"{"concurrency": 2}"#), &[rule(5, 1), rule(100, 60)], Some(2));
        check("{}", None, &[], None);
    }

    #[test]
    fn disabled_claims_nothing() {
        let policy = r#"{"rate_limits": [{"times": 1, "seconds": 2}], "concurrency": 2}"#;
        let exchange = check(r#"{"enabled": false}"#, Some(policy), &[], None);
        assert_eq!(exchange.attempts_rule, None);
    }

    #[track_caller]
    fn check_refused(config: &str, path: &str) {
        let error = RateLimit::new(&serde_json::from_str(config).unwrap()).unwrap_err();
        assert_eq!(error.path, path);
    }

    #[test]
    fn rules_that_allow_nothing_are_refused() {
        check_refused(
            r#"{"default": [{"times": 1, "seconds": 1}, {"times": 0, "seconds": 1}]}"#,
            "filters.rate_limit.default.1.times",
        );
        check_refused(r#"{"attempts": {"times": 1, "seconds": 0}}"#, "filters.rate_limit.attempts.seconds");
        check_refused(r#"{"concurrency": 0}"#, "filters.rate_limit.concurrency");
    }
}
