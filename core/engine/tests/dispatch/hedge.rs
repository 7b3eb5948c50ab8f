//! A miner beside a slow one: when it is asked, who wins, and how often it may.

use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{Hedge, Plan, Uid, Until};
use btvep_engine::dispatch::Job;
use tokio::sync::Notify;

use crate::bed::{Bed, Deed, Miner, Then, plan, told, within};

const NOW: Duration = Duration::from_millis(1);
/// Longer than a test takes.
const NEVER: Duration = Duration::from_hours(1);

fn answer(text: &str) -> Deed {
    Deed::Answer(text.to_owned())
}

/// Returns a job that asks the bed's miners in their order, one at once.
fn job(bed: &Bed, after: Duration, percent: u8) -> Job {
    let all: Vec<u16> = bed.metagraph.neurons().iter().map(|neuron| neuron.uid.0).collect();
    let plan = Plan { hedge: Some(Hedge { after, percent }), ..plan(&[&all], 1, Until::First) };
    Job { plan, ..bed.job("x") }
}

fn outcomes(job: &Job) -> Vec<(u16, &'static str)> {
    let mut outcomes: Vec<_> = told(job).into_iter().map(|(uid, outcome, _)| (uid, outcome)).collect();
    outcomes.sort_unstable();
    outcomes
}

#[tokio::test]
async fn a_slow_miner_gets_one_beside_it_and_the_loser_is_cancelled() {
    let (slow, fast) = (Miner::always(Deed::Hang).await, Miner::always(answer("fast")).await);
    let bed = Bed::of(&[&slow, &fast]);
    let job = job(&bed, NOW, 5);
    assert_eq!(bed.ask(&job).await.unwrap(), ["fast"]);
    slow.abandoned(1).await;
    assert_eq!(outcomes(&job), [(0, "cancelled"), (1, "success")]);
    assert_eq!((bed.count("sent"), bed.count("over_budget")), (1, 0));
}

#[tokio::test]
async fn the_slow_miner_may_still_win() {
    let go = Arc::new(Notify::new());
    let slow = Miner::always(Deed::Gate(Arc::clone(&go), Box::new(answer("slow")))).await;
    let slower = Miner::always(Deed::Hang).await;
    let bed = Bed::of(&[&slow, &slower]);
    let job = job(&bed, NOW, 5);
    let steps = async {
        slower.arrived(1).await;
        go.notify_one();
    };
    let (given, ()) = tokio::join!(bed.ask(&job), steps);
    assert_eq!(given.unwrap(), ["slow"]);
    slower.abandoned(1).await;
    assert_eq!(outcomes(&job), [(0, "success"), (1, "cancelled")]);
}

#[tokio::test]
async fn a_stream_is_hedged_until_its_first_token_and_not_after() {
    let stalled = Miner::always(Deed::Pieces(vec![], Then::Hang)).await;
    let begun = Miner::always(Deed::Pieces(vec!["begun"], Then::Hang)).await;
    let third = Miner::always(answer("third")).await;
    let bed = Bed::of(&[&stalled, &begun, &third]);
    let job = job(&bed, NOW, 5);
    let mut stream = within(bed.dispatcher.stream(&job)).await.unwrap();
    assert_eq!(within(stream.next()).await.unwrap().unwrap().content, "begun");
    stalled.abandoned(1).await;
    assert_eq!(stream.uid(), Some(Uid(1)));
    drop(stream);
    begun.abandoned(1).await;
    assert!(third.seen().is_empty(), "there is one hedge in a plan");
    assert_eq!(bed.count("sent"), 1);
}

#[tokio::test]
async fn a_fast_miner_is_asked_alone() {
    let (fast, other) = (Miner::always(answer("fast")).await, Miner::always(answer("other")).await);
    let bed = Bed::of(&[&fast, &other]);
    assert_eq!(bed.ask(&job(&bed, NEVER, 100)).await.unwrap(), ["fast"]);
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn the_next_follows_a_failure_at_once_and_without_budget() {
    let broken = Deed::Status(500, "broken".into());
    let miners = [Miner::always(broken).await, Miner::always(answer("")).await, Miner::always(answer("last")).await];
    let bed = Bed::of(&[&miners[0], &miners[1], &miners[2]]);
    let job = job(&bed, NEVER, 5);
    assert_eq!(bed.ask(&job).await.unwrap(), ["last"]);
    assert_eq!(outcomes(&job), [(0, "status"), (1, "empty"), (2, "success")]);
    assert_eq!(bed.count("sent"), 0);
}

#[tokio::test]
async fn where_nobody_is_left_to_be_asked_nothing_is_spent() {
    let go = Arc::new(Notify::new());
    let only = Miner::always(Deed::Gate(Arc::clone(&go), Box::new(answer("only")))).await;
    let slow = Miner::always(Deed::Hang).await;
    let fast = Miner::always(answer("fast")).await;
    let alone = Bed::of(&[&only]);
    for _ in 0..11 {
        let job = Job { timeout: Some(Duration::from_millis(30)), ..job(&alone, NOW, 1) };
        assert!(alone.ask(&job).await.is_none());
    }
    assert_eq!((alone.count("sent"), alone.count("over_budget")), (0, 0));
    go.notify_one();
    let both = Bed::of(&[&slow, &fast]);
    assert_eq!(both.ask(&job(&both, NOW, 1)).await.unwrap(), ["fast"]);
}

#[tokio::test]
async fn hedges_are_a_share_of_the_requests_after_what_was_saved() {
    let (slow, fast) = (Miner::always(Deed::Hang).await, Miner::always(answer("fast")).await);
    let bed = Bed::of(&[&slow, &fast]);
    let requests = 100;
    for _ in 0..requests {
        let job = job(&bed, NOW, 10);
        let refused = bed.count("over_budget");
        tokio::select! {
            given = bed.ask(&job) => assert_eq!(given.unwrap(), ["fast"]),
            () = async { while bed.count("over_budget") == refused { tokio::task::yield_now().await } } => {}
        }
    }
    let (sent, refused) = (bed.count("sent"), bed.count("over_budget"));
    assert_eq!((sent, sent + refused), (19, requests), "ten saved, and ten percent of those after the first");
}

#[tokio::test]
async fn how_long_answers_took_is_known_to_strategies() {
    let miner = Miner::always(answer("whole")).await;
    let streaming = Miner::always(Deed::Pieces(vec!["token"], Then::End)).await;
    let bed = Bed::of(&[&miner, &streaming]);
    let one = |uid| Job { plan: plan(&[&[uid]], 1, Until::First), ..bed.job("x") };
    for _ in 0..20 {
        bed.ask(&one(0)).await.unwrap();
    }
    let health = known(&bed).await;
    assert!(health.whole.quantile(0.95).unwrap() < Duration::from_secs(20));
    assert!(health.first_token.quantile(0.95).is_none(), "streams are counted apart");
    for _ in 0..20 {
        let mut stream = within(bed.dispatcher.stream(&one(1))).await.unwrap();
        while within(stream.next()).await.is_some() {}
    }
    assert!(known(&bed).await.first_token.quantile(0.95).is_some());
}

/// Returns the health once more, when that of before is too old.
async fn known(bed: &Bed) -> Arc<btvep_domain::Health> {
    let before = bed.dispatcher.health(&bed.subnet, &bed.metagraph);
    within(async {
        loop {
            let now = bed.dispatcher.health(&bed.subnet, &bed.metagraph);
            if !Arc::ptr_eq(&before, &now) {
                return now;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}
