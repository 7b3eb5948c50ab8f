//! A small subnet and a request, for the tests of all strategies.

use std::collections::BTreeMap;

use btvep_domain::{Incentive, Metagraph, NetUid, Neuron, NoCandidate, Plan, SelectionSource, Snapshot, Strategy, Uid};
use btvep_testkit::exchange;

use crate::Spec;

/// Uid 3 leads, 1 and 5 tie, 4 does not serve.
pub(crate) const SUBNET: &[(u16, u16, bool)] =
    &[(0, 0, true), (1, 500, true), (2, 20, true), (3, 900, true), (4, 800, false), (5, 500, true)];

/// Plans on the usual subnet.
pub(crate) fn plan(
    strategy: &dyn Strategy,
    spec: &str,
    in_parallel: Option<u16>,
    first_success: bool,
) -> Result<Plan, NoCandidate> {
    let selection = Spec::parse(spec).unwrap().select(SelectionSource::Body, in_parallel, first_success);
    strategy.plan(&exchange(), &selection, &snapshot(SUBNET), (0, 0))
}

/// Returns why the miners of the usual subnet that are not planned are not: who does not serve first, then by uid.
pub(crate) fn passed_over(strategy: &dyn Strategy, spec: &str) -> Vec<(u16, &'static str)> {
    let selection = Spec::parse(spec).unwrap().select(SelectionSource::Body, None, true);
    let planned = plan(strategy, spec, None, true).unwrap().stages.concat();
    let snapshot = snapshot(SUBNET);
    let mut others: Vec<_> = snapshot.metagraph.neurons().iter().filter(|n| !planned.contains(&n.uid)).collect();
    others.sort_by_key(|neuron| (neuron.axon.is_some(), neuron.uid));
    others.into_iter().map(|neuron| (neuron.uid.0, strategy.passes_over(&selection, neuron))).collect()
}

/// Plans on a given subnet, all at once, first success.
pub(crate) fn plan_on(strategy: &dyn Strategy, spec: &str, snapshot: &Snapshot) -> Result<Plan, NoCandidate> {
    let selection = Spec::parse(spec).unwrap().select(SelectionSource::Body, None, true);
    strategy.plan(&exchange(), &selection, snapshot, (0, 0))
}

/// Plans that [`firsts`] counts.
pub(crate) const SEEDS: u32 = 2_000;

/// Returns how often each miner comes first when a strategy plans without argument, each time from another seed.
pub(crate) fn firsts(strategy: &dyn Strategy, snapshot: &Snapshot) -> BTreeMap<Uid, u32> {
    let selection = Spec::parse(strategy.name()).unwrap().select(SelectionSource::Body, None, true);
    let mut found = BTreeMap::new();
    for seed in 0..SEEDS {
        let plan = strategy.plan(&exchange(), &selection, snapshot, (0, seed.into())).unwrap();
        *found.entry(plan.stages[0][0]).or_default() += 1;
    }
    found
}

/// A subnet of neurons given as uid, incentive, and whether it serves.
pub(crate) fn snapshot(neurons: &[(u16, u16, bool)]) -> Snapshot {
    let neurons = neurons.iter().map(|&(uid, incentive, serves)| {
        let neuron = btvep_testkit::neuron(uid);
        Neuron { incentive: Incentive(incentive), axon: neuron.axon.filter(|_| serves), ..neuron }
    });
    btvep_testkit::snapshot(Metagraph::new(NetUid(1), 0, 0, neurons.collect()).unwrap())
}

pub(crate) fn uids(uids: &[u16]) -> Vec<Uid> {
    uids.iter().copied().map(Uid).collect()
}
