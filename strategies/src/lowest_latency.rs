//! Prefers miners that have been answering fast and without errors.

use std::collections::HashSet;

use btvep_domain::{
    Breaker, ConfigError, Exchange, MinerHealth, Neuron, NoCandidate, Plan, Selection, Snapshot, Strategy, Uid, verdict,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::draw::Draw;
use crate::stages;

/// The success rate of a miner that has only failed: small, so that it is seldom drawn, but may recover.
const LEAST_SUCCESS: f64 = 0.01;

/// `[strategies.lowest_latency]`: how miners are drawn.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The share of requests that try a miner first which is drawn without regard to how it has been doing, so that a
    /// miner that has recovered is found. From 0 (none) to 1 (all).
    #[schemars(range(min = 0, max = 1))]
    pub explore: f64,
    /// How many miners are tried, one after the other until one answers, when the request does not say
    /// (`lowest_latency:2`).
    #[schemars(range(min = 1))]
    pub tries: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { explore: 0.05, tries: 3 }
    }
}

/// Draws miners by what their answers cost in time, two by two, and of each two tries the better first.
///
/// A draw, because whoever always takes the best sends everybody to the same miner, until the next block of health
/// says that it is not the best any more.
#[derive(Debug)]
pub struct LowestLatency {
    explore: f64,
    tries: u16,
}

/// A miner that may be asked.
#[derive(Clone, Copy, Debug)]
struct Candidate<'a> {
    neuron: &'a Neuron,
    /// What an answer costs, in milliseconds made worse by errors, load and a low incentive; none when the miner's
    /// breaker is open.
    cost: Option<f64>,
}

impl LowestLatency {
    /// Makes it from its configuration.
    ///
    /// # Errors
    ///
    /// A share that is none, or nobody would be tried.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        if !(0.0..=1.0).contains(&config.explore) {
            return Err(ConfigError::new("strategies.lowest_latency.explore", "must be from 0 to 1; 0.05 is usual"));
        }
        if config.tries == 0 {
            return Err(ConfigError::new("strategies.lowest_latency.tries", "must be at least 1"));
        }
        Ok(Self { explore: config.explore, tries: config.tries })
    }

    /// Returns all candidates in the order in which they are tried.
    fn order<'a>(&self, candidates: &[Candidate<'a>], draw: &mut Draw) -> Vec<Candidate<'a>> {
        let mut order = draw.order(candidates.iter().copied(), |one| one.cost.map_or(0.0, f64::recip));
        for two in order.chunks_mut(2) {
            two.sort_by(|a, b| a.rank().total_cmp(&b.rank()));
        }
        let closed = order.iter().filter(|one| one.cost.is_some()).count();
        if draw.unit() < self.explore {
            let explored = draw.place(closed);
            if let Some(before) = order.get_mut(..=explored) {
                before.rotate_right(1);
            }
        }
        order
    }
}

impl Strategy for LowestLatency {
    fn name(&self) -> &'static str {
        "lowest_latency"
    }

    fn plan(
        &self,
        exchange: &Exchange,
        selection: &Selection,
        snapshot: &Snapshot,
        (_, seed): (i64, u64),
    ) -> Result<Plan, NoCandidate> {
        let order = self.order(&candidates(snapshot), &mut Draw::new(seed));
        let (tries, batch) = (stages::tries(exchange, selection, self.tries), stages::in_turn(selection));
        let (first, rest) = apart(&order, batch.min(tries));
        let uids: Vec<Uid> = first.iter().chain(&rest).take(tries).map(|one| one.neuron.uid).collect();
        stages::begun_with(first.len(), &uids, batch, selection)
    }

    fn passes_over(&self, _selection: &Selection, neuron: &Neuron) -> &'static str {
        if neuron.axon.is_some() { verdict::NOT_DRAWN } else { verdict::NOT_SERVING }
    }
}

impl Candidate<'_> {
    fn rank(&self) -> f64 {
        self.cost.unwrap_or(f64::INFINITY)
    }
}

/// Returns the miners that serve.
fn candidates(snapshot: &Snapshot) -> Vec<Candidate<'_>> {
    let metagraph = &snapshot.metagraph;
    let of = |uid: &Uid| Some((metagraph.neuron(*uid)?, snapshot.health.of(metagraph, *uid)));
    let serving: Vec<(&Neuron, MinerHealth)> = metagraph.by_incentive().iter().filter_map(of).collect();
    let usual = median(serving.iter().map(|(_, health)| health.latency_ms));
    let highest = serving.first().map_or(0, |(neuron, _)| neuron.incentive.0);
    let merit = |neuron: &Neuron| f64::from(neuron.incentive.0) / f64::from(highest.max(1));
    let candidate = |(neuron, health)| Candidate { neuron, cost: cost(&health, usual, merit(neuron)) };
    serving.into_iter().map(candidate).collect()
}

/// Returns the cost of an answer; `merit` is the share of the highest incentive, `0..=1`. Who earns nothing must be
/// twice as fast as who earns most.
fn cost(health: &MinerHealth, usual: f64, merit: f64) -> Option<f64> {
    if health.breaker == Breaker::Open {
        return None;
    }
    // Of a miner that has never answered nothing is known: it is taken for a usual one.
    let latency = if health.latency_ms > 0.0 { f64::from(health.latency_ms).max(1.0) } else { usual };
    let success = (1.0 - f64::from(health.error_rate)).max(LEAST_SUCCESS);
    let queue = f64::from(health.in_flight) + 1.0;
    Some(latency * queue / (success * (1.0 + merit)))
}

/// Returns the middle of the latencies that are known; 1 when none is.
fn median(latencies: impl Iterator<Item = f32>) -> f64 {
    let mut known: Vec<f32> = latencies.filter(|latency| *latency > 0.0).collect();
    let middle = known.len() / 2;
    if known.is_empty() {
        return 1.0;
    }
    let (_, median, _) = known.select_nth_unstable_by(middle, f32::total_cmp);
    f64::from(*median).max(1.0)
}

/// Returns `most` candidates for the first stage, and the others: two of one owner, or on one machine, would fail
/// together. One whose breaker is open is never among the first.
fn apart<'a>(order: &[Candidate<'a>], most: usize) -> (Vec<Candidate<'a>>, Vec<Candidate<'a>>) {
    let (mut coldkeys, mut hosts, mut taken) = (HashSet::new(), HashSet::new(), 0);
    order.iter().partition(|one| {
        let (coldkey, host) = (one.neuron.coldkey, one.neuron.axon.map(|axon| axon.ip()));
        let fits = taken < most && one.cost.is_some() && !coldkeys.contains(&coldkey) && !hosts.contains(&host);
        if fits {
            taken += 1;
            coldkeys.insert(coldkey);
            hosts.insert(host);
        }
        fits
    })
}

#[cfg(test)]
mod tests;
