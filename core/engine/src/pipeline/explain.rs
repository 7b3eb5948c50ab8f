//! What a request that is to be explained notes on its way; the others pass here at the price of a comparison.

use std::collections::HashSet;
use std::time::Instant;

use btvep_domain::{
    Breaker, Exchange, Explanation, FilterStep, Flow, Metagraph, Neuron, Plan, Selection, SelectionSource, Snapshot,
    Strategy, StrategyStep, Uid, verdict,
};
use btvep_strategies::Spec;

use crate::KillList;

/// Begins the explanation of a request that is wanted.
pub(super) fn open(exchange: &mut Exchange) {
    exchange.explanation = Some(Box::new(Explanation { config: exchange.config.clone(), ..Explanation::default() }));
}

/// Starts a clock, if the request is to be explained.
pub(super) fn begin(exchange: &Exchange) -> Option<Instant> {
    exchange.explanation.is_some().then(Instant::now)
}

/// Notes what a filter said.
pub(super) fn filter(exchange: &mut Exchange, name: &'static str, flow: &Flow, begun: Option<Instant>) {
    if let (Some(explanation), Some(begun)) = (&mut exchange.explanation, begun) {
        let verdict = flow.as_ref().err().map_or("passed", |rejection| rejection.kind.code()).into();
        let us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        explanation.filters.push(FilterStep { name: name.into(), verdict, us });
    }
}

/// Notes which strategy was named, and by whom.
pub(super) fn strategy(exchange: &mut Exchange, selection: &Selection) {
    let Some(explanation) = &mut exchange.explanation else { return };
    let Selection { name, uids, top_n, quorum, .. } = selection.clone();
    let spec = Spec { name, uids, top_n, quorum };
    let nearer = SelectionSource::ORDER.into_iter().take_while(|source| *source != selection.source);
    explanation.strategy = Some(StrategyStep {
        name: spec.to_string(),
        named_by: selection.source.name().into(),
        empty: nearer.map(|source| source.name().into()).collect(),
        in_parallel: selection.in_parallel,
        first_success: selection.first_success,
        hedge_after_ms: None,
    });
}

/// Whom a strategy chose from.
pub(super) struct Choice<'a> {
    pub(super) strategy: &'a dyn Strategy,
    pub(super) selection: &'a Selection,
    /// As the strategy saw them.
    pub(super) snapshot: &'a Snapshot,
    /// All of them.
    pub(super) metagraph: &'a Metagraph,
    pub(super) kill_list: &'a KillList,
}

/// Notes how long a slow miner is waited for, and who could have been asked: the plan's miners, the banned, the others by incentive, those that do not serve.
pub(super) fn candidates(exchange: &mut Exchange, choice: &Choice<'_>, plan: Option<&Plan>) {
    let Some(explanation) = &mut exchange.explanation else { return };
    let Choice { strategy, selection, snapshot, metagraph, kill_list } = choice;
    let shown = &snapshot.metagraph;
    let planned: Vec<Uid> = plan.map(|plan| plan.stages.concat()).unwrap_or_default();
    if let Some((step, hedge)) = explanation.strategy.as_mut().zip(plan.and_then(|plan| plan.hedge)) {
        step.hedge_after_ms = u64::try_from(hedge.after.as_millis()).ok();
    }
    let known: HashSet<Uid> = planned.iter().copied().collect();
    explanation.consider(planned.iter().filter_map(|uid| Some((shown.neuron(*uid)?, of_plan(snapshot, *uid)))));
    let banned = metagraph.neurons().iter().filter(|neuron| kill_list.is_banned(&neuron.hotkey));
    explanation.consider(banned.map(|neuron| (neuron, verdict::BANNED)));
    let serving = shown.by_incentive().iter().filter_map(|uid| shown.neuron(*uid));
    let others = serving.chain(shown.neurons().iter().filter(|neuron| neuron.axon.is_none()));
    let others = others.filter(|neuron: &&Neuron| !known.contains(&neuron.uid));
    explanation.consider(others.map(|neuron| (neuron, strategy.passes_over(selection, neuron))));
}

fn of_plan(snapshot: &Snapshot, uid: Uid) -> &'static str {
    match snapshot.health.of(&snapshot.metagraph, uid).breaker {
        Breaker::Open => verdict::BREAKER_OPEN,
        Breaker::Closed | Breaker::HalfOpen => verdict::NOT_NEEDED,
    }
}

/// Completes the explanation with what is known at the end.
pub(super) fn end(exchange: &mut Exchange, outcome: &btvep_domain::Outcome) {
    if let Some(explanation) = &mut exchange.explanation {
        explanation.complete(&outcome.attempts, outcome.closed.map(|closed| closed.charged));
    }
}

/// Returns the explanation for a client that asked for it; it is not needed any more.
pub(super) fn take(exchange: &mut Exchange) -> Option<Box<Explanation>> {
    exchange.explanation.take_if(|_| exchange.explain)
}
