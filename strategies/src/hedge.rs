//! One miner, and a second beside it when it is slow.

use std::time::Duration;

use btvep_domain::{
    ConfigError, Exchange, Hedge as Wait, Latencies, Neuron, NoCandidate, Plan, Selection, Snapshot, Strategy, Until,
    verdict, written,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[strategies.hedge]`: asks the best miner, and the next beside it when it is slower than the subnet mostly is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many miners of highest incentive stand in line. The next of them is asked when one has failed, or beside one
    /// that is slow.
    #[schemars(range(min = 2))]
    pub miners: u16,
    /// A miner is slow when it gives no first token (of a whole answer: does not answer) within the time in which this
    /// percentage of its subnet's newest answers came, and within twice the median.
    #[schemars(range(min = 50, max = 99))]
    pub percentile: u8,
    /// The same as long as the subnet has given less than 20 answers.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "written::duration")]
    pub first_wait: Duration,
    /// Of a hundred requests to a subnet so many may ask a miner beside a slow one; ten more at the start.
    #[schemars(range(min = 1, max = 100))]
    pub budget_percent: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self { miners: 3, percentile: 95, first_wait: Duration::from_secs(2), budget_percent: 5 }
    }
}

/// Asks the miner of highest incentive, and the next beside it when it is slow; the first success is the answer.
#[derive(Debug)]
pub struct Hedge {
    miners: usize,
    quantile: f32,
    first_wait: Duration,
    percent: u8,
}

impl Hedge {
    /// Makes it from its configuration.
    ///
    /// # Errors
    ///
    /// A number is out of its range.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let Config { miners, percentile, first_wait, budget_percent: percent } = *config;
        let refuse = |key: &str, range: &str| Err(ConfigError::new(format!("strategies.hedge.{key}"), range));
        match (miners, percentile, percent) {
            (0..2, ..) => refuse("miners", "must be at least 2: one that is asked, and one beside it"),
            (_, 0..50 | 100.., _) => refuse("percentile", "must be from 50 to 99"),
            (_, _, 0 | 101..) => refuse("budget_percent", "must be from 1 to 100"),
            _ => Ok(Self { miners: miners.into(), quantile: f32::from(percentile) / 100.0, first_wait, percent }),
        }
    }

    /// Returns after which time a miner is slow.
    fn wait(&self, latencies: &Latencies) -> Duration {
        let (usual, median) = (latencies.quantile(self.quantile), latencies.quantile(0.5));
        usual.zip(median).map_or(self.first_wait, |(usual, median)| usual.max(median * 2))
    }
}

impl Strategy for Hedge {
    fn name(&self) -> &'static str {
        "hedge"
    }

    fn plan(
        &self,
        exchange: &Exchange,
        _selection: &Selection,
        snapshot: &Snapshot,
        _moment: (i64, u64),
    ) -> Result<Plan, NoCandidate> {
        let line: Vec<_> =
            snapshot.metagraph.by_incentive().iter().copied().take(self.miners.min(exchange.max_miners())).collect();
        if line.is_empty() {
            return Err(NoCandidate::NobodyServes);
        }
        let health = &snapshot.health;
        let after = self.wait(if exchange.wants_stream() { &health.first_token } else { &health.whole });
        let hedge = Some(Wait { after, percent: self.percent });
        Ok(Plan { stages: vec![line], at_once: 1, until: Until::First, hedge })
    }

    fn passes_over(&self, _selection: &Selection, neuron: &Neuron) -> &'static str {
        if neuron.axon.is_some() { verdict::LOWER_INCENTIVE } else { verdict::NOT_SERVING }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use btvep_domain::Health;

    use super::*;
    use crate::fixture::{self, SUBNET, uids};

    fn strategy(config: &str) -> Hedge {
        Hedge::new(&serde_json::from_str(config).unwrap()).unwrap()
    }

    /// Plans a whole answer on a subnet whose answers took so long.
    fn after(config: &str, answers_ms: &[u64]) -> Duration {
        let mut health = Health::default();
        for ms in answers_ms {
            health.whole.note(Duration::from_millis(*ms));
        }
        let snapshot = Snapshot { health: Arc::new(health), ..fixture::snapshot(SUBNET) };
        let plan = fixture::plan_on(&strategy(config), "hedge", &snapshot).unwrap();
        plan.hedge.unwrap().after
    }

    #[track_caller]
    fn check(config: &str, answers_ms: &[u64], expected_ms: u64) {
        let (found, expected) = (after(config, answers_ms), Duration::from_millis(expected_ms));
        assert!(found >= expected && found <= expected.mul_f32(1.2), "{found:?}, not {expected:?}");
    }

    #[test]
    fn the_best_stand_in_line_and_one_is_asked_at_once() {
        let plan = fixture::plan(&strategy("{}"), "hedge", Some(2), false).unwrap();
        let hedge = Some(Wait { after: Duration::from_secs(2), percent: 5 });
        assert_eq!(plan, Plan { stages: vec![uids(&[3, 1, 5])], at_once: 1, until: Until::First, hedge });
        assert_eq!(plan.max_choices(1), 1, "one answer is paid for");
        let many = fixture::plan(&strategy(r#"{"miners": 9}"#), "hedge", None, true).unwrap();
        assert_eq!(many.stages, [uids(&[3, 1, 5, 2, 0])], "fewer than configured is fine");
    }

    #[test]
    fn it_waits_as_long_as_most_answers_take_and_twice_the_median() {
        let mut answers = [100; 100];
        check("{}", &answers, 200);
        answers[90..].fill(4_000);
        check("{}", &answers, 4_000);
        check(r#"{"percentile": 90}"#, &answers, 200);
    }

    #[test]
    fn with_too_few_answers_it_waits_as_configured() {
        assert_eq!(after(r#"{"first_wait": "300ms"}"#, &[100; 19]), Duration::from_millis(300));
    }

    #[test]
    fn who_is_passed_over_is_told_why() {
        let passed = fixture::passed_over(&strategy("{}"), "hedge");
        assert_eq!(passed, [(4, "not_serving"), (0, "lower_incentive"), (2, "lower_incentive")]);
    }

    #[test]
    fn nobody_serving_is_said() {
        let plan = fixture::plan_on(&strategy("{}"), "hedge", &fixture::snapshot(&[(0, 9, false)]));
        assert_eq!(plan, Err(NoCandidate::NobodyServes));
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        for (config, key) in [
            (r#"{"miners": 1}"#, "strategies.hedge.miners"),
            (r#"{"percentile": 49}"#, "strategies.hedge.percentile"),
            (r#"{"percentile": 100}"#, "strategies.hedge.percentile"),
            (r#"{"budget_percent": 0}"#, "strategies.hedge.budget_percent"),
            (r#"{"budget_percent": 101}"#, "strategies.hedge.budget_percent"),
        ] {
            let error = Hedge::new(&serde_json::from_str(config).unwrap()).unwrap_err().to_string();
            assert!(error.starts_with(key), "{config} gave {error}");
        }
    }
}
