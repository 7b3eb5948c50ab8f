//! Streams: fail-over before the first token, and what ends one after it.

use std::sync::Arc;
use std::time::Duration;

use crate::bed::{Bed, Deed, Miner, Plain, Then, plan, told, within};
use btvep_domain::{FailureKind, Uid, Until};
use btvep_engine::dispatch::{Failed, Job, MinerStream};

async fn rest(stream: &mut MinerStream) -> Result<String, FailureKind> {
    let mut text = String::new();
    while let Some(next) = within(stream.next()).await {
        text += &next.map_err(|failure| failure.kind)?.content;
    }
    Ok(text)
}

fn pieces(pieces: &[&'static str], then: Then) -> Deed {
    Deed::Pieces(pieces.to_vec(), then)
}

#[tokio::test]
async fn a_stream_comes_whole_and_its_connection_serves_again() {
    let miner = Miner::always(pieces(&["one ", "two"], Then::End)).await;
    let bed = Bed::of(&[&miner]);
    for _ in 0..3 {
        let job = bed.job("x");
        let mut stream = within(bed.dispatcher.stream(&job)).await.unwrap();
        assert_eq!(stream.uid(), Some(Uid(0)));
        assert_eq!(stream.hotkey(), Some(bed.metagraph.neurons()[0].hotkey));
        assert_eq!(rest(&mut stream).await.unwrap(), "one two");
        assert!(stream.next().await.is_none());
        assert_eq!(told(&job), [(0, "success", String::new())]);
    }
    assert!(miner.seen().iter().all(|seen| seen.stream && seen.connection == 0));
}

#[tokio::test]
async fn the_protocols_own_end_is_enough_and_the_tail_is_read_for_the_next_request() {
    let ended = Miner::always(pieces(&["all", "[DONE]"], Then::End)).await;
    let bed = Bed::of(&[&ended]);
    for _ in 0..3 {
        let mut stream = within(bed.dispatcher.stream(&bed.job("x"))).await.unwrap();
        assert_eq!(rest(&mut stream).await.unwrap(), "all");
    }
    let open = Miner::always(pieces(&["all", "[DONE]"], Then::Hang)).await;
    let bed = Bed::of(&[&open]);
    let job = bed.job("x");
    let mut stream = within(bed.dispatcher.stream(&job)).await.unwrap();
    assert_eq!(rest(&mut stream).await.unwrap(), "all");
    assert_eq!(told(&job), [(0, "success", String::new())]);
    open.abandoned(1).await;
}

#[tokio::test]
async fn a_stalled_leader_blocks_nobody() {
    let stalled = Miner::always(pieces(&[], Then::Hang)).await;
    let steady = Miner::always(pieces(&["steady"], Then::End)).await;
    let bed = Bed::of(&[&stalled, &steady]);
    let job = bed.job("x");
    let mut stream = within(bed.dispatcher.stream(&job)).await.unwrap();
    assert_eq!((stream.uid(), rest(&mut stream).await.unwrap()), (Some(Uid(1)), "steady".to_owned()));
    let mut told = told(&job);
    told.sort();
    assert_eq!(told, [(0, "cancelled", String::new()), (1, "success", String::new())]);
}

#[tokio::test]
async fn another_takes_over_until_the_first_token() {
    let bad = [
        Miner::always(pieces(&[], Then::End)).await,
        Miner::always(pieces(&[], Then::Cut)).await,
        Miner::always(Deed::Status(503, "busy".into())).await,
        Miner::always(pieces(&[], Then::Hang)).await,
    ];
    let good = Miner::always(pieces(&["good"], Then::End)).await;
    let mut bed = Bed::of(&[&bad[0], &bad[1], &bad[2], &bad[3], &good]);
    bed.subnet.deadlines.first_token = Duration::from_millis(300);
    let job = Job { plan: plan(&[&[0], &[1], &[2], &[3], &[4]], 1, Until::All), ..bed.job("x") };
    let mut stream = within(bed.dispatcher.stream(&job)).await.unwrap();
    assert_eq!(rest(&mut stream).await.unwrap(), "good");
    bad[3].abandoned(1).await;
    let outcomes: Vec<_> = told(&job).into_iter().map(|(_, outcome, _)| outcome).collect();
    assert_eq!(outcomes, ["empty", "disconnected", "status", "timeout", "success"]);
}

#[tokio::test]
async fn a_stream_that_breaks_after_its_first_token_is_partial() {
    for (then, kind) in [(Then::Cut, FailureKind::Disconnected), (Then::Hang, FailureKind::Timeout)] {
        let miner = Miner::always(pieces(&["begun"], then)).await;
        let mut bed = Bed::of(&[&miner]);
        bed.subnet.deadlines.idle = Duration::from_millis(100);
        let job = bed.job("x");
        let mut stream = within(bed.dispatcher.stream(&job)).await.unwrap();
        assert_eq!(within(stream.next()).await.unwrap().unwrap().content, "begun");
        assert_eq!(within(stream.next()).await.unwrap().unwrap_err().kind, kind);
        assert!(stream.next().await.is_none(), "nothing comes after an error");
        assert_eq!(told(&job)[0].1, "partial");
        assert_eq!(bed.count("partial"), 1);
    }
}

#[tokio::test]
async fn a_stream_is_bounded() {
    let big: &'static str = Box::leak("y".repeat(600).into_boxed_str());
    let miner = Miner::always(pieces(&[big, big], Then::Hang)).await;
    let bed = Bed::of(&[&miner]);
    let mut stream = within(bed.dispatcher.stream(&bed.job("x"))).await.unwrap();
    assert_eq!(rest(&mut stream).await.unwrap_err(), FailureKind::TooLarge);
    miner.abandoned(1).await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_cancelled_and_its_connection_closed() {
    let miner = Miner::always(pieces(&["begun"], Then::Hang)).await;
    let bed = Bed::of(&[&miner]);
    let job = bed.job("x");
    drop(within(bed.dispatcher.stream(&job)).await.unwrap());
    miner.abandoned(1).await;
    assert_eq!(told(&job), [(0, "cancelled", String::new())]);
}

#[tokio::test]
async fn a_miner_that_cannot_stream_gives_its_whole_answer_as_one() {
    let miner = Miner::always(Deed::Answer("all of it".into())).await;
    let mut bed = Bed::of(&[&miner]);
    bed.subnet.protocol = Arc::new(Plain { streams: false });
    let mut stream = within(bed.dispatcher.stream(&bed.job("x"))).await.unwrap();
    assert_eq!(rest(&mut stream).await.unwrap(), "all of it");
    assert!(!miner.seen()[0].stream);
}

#[tokio::test]
async fn a_miner_that_streams_is_collected_when_a_whole_answer_is_wanted() {
    let miner = Miner::always(pieces(&["one ", "two"], Then::End)).await;
    let bed = Bed::of(&[&miner]);
    assert_eq!(bed.ask(&bed.job("x")).await.unwrap(), ["one two"]);
    assert!(!miner.seen()[0].stream);
}

#[tokio::test]
async fn when_all_fail_each_has_its_reason() {
    let miners = [Miner::always(Deed::Die).await, Miner::always(Deed::Status(500, "no".into())).await];
    let bed = Bed::of(&[&miners[0], &miners[1]]);
    let job = bed.job("x");
    assert_eq!(within(bed.dispatcher.stream(&job)).await.unwrap_err(), Failed::Nobody);
    let mut told = told(&job);
    told.sort();
    assert_eq!(
        told.iter().map(|(uid, kind, _)| (*uid, *kind)).collect::<Vec<_>>(),
        [(0, "disconnected"), (1, "status")]
    );
}
