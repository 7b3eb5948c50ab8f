//! Plans over several miners: who is asked when, who wins, who is cancelled.

use std::sync::Arc;

use crate::bed::{Bed, Deed, Miner, plan, told, within};
use btvep_domain::{Agreement, Breaker, Comparison, Uid, Until};
use btvep_engine::dispatch::{Failed, Job};
use tokio::sync::Notify;

fn answer(text: &str) -> Deed {
    Deed::Answer(text.to_owned())
}

fn broken() -> Deed {
    Deed::Status(500, "broken".into())
}

#[tokio::test]
async fn the_first_success_wins_and_the_losers_connections_are_closed() {
    let go = Arc::new(Notify::new());
    let slow = Miner::always(Deed::Hang).await;
    let fast = Miner::always(Deed::Gate(Arc::clone(&go), Box::new(answer("fast")))).await;
    let bed = Bed::of(&[&slow, &fast]);
    let job = bed.job("x");
    let asking = async {
        slow.arrived(1).await;
        go.notify_one();
    };
    let (given, ()) = tokio::join!(bed.ask(&job), asking);
    assert_eq!(given.unwrap(), ["fast"]);
    slow.abandoned(1).await;
    let mut told = told(&job);
    told.sort();
    assert_eq!(told, [(0, "cancelled", String::new()), (1, "success", String::new())]);
    assert_eq!(bed.count("cancelled"), 1);
}

#[tokio::test]
async fn a_failure_is_no_success_and_the_next_stage_follows_only_when_all_have_failed() {
    let (one, two) = (Miner::always(broken()).await, Miner::always(answer("")).await);
    let (three, four) = (Miner::always(answer("three")).await, Miner::always(answer("four")).await);
    let bed = Bed::of(&[&one, &two, &three, &four]);
    let job = Job { plan: plan(&[&[0, 1], &[2], &[3]], 2, Until::First), ..bed.job("x") };
    assert_eq!(bed.ask(&job).await.unwrap(), ["three"]);
    let mut told = told(&job);
    told.sort();
    assert_eq!(
        told.iter().map(|(uid, outcome, _)| (*uid, *outcome)).collect::<Vec<_>>(),
        [(0, "status"), (1, "empty"), (2, "success"),]
    );
    assert!(four.seen().is_empty());
}

#[tokio::test]
async fn within_a_stage_at_most_so_many_are_in_flight() {
    let go = Arc::new(Notify::new());
    let gated = Deed::Gate(Arc::clone(&go), Box::new(broken()));
    let miners = [Miner::always(gated.clone()).await, Miner::always(gated).await, Miner::always(answer("last")).await];
    let bed = Bed::of(&[&miners[0], &miners[1], &miners[2]]);
    let job = Job { plan: plan(&[&[0, 1, 2]], 2, Until::First), ..bed.job("x") };
    let steps = async {
        miners[0].arrived(1).await;
        miners[1].arrived(1).await;
        assert_eq!(job.attempts.len(), 2);
        assert!(miners[2].seen().is_empty());
        go.notify_one();
    };
    let (given, ()) = tokio::join!(bed.ask(&job), steps);
    assert_eq!(given.unwrap(), ["last"]);
}

#[tokio::test]
async fn one_at_once_goes_through_the_stage_in_order() {
    let miners = [Miner::always(broken()).await, Miner::always(broken()).await, Miner::always(answer("last")).await];
    let bed = Bed::of(&[&miners[0], &miners[1], &miners[2]]);
    let job = Job { plan: plan(&[&[1, 0, 2]], 1, Until::First), ..bed.job("x") };
    assert_eq!(bed.ask(&job).await.unwrap(), ["last"]);
    assert_eq!(told(&job).iter().map(|(uid, ..)| *uid).collect::<Vec<_>>(), [1, 0, 2]);
}

#[tokio::test]
async fn all_waits_for_everybody_and_answers_in_the_plans_order() {
    let go = Arc::new(Notify::new());
    let first = Miner::always(Deed::Gate(Arc::clone(&go), Box::new(answer("zero")))).await;
    let (second, third) = (Miner::always(broken()).await, Miner::always(answer("two")).await);
    let bed = Bed::of(&[&first, &second, &third]);
    let job = Job { plan: plan(&[&[2, 0], &[1]], 2, Until::All), ..bed.job("x") };
    let steps = async {
        first.arrived(1).await;
        third.arrived(1).await;
        assert!(second.seen().is_empty());
        go.notify_one();
    };
    let (given, ()) = tokio::join!(bed.ask(&job), steps);
    assert_eq!(given.unwrap(), ["two", "zero"]);
    assert_eq!(job.attempts.len(), 3);

    let bed = Bed::of(&[&second]);
    let job = Job { plan: plan(&[&[0]], 1, Until::All), ..bed.job("x") };
    assert!(bed.ask(&job).await.is_none());
    assert_eq!(told(&job), [(0, "status", "broken".to_owned())]);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_every_attempt() {
    let miners = [Miner::always(Deed::Hang).await, Miner::always(Deed::Hang).await];
    let bed = Bed::of(&[&miners[0], &miners[1]]);
    let job = bed.job("x");
    let mut asking = Box::pin(bed.dispatcher.whole(&job));
    tokio::select! {
        _ = &mut asking => panic!("both hang"),
        () = async { for miner in &miners { miner.arrived(1).await } } => {}
    }
    drop(asking);
    for miner in &miners {
        miner.abandoned(1).await;
    }
    assert_eq!(told(&job).iter().map(|(_, outcome, _)| *outcome).collect::<Vec<_>>(), ["cancelled", "cancelled"]);
    assert!(job.attempts.waited_us() > 0);
    let health = within(async { bed.dispatcher.health(&bed.subnet, &bed.metagraph) }).await;
    assert!(health.miners.iter().all(|miner| miner.breaker == Breaker::Closed));
}

#[tokio::test]
async fn an_open_breaker_comes_last_but_is_asked_when_nobody_else_is_left() {
    let (bad, good) = (Miner::always(broken()).await, Miner::always(answer("good")).await);
    let bed = Bed::of(&[&bad, &good]);
    let only_bad = || Job { plan: plan(&[&[0]], 1, Until::First), ..bed.job("x") };
    for _ in 0..5 {
        assert!(bed.ask(&only_bad()).await.is_none());
    }
    let both = Job { plan: plan(&[&[0], &[1]], 1, Until::First), ..bed.job("x") };
    assert_eq!(bed.ask(&both).await.unwrap(), ["good"]);
    assert_eq!((bad.seen().len(), both.attempts.len()), (5, 1), "it was not asked before the good one");
    assert!(bed.ask(&only_bad()).await.is_none());
    assert_eq!(bad.seen().len(), 6, "explicit uids do not fail without an attempt");
    let all = Job { plan: plan(&[&[0, 1]], 2, Until::All), ..bed.job("x") };
    assert_eq!(bed.ask(&all).await.unwrap(), ["good"]);
    assert_eq!(bad.seen().len(), 7);
}

#[tokio::test]
async fn enough_that_agree_are_the_answer_and_the_others_are_cancelled() {
    let (slow, odd) = (Miner::always(Deed::Hang).await, Miner::always(answer("odd")).await);
    let (one, two) = (Miner::always(answer("Same")).await, Miner::always(answer(" same")).await);
    let bed = Bed::of(&[&slow, &odd, &one, &two]);
    let until = |k| Until::Agree { k, by: Comparison::Normalised };
    let job = Job { plan: plan(&[&[0, 1, 2, 3]], 4, until(2)), ..bed.job("x") };
    let given = within(bed.dispatcher.whole(&job)).await.unwrap();
    assert_eq!(given.choices.len(), 1);
    let Agreement { asked, agreed, mut uids } = given.agreement.unwrap();
    uids.sort();
    assert_eq!((asked, agreed, uids), (4, 2, vec![Uid(2), Uid(3)]));
    slow.abandoned(1).await;

    let job = Job { plan: plan(&[&[1, 2, 3, 0]], 1, until(4)), ..bed.job("x") };
    let failed = within(bed.dispatcher.whole(&job)).await.unwrap_err();
    assert_eq!(failed, Failed::Disagreed { asked: 2, agreed: 1, wanted: 4 }, "a third would be asked in vain");
}
