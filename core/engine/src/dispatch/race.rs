//! Walks a plan.

use std::future::Future;

use btvep_domain::{Answer, Plan, Uid, Usage};
use futures_util::StreamExt;
use futures_util::future::OptionFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::collect::Collected;
use super::errand::{Errand, Errands};
use super::hedge::{Hedging, slow};

/// Asks the plan's miners, stage after stage, until one succeeds; the losers are dropped, which cancels them.
pub(super) async fn first<T, F>(plan: &Plan, errands: &Errands, ask: impl Fn(Errand) -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let mut won = None;
    walk(plan, errands, ask, |one| {
        won = one;
        won.is_some()
    })
    .await;
    won
}

/// Asks the plan's miners, stage after stage, until `enough` says so of what one gave.
///
/// Miners whose breaker is open come last: a plan that names nobody else is tried all the same.
pub(super) async fn walk<T, F>(
    plan: &Plan,
    errands: &Errands,
    ask: impl Fn(Errand) -> F,
    mut enough: impl FnMut(Option<T>) -> bool,
) where
    F: Future<Output = Option<T>>,
{
    let mut hedging = Hedging::new(plan, errands);
    let mut put_off: Vec<Uid> = Vec::new();
    for stage in &plan.stages {
        let asked = stage.iter().filter_map(|&uid| {
            let errand = errands.to(uid);
            if errand.is_none() {
                put_off.push(uid);
            }
            errand
        });
        if each(asked.map(&ask), plan.at_once.min(size(stage)), &mut hedging, &mut enough).await || errands.is_late() {
            return;
        }
    }
    let anyway = put_off.iter().map(|&uid| ask(errands.to_anyway(uid)));
    each(anyway, plan.at_once, &mut hedging, &mut enough).await;
}

/// Asks every miner of the plan and returns what they gave, in the plan's order; none when nobody gave anything.
pub(super) async fn all<F>(plan: &Plan, errands: &Errands, ask: impl Fn(Errand) -> F) -> Option<Answer>
where
    F: Future<Output = Option<Collected>>,
{
    let mut given: Vec<(usize, Collected)> = Vec::with_capacity(plan.miners());
    let mut place = 0;
    for stage in &plan.stages {
        let asked = stage.iter().map(|&uid| {
            place += 1;
            let (place, asking) = (place, ask(errands.to_anyway(uid)));
            async move { Some((place, asking.await?)) }
        });
        each(asked, plan.at_once, &mut None, |one| {
            given.extend(one);
            false
        })
        .await;
        if errands.is_late() {
            break;
        }
    }
    given.sort_by_key(|(place, _)| *place);
    let mut answer = Answer::default();
    for (_, Collected { choices, usage }) in given {
        answer.choices.extend(choices);
        answer.usage = add(answer.usage, usage);
    }
    (!answer.choices.is_empty()).then_some(answer)
}

fn add(sum: Option<Usage>, one: Option<Usage>) -> Option<Usage> {
    match (sum, one) {
        (Some(sum), Some(one)) => Some(sum.plus(one)),
        (sum, one) => sum.or(one),
    }
}

/// Runs futures, at most so many at once and, when they are slow, one beside them, until `enough` says so of one's
/// result; returns whether it did.
async fn each<F: Future>(
    mut waiting: impl Iterator<Item = F>,
    at_once: u16,
    hedging: &mut Option<Hedging<'_>>,
    mut enough: impl FnMut(F::Output) -> bool,
) -> bool {
    if at_once == 1 && hedging.is_none() {
        // A name would hold the future's place a second time.
        while let Some(ended) = OptionFuture::from(waiting.next()).await {
            if enough(ended) {
                return true;
            }
        }
        return false;
    }
    let mut running: FuturesUnordered<F> = FuturesUnordered::new();
    let mut newest = Instant::now();
    loop {
        while running.len() < usize::from(at_once.max(1)) {
            let Some(next) = waiting.next() else { break };
            running.push(next);
            newest = Instant::now();
        }
        let ended = tokio::select! {
            biased;
            ended = running.next() => ended,
            () = slow(hedging.as_ref(), newest) => {
                let beside = hedging.take();
                running.extend(beside.and_then(|hedging| hedging.beside(&mut waiting)));
                continue;
            }
        };
        match ended {
            Some(result) => {
                if enough(result) {
                    return true;
                }
            }
            None => return false,
        }
    }
}

fn size(stage: &[Uid]) -> u16 {
    u16::try_from(stage.len()).unwrap_or(u16::MAX).max(1)
}
