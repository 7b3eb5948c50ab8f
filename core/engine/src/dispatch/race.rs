//! Walks a plan.

use std::future::Future;

use btvep_domain::{Answer, Plan, Uid, Usage};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::collect::Collected;
use super::errand::{Errand, Errands};

/// Asks the plan's miners, stage after stage, until one succeeds; the losers are dropped, which cancels them.
///
/// Miners whose breaker is open come last: a plan that names nobody else is tried all the same.
pub(super) async fn first<T, F>(plan: &Plan, errands: &Errands, ask: impl Fn(Errand) -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let mut put_off: Vec<Uid> = Vec::new();
    for stage in &plan.stages {
        let asked = stage.iter().filter_map(|&uid| {
            let errand = errands.to(uid);
            if errand.is_none() {
                put_off.push(uid);
            }
            errand
        });
        let won = win(asked, plan.at_once.min(size(stage)), &ask).await;
        if won.is_some() || errands.is_late() {
            return won;
        }
    }
    win(put_off.iter().map(|&uid| errands.to_anyway(uid)), plan.at_once, &ask).await
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
        each(asked, plan.at_once, |one| {
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

async fn win<T, F: Future<Output = Option<T>>>(
    errands: impl Iterator<Item = Errand>,
    at_once: u16,
    ask: &impl Fn(Errand) -> F,
) -> Option<T> {
    if at_once == 1 {
        for errand in errands {
            let won = ask(errand).await;
            if won.is_some() {
                return won;
            }
        }
        return None;
    }
    let mut won = None;
    each(errands.map(ask), at_once, |one| {
        won = one;
        won.is_some()
    })
    .await;
    won
}

/// Runs futures, at most so many at once, until `enough` says so of one's result.
async fn each<F: Future>(futures: impl Iterator<Item = F>, at_once: u16, mut enough: impl FnMut(F::Output) -> bool) {
    let mut waiting = futures;
    let mut running: FuturesUnordered<F> = FuturesUnordered::new();
    loop {
        while running.len() < usize::from(at_once.max(1)) {
            let Some(next) = waiting.next() else { break };
            running.push(next);
        }
        match running.next().await {
            Some(result) => {
                if enough(result) {
                    return;
                }
            }
            None => return,
        }
    }
}

fn size(stage: &[Uid]) -> u16 {
    u16::try_from(stage.len()).unwrap_or(u16::MAX).max(1)
}
