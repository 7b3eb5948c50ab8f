//! Spreads requests over miners by what the chain says of them.

use btvep_domain::{ConfigError, Exchange, Neuron, NoCandidate, Plan, Selection, Snapshot, Strategy, Uid, verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::draw::Draw;
use crate::stages;

/// `[strategies.weighted]`: how miners are drawn.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What a miner's chance is in proportion to.
    pub by: Weight,
    /// How many miners are tried, one after the other until one answers, when the request does not say (`weighted:2`).
    #[schemars(range(min = 1))]
    pub tries: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { by: Weight::Incentive, tries: 3 }
    }
}

/// What a miner is drawn by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Its share of the subnet's rewards.
    #[default]
    Incentive,
    /// What stands behind it.
    Stake,
}

/// Draws miners at random, each once, with a chance in proportion to incentive or stake; those with none come last.
#[derive(Debug)]
pub struct Weighted {
    by: Weight,
    tries: u16,
}

impl Weighted {
    /// Makes it from its configuration.
    ///
    /// # Errors
    ///
    /// Nobody would be tried.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        if config.tries == 0 {
            return Err(ConfigError::new("strategies.weighted.tries", "must be at least 1"));
        }
        Ok(Self { by: config.by, tries: config.tries })
    }

    #[expect(clippy::cast_precision_loss, reason = "a chance does not need the last rao")]
    fn weight(&self, neuron: &Neuron) -> f64 {
        match self.by {
            Weight::Incentive => neuron.incentive.0.into(),
            Weight::Stake => neuron.stake as f64,
        }
    }
}

impl Strategy for Weighted {
    fn name(&self) -> &'static str {
        "weighted"
    }

    fn plan(
        &self,
        exchange: &Exchange,
        selection: &Selection,
        snapshot: &Snapshot,
        (_, seed): (i64, u64),
    ) -> Result<Plan, NoCandidate> {
        let serving = snapshot.metagraph.neurons().iter().filter(|neuron| neuron.axon.is_some());
        let drawn = Draw::new(seed).order(serving, |neuron| self.weight(neuron));
        let tries = stages::tries(exchange, selection, self.tries);
        let uids: Vec<Uid> = drawn.into_iter().take(tries).map(|neuron| neuron.uid).collect();
        stages::begun_with(usize::MAX, &uids, stages::in_turn(selection), selection)
    }

    fn passes_over(&self, _selection: &Selection, neuron: &Neuron) -> &'static str {
        match (neuron.axon, self.by) {
            (None, _) => verdict::NOT_SERVING,
            (Some(_), _) if self.weight(neuron) > 0.0 => verdict::NOT_DRAWN,
            (Some(_), Weight::Incentive) => verdict::NO_INCENTIVE,
            (Some(_), Weight::Stake) => verdict::NO_STAKE,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use btvep_domain::{KeyPolicy, Until};

    use super::*;
    use crate::fixture::{self, firsts, uids};

    fn weighted(by: Weight) -> Weighted {
        Weighted::new(&Config { by, ..Config::default() }).unwrap()
    }

    /// Of two thousand seeds; the seeds are fixed, so the bounds hold always or never.
    #[track_caller]
    fn check_firsts(by: Weight, expected: &[(u16, u32)]) {
        let found = firsts(&weighted(by), &fixture::snapshot(&[(0, 0, true), (1, 100, true), (2, 300, true)]));
        for &(uid, share) in expected {
            let found = found.get(&Uid(uid)).copied().unwrap_or_default();
            assert!(found.abs_diff(share) <= share / 5, "uid {uid} came first {found} times of 2000, not {share}");
        }
    }

    #[test]
    fn the_first_is_drawn_by_incentive() {
        check_firsts(Weight::Incentive, &[(0, 0), (1, 500), (2, 1500)]);
    }

    #[test]
    fn or_by_stake() {
        // The stakes of uids 1 and 2 are one and two TAO.
        check_firsts(Weight::Stake, &[(0, 0), (1, 667), (2, 1333)]);
    }

    #[test]
    fn three_are_tried_in_turn_unless_the_request_says_otherwise() {
        let stages = |spec, in_parallel, first| {
            let plan = fixture::plan(&weighted(Weight::Incentive), spec, in_parallel, first).unwrap();
            plan.stages.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(stages("weighted", None, true), [1, 1, 1]);
        assert_eq!(stages("weighted:2", None, true), [1, 1]);
        assert_eq!(stages("weighted:5", Some(2), true), [2, 2, 1]);
        assert_eq!(stages("weighted:4", None, false), [4], "who wants all answers does not wait for them in turn");
    }

    #[test]
    fn a_key_is_not_given_more_than_it_may_ask() {
        let mut exchange = btvep_testkit::exchange();
        let policy = KeyPolicy { max_top_n: Some(2), ..KeyPolicy::default() };
        exchange.key = Some(Arc::new(btvep_domain::Key { policy: Some(Box::new(policy)), ..btvep_testkit::key() }));
        let snapshot = btvep_testkit::snapshot(btvep_testkit::neurons(9));
        let selection = exchange.selection.clone().unwrap();
        let plan = weighted(Weight::Incentive).plan(&exchange, &selection, &snapshot, (0, 7)).unwrap();
        assert_eq!((plan.miners(), plan.until), (2, Until::First));
    }

    #[test]
    fn who_has_no_weight_comes_last() {
        let plan = fixture::plan(&weighted(Weight::Incentive), "weighted:5", None, true).unwrap();
        assert_eq!(plan.stages.last(), Some(&uids(&[0])));
    }

    #[test]
    fn who_is_passed_over_is_told_why() {
        let strategy = weighted(Weight::Incentive);
        let passed = fixture::passed_over(&strategy, "weighted:4");
        assert_eq!(passed, [(4, "not_serving"), (0, "no_incentive")]);
        let stake = fixture::passed_over(&weighted(Weight::Stake), "weighted:4");
        assert_eq!(stake, [(4, "not_serving"), (0, "no_stake")]);
        assert!(fixture::passed_over(&strategy, "weighted:2").iter().any(|(_, verdict)| *verdict == "not_drawn"));
    }
}
