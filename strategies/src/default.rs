//! The strategy of a request for which nobody names one: normally the validator itself.

use std::collections::HashSet;
use std::fmt;

use btvep_domain::{
    ConfigError, Exchange, Neuron, NoCandidate, Plan, Selection, Snapshot, Strategy, Uid, Until, verdict, written,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Spec;

/// `[strategies.default]`: who serves when neither request, key nor model names a strategy.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The miners to ask, one after the other until one answers; normally the validator's own. Empty means the one
    /// serving miner of highest incentive.
    #[schemars(example = [0])]
    pub uids: Vec<Uid>,
    /// Who is asked when none of `uids` serves or all of them failed before the first token: nobody, or the N serving
    /// miners of highest incentive, one after the other.
    #[schemars(schema_with = "fallback_schema", example = &"top_n:3")]
    pub fallback: Fallback,
}

fn fallback_schema(_: &mut SchemaGenerator) -> Schema {
    written::text(r#""none" or "top_n:N" with N from 1 to 65535"#, "^(none|top_n[:=][1-9][0-9]*)$")
}

/// Who is asked after the configured miners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// Nobody.
    #[default]
    None,
    /// So many of highest incentive.
    TopN(u16),
}

/// Asks the configured miners one after the other, then the fallback's.
///
/// The first success is always the answer: the miners are each other's stand-ins, so waiting for all
/// of them would charge for stand-ins nobody needed. For the same reason batches do not apply.
#[derive(Debug, Default)]
pub struct DefaultStrategy {
    uids: Vec<Uid>,
    fallback: u16,
}

impl DefaultStrategy {
    /// Makes it from its configuration.
    ///
    /// # Errors
    ///
    /// A uid stands twice.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut seen = HashSet::new();
        if let Some(twice) = config.uids.iter().find(|uid| !seen.insert(**uid)) {
            let message = format!("uid {twice} stands twice; name each miner once");
            return Err(ConfigError::new("strategies.default.uids", message));
        }
        let fallback = match config.fallback {
            // Without uids of its own it is `top_n:1`, whatever the fallback says.
            _ if config.uids.is_empty() => 1,
            Fallback::TopN(n) => n,
            Fallback::None => 0,
        };
        Ok(Self { uids: config.uids.clone(), fallback })
    }
}

impl Strategy for DefaultStrategy {
    fn name(&self) -> &'static str {
        "default"
    }

    fn plan(
        &self,
        _exchange: &Exchange,
        _selection: &Selection,
        snapshot: &Snapshot,
        _moment: (i64, u64),
    ) -> Result<Plan, NoCandidate> {
        let metagraph = &snapshot.metagraph;
        let serves = |uid: &Uid| metagraph.neuron(*uid).is_some_and(|neuron| neuron.axon.is_some());
        let configured = self.uids.iter().copied().filter(serves);
        let fallback = metagraph.by_incentive().iter().copied().take(self.fallback.into());
        let stand_ins = fallback.filter(|uid| !self.uids.contains(uid));
        let stages: Vec<Vec<Uid>> = configured.chain(stand_ins).map(|uid| vec![uid]).collect();
        // The client named nobody, so an unknown uid of the configuration is not its mistake.
        if stages.is_empty() {
            return Err(NoCandidate::NobodyServes);
        }
        Ok(Plan { stages, at_once: 1, until: Until::First, hedge: None })
    }

    fn passes_over(&self, _selection: &Selection, neuron: &Neuron) -> &'static str {
        match neuron.axon {
            None => verdict::NOT_SERVING,
            Some(_) if self.fallback == 0 => verdict::NOT_AMONG_UIDS,
            Some(_) => verdict::LOWER_INCENTIVE,
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::TopN(n) => write!(f, "top_n:{n}"),
        }
    }
}

impl Serialize for Fallback {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fallback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "none" {
            return Ok(Self::None);
        }
        match Spec::parse(&text) {
            Ok(Spec { top_n: Some(n), .. }) => Ok(Self::TopN(n)),
            _ => Err(serde::de::Error::custom("a fallback is `none` or `top_n:N` with N from 1 to 65535")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn strategy(config: &str) -> DefaultStrategy {
        DefaultStrategy::new(&serde_json::from_str(config).unwrap()).unwrap()
    }

    #[track_caller]
    fn check(config: &str, expected: &[u16]) {
        let plan = fixture::plan(&strategy(config), "default", Some(2), false).unwrap();
        let stages: Vec<Vec<Uid>> = expected.iter().map(|uid| vec![Uid(*uid)]).collect();
        assert_eq!(plan, Plan { stages, at_once: 1, until: Until::First, hedge: None });
    }

    #[test]
    fn without_uids_it_is_the_best_miner() {
        check("{}", &[3]);
        check(r#"{"fallback": "top_n:3"}"#, &[3]);
    }

    #[test]
    fn the_configured_miners_come_in_their_order() {
        check(r#"{"uids": [5, 0]}"#, &[5, 0]);
    }

    #[test]
    fn then_the_fallbacks_that_are_not_there_already() {
        check(r#"{"uids": [1], "fallback": "top_n:3"}"#, &[1, 3, 5]);
    }

    #[test]
    fn the_fallback_serves_when_no_configured_miner_does() {
        check(r#"{"uids": [4, 99], "fallback": "top_n=2"}"#, &[3, 1]);
    }

    #[test]
    fn who_is_passed_over_is_told_why() {
        let alone = fixture::passed_over(&strategy(r#"{"uids": [0, 1, 2, 4]}"#), "default");
        assert_eq!(alone, [(4, "not_serving"), (3, "not_among_uids"), (5, "not_among_uids")]);
        let best = fixture::passed_over(&strategy(r#"{"uids": [0, 1, 2], "fallback": "top_n:1"}"#), "default");
        assert_eq!(best, [(4, "not_serving"), (5, "lower_incentive")]);
    }

    #[test]
    fn without_fallback_nobody_serves() {
        let plan = fixture::plan(&strategy(r#"{"uids": [4, 99]}"#), "default", None, true);
        assert_eq!(plan, Err(NoCandidate::NobodyServes));
    }

    #[track_caller]
    fn check_refused(config: &str, says: &str) {
        let error = match serde_json::from_str(config) {
            Err(error) => error.to_string(),
            Ok(config) => DefaultStrategy::new(&config).unwrap_err().to_string(),
        };
        assert!(error.contains(says), "{config} gave {error}");
    }

    #[test]
    fn mistakes_in_the_configuration_are_named() {
        check_refused(r#"{"uids": [1, 1]}"#, "strategies.default.uids: uid 1 stands twice");
        check_refused(r#"{"fallback": "top_n:0"}"#, "`none` or `top_n:N`");
        check_refused(r#"{"fallback": "uids:1"}"#, "`none` or `top_n:N`");
        check_refused(r#"{"fall_back": "none"}"#, "unknown field `fall_back`");
    }

    #[test]
    fn the_configuration_reads_back() {
        let config: Config = serde_json::from_str(r#"{"uids": [1], "fallback": "top_n=3"}"#).unwrap();
        assert_eq!(serde_json::to_string(&config).unwrap(), r#"{"uids":[1],"fallback":"top_n:3"}"#);
    }
}
