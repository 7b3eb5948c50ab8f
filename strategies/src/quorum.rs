//! The answer that several miners give.

use btvep_domain::{
    Comparison, ConfigError, Exchange, Neuron, NoCandidate, Plan, Quorum, Selection, Snapshot, Strategy, Until,
    verdict, written,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// `[strategies.quorum]`: asks several miners, and answers what enough of them say.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many miners must give the same answer, unless the request says so itself (`quorum=3/5`).
    #[schemars(range(min = 2))]
    pub agree: u16,
    /// How many miners of highest incentive are asked, unless the request says so itself.
    #[schemars(range(min = 2))]
    pub miners: u16,
    /// When two answers are the same: byte for byte, but for letters' case and white space, or when they are JSON objects
    /// whose member of this name is the same.
    #[schemars(schema_with = "by_schema", example = &"field:answer")]
    pub by: String,
}

fn by_schema(_: &mut SchemaGenerator) -> Schema {
    written::text(r#""exact", "normalised" or "field:NAME""#, "^(exact|normalised|field:.+)$")
}

impl Default for Config {
    fn default() -> Self {
        Self { agree: 3, miners: 5, by: "normalised".to_owned() }
    }
}

/// Asks the miners of highest incentive; the answer is what enough of them give.
#[derive(Debug)]
pub struct QuorumStrategy {
    usual: Quorum,
    by: Comparison,
}

impl QuorumStrategy {
    /// Makes it from its configuration.
    ///
    /// # Errors
    ///
    /// A number is out of its range, or the comparison unknown.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let refuse = |key: &str, what: &str| Err(ConfigError::new(format!("strategies.quorum.{key}"), what));
        let Config { agree: k, miners: n, ref by } = *config;
        if n < 2 {
            return refuse("miners", "must be at least 2");
        }
        if !(2..=n).contains(&k) {
            return refuse("agree", "must be at least 2 and at most `miners`");
        }
        let by = match (by.as_str(), by.strip_prefix("field:")) {
            ("exact", _) => Comparison::Exact,
            ("normalised", _) => Comparison::Normalised,
            (_, Some(name)) if !name.is_empty() => Comparison::Field(name.into()),
            _ => return refuse("by", r#"expected "exact", "normalised" or "field:NAME""#),
        };
        Ok(Self { usual: Quorum { k, n }, by })
    }
}

impl Strategy for QuorumStrategy {
    fn name(&self) -> &'static str {
        "quorum"
    }

    fn plan(
        &self,
        exchange: &Exchange,
        selection: &Selection,
        snapshot: &Snapshot,
        _moment: (i64, u64),
    ) -> Result<Plan, NoCandidate> {
        let Quorum { k, n } = selection.quorum.unwrap_or(self.usual);
        let most = exchange.max_miners().min(n.into());
        let asked: Vec<_> = snapshot.metagraph.by_incentive().iter().copied().take(most).collect();
        if asked.len() < usize::from(k) {
            return Err(NoCandidate::TooFew { wanted: k, known: asked.len() });
        }
        let until = Until::Agree { k, by: self.by.clone() };
        Ok(Plan { stages: vec![asked], at_once: selection.in_parallel.unwrap_or(n), until, hedge: None })
    }

    fn passes_over(&self, _selection: &Selection, neuron: &Neuron) -> &'static str {
        if neuron.axon.is_some() { verdict::LOWER_INCENTIVE } else { verdict::NOT_SERVING }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, uids};

    fn strategy(config: &str) -> QuorumStrategy {
        QuorumStrategy::new(&serde_json::from_str(config).unwrap()).unwrap()
    }

    #[track_caller]
    fn check(spec: &str, in_parallel: Option<u16>, expected: (&[u16], u16, u16)) {
        let plan = fixture::plan(&strategy("{}"), spec, in_parallel, false).unwrap();
        let (asked, at_once, k) = expected;
        let until = Until::Agree { k, by: Comparison::Normalised };
        assert_eq!(plan, Plan { stages: vec![uids(asked)], at_once, until, hedge: None });
        assert_eq!(plan.max_choices(1), 1, "one answer is paid for");
    }

    #[test]
    fn the_best_are_asked_all_at_once_or_so_many_at_a_time() {
        check("quorum", None, (&[3, 1, 5, 2, 0], 5, 3));
        check("quorum=2/3", None, (&[3, 1, 5], 3, 2));
        check("quorum=2/3", Some(2), (&[3, 1, 5], 2, 2));
    }

    #[test]
    fn fewer_than_n_is_fine_but_not_fewer_than_k() {
        check("quorum=5/9", None, (&[3, 1, 5, 2, 0], 9, 5));
        let plan = fixture::plan(&strategy("{}"), "quorum=6/9", None, true);
        assert_eq!(plan, Err(NoCandidate::TooFew { wanted: 6, known: 5 }));
    }

    #[test]
    fn comparisons_go_by_their_names() {
        for (config, by) in [
            (r#"{"by": "exact"}"#, Comparison::Exact),
            (r#"{"by": "normalised"}"#, Comparison::Normalised),
            (r#"{"by": "field:answer"}"#, Comparison::Field("answer".into())),
        ] {
            assert_eq!(strategy(config).by, by);
        }
    }

    #[test]
    fn mistakes_in_the_configuration_are_named() {
        for (config, key) in [
            (r#"{"miners": 1}"#, "strategies.quorum.miners"),
            (r#"{"agree": 1}"#, "strategies.quorum.agree"),
            (r#"{"agree": 6}"#, "strategies.quorum.agree"),
            (r#"{"by": "meaning"}"#, "strategies.quorum.by"),
            (r#"{"by": "field:"}"#, "strategies.quorum.by"),
        ] {
            let error = QuorumStrategy::new(&serde_json::from_str(config).unwrap()).unwrap_err().to_string();
            assert!(error.starts_with(key), "{config} gave {error}");
        }
    }
}
