//! One miner asked over a real connection: what it sees, and what becomes of its answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::bed::{Bed, Deed, Miner, Plain, Then, plan, told, within};
use btvep_domain::{AttemptOutcome, Deadlines, Until};
use btvep_engine::Upstream;
use btvep_engine::dispatch::{AddressPolicy, Party};
use tokio::sync::Notify;

fn answer(text: &str) -> Deed {
    Deed::Answer(text.to_owned())
}

#[tokio::test]
async fn a_whole_answer_and_its_record() {
    let miner = Miner::always(answer("hello")).await;
    let bed = Bed::of(&[&miner]);
    let job = bed.job("say it");
    let given = within(bed.dispatcher.whole(&job)).await.unwrap();
    let [choice] = &given.choices[..] else { panic!("one choice") };
    assert_eq!((choice.content.as_str(), &*choice.finish_reason), ("hello", "stop"));
    assert_eq!(choice.uid, Some(bed.metagraph.neurons()[0].uid));
    assert_eq!(choice.hotkey, Some(bed.metagraph.neurons()[0].hotkey));

    assert_eq!(job.attempts.len(), 1);
    let reports = job.attempts.take();
    assert!(matches!(reports[..], [ref only] if matches!(only.outcome, AttemptOutcome::Success)));
    assert_eq!(reports[0].status, Some(200));
    let [seen] = &miner.seen()[..] else { panic!("one request") };
    assert_eq!((seen.text.as_str(), seen.stream), ("say it", false));
    assert_eq!(bed.count("success"), 1);
}

#[tokio::test]
async fn a_stale_connection_is_left_for_a_fresh_one_and_the_prompt_signed_anew() {
    let miner = Miner::start(|_, before| if before == 1 { Deed::Die } else { answer("yes") }).await;
    let bed = Bed::of(&[&miner]);
    assert!(bed.ask(&bed.job("one")).await.is_some());
    let job = bed.job("two");
    assert_eq!(bed.ask(&job).await.unwrap(), ["yes"]);
    assert_eq!(told(&job), [(0, "success", String::new())], "one attempt, not two");

    let seen = miner.seen();
    assert_eq!(seen.iter().map(|one| one.connection).collect::<Vec<_>>(), [0, 0, 1]);
    assert!(seen[1].nonce < seen[2].nonce && seen[1].uuid != seen[2].uuid, "signed anew");
    assert_eq!(seen[1].lane, seen[2].lane);
    assert_eq!(bed.count("stale_connection"), 1);
}

#[tokio::test]
async fn a_fresh_connection_that_dies_is_the_miners_failure() {
    let miner = Miner::always(Deed::Die).await;
    let bed = Bed::of(&[&miner]);
    let job = bed.job("one");
    assert!(bed.ask(&job).await.is_none());
    assert_eq!(told(&job), [(0, "disconnected", "the connection died before the answer".to_owned())]);
    assert_eq!(miner.seen().len(), 1);
}

#[tokio::test]
async fn a_reused_connection_that_dies_within_the_head_is_not_asked_again() {
    let deed = |_: &_, before| if before == 0 { answer("yes") } else { Deed::Raw(b"HTTP/1.1 2") };
    let miner = Miner::start(deed).await;
    let bed = Bed::of(&[&miner]);
    assert!(bed.ask(&bed.job("one")).await.is_some());
    let job = bed.job("two");
    assert!(bed.ask(&job).await.is_none());
    assert_eq!(told(&job)[0].1, "disconnected");
    assert_eq!(miner.seen().len(), 2);
}

#[tokio::test]
async fn retries_are_a_fifth_of_the_attempts() {
    let miner = Miner::start(|seen, _| {
        let text = if seen.reading == 0 { "reread" } else { "no" };
        Deed::Status(500, text.into())
    })
    .await;
    let bed = Bed::of(&[&miner]);
    for _ in 0..31 {
        assert!(bed.ask(&bed.job("one")).await.is_none());
    }
    // Ten were saved up when the first was asked, the others have earned a fifth each.
    assert_eq!((bed.count("reread"), bed.count("over_budget")), (16, 15));
    assert_eq!(miner.seen().len(), 31 + 16);
}

#[tokio::test]
async fn a_reading_is_tried_and_remembered_only_from_a_success() {
    let miner = Miner::start(|seen, _| match seen.reading {
        1 => answer("mine"),
        _ => Deed::Status(500, "reread".into()),
    })
    .await;
    let bed = Bed::of(&[&miner]);
    for _ in 0..2 {
        assert_eq!(bed.ask(&bed.job("ö")).await.unwrap(), ["mine"]);
    }
    let seen = miner.seen();
    assert_eq!(seen.iter().map(|one| one.reading).collect::<Vec<_>>(), [0, 1, 1]);
    assert!(seen.is_sorted_by(|a, b| a.nonce < b.nonce), "each signed anew");

    let stubborn = Miner::always(Deed::Status(500, "reread".into())).await;
    let bed = Bed::of(&[&stubborn]);
    for _ in 0..2 {
        let job = bed.job("ö");
        assert!(bed.ask(&job).await.is_none());
        assert_eq!(told(&job), [(0, "status", "reread".to_owned())]);
    }
    assert_eq!(stubborn.seen().iter().map(|one| one.reading).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
}

#[tokio::test]
async fn lanes_carry_one_request_each_with_rising_nonces() {
    let gate = Arc::new(Notify::new());
    let gated = Deed::Gate(Arc::clone(&gate), Box::new(answer("yes")));
    let miner = Miner::always(gated).await;
    let mut bed = Bed::of(&[&miner]);
    bed.subnet.lanes = 2;
    let bed = Arc::new(bed);
    let asking: Vec<_> = (0..12)
        .map(|_| {
            let bed = Arc::clone(&bed);
            tokio::spawn(async move { bed.ask(&bed.job("x")).await })
        })
        .collect();
    for served in 0..12 {
        // The scripted miner itself refuses two in flight on a lane.
        miner.arrived((served + 2).min(12)).await;
        gate.notify_one();
    }
    for asked in asking {
        assert!(asked.await.unwrap().is_some());
    }
    assert_eq!(miner.most_at_once(), 2);
    let mut lanes: HashMap<String, Vec<u64>> = HashMap::new();
    for seen in miner.seen() {
        lanes.entry(seen.lane).or_default().push(seen.nonce);
    }
    assert_eq!(lanes.len(), 2);
    assert!(lanes.values().all(|nonces| nonces.is_sorted_by(|a, b| a < b)));
}

#[tokio::test]
async fn who_finds_no_lane_in_time_is_told_so_and_the_miners_health_is_not_touched() {
    let miner = Miner::always(Deed::Hang).await;
    let mut bed = Bed::of(&[&miner]);
    bed.subnet.lanes = 1;
    let first = bed.job("first");
    let mut holding = Box::pin(bed.dispatcher.whole(&first));
    tokio::select! {
        _ = &mut holding => panic!("it hangs"),
        () = miner.arrived(1) => {}
    }
    bed.subnet.deadlines.first_token = Duration::from_millis(30);
    let second = bed.job("second");
    tokio::select! {
        _ = &mut holding => panic!("it hangs"),
        answer = bed.ask(&second) => assert!(answer.is_none()),
    }
    let told = told(&second);
    assert_eq!((told[0].1, miner.seen().len()), ("unavailable", 1));
    drop(holding);
    miner.abandoned(1).await;
}

#[tokio::test]
async fn deadlines_end_an_attempt_in_the_originals_words() {
    let silent = Miner::always(Deed::Hang).await;
    let mut bed = Bed::of(&[&silent]);
    bed.subnet.deadlines.total = Duration::from_millis(50);
    let job = bed.job("x");
    assert!(bed.ask(&job).await.is_none());
    assert_eq!(told(&job), [(0, "timeout", "Timedout after 0.05 seconds.".to_owned())]);
    silent.abandoned(1).await;

    bed.subnet.deadlines.total = Duration::from_secs(15);
    let job = btvep_engine::dispatch::Job { timeout: Some(Duration::from_millis(40)), ..bed.job("x") };
    assert!(bed.ask(&job).await.is_none());
    assert_eq!(told(&job)[0].2, "Timedout after 0.04 seconds.");

    let full = tokio::net::TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = full.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    // Nobody accepts: once the queue is full, a connection is neither taken nor refused.
    let mut queue = Vec::new();
    while let Ok(taken) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
    {
        queue.push(taken.unwrap());
    }
    let mut bed = Bed::new(&[address]);
    bed.subnet.deadlines.connect = Duration::from_millis(30);
    let job = bed.job("x");
    assert!(bed.ask(&job).await.is_none());
    assert_eq!(told(&job), [(0, "timeout", "Timedout after 0.03 seconds.".to_owned())]);
}

#[tokio::test]
async fn answers_that_are_none_are_failures() {
    let long = "x".repeat(1_001);
    let cases: Vec<(Deed, &str, &str)> = vec![
        (answer(""), "empty", "Empty response"),
        (Deed::Answer(long.clone()), "too_large", "the answer is larger than 1000 bytes"),
        (Deed::Status(500, long), "too_large", "the answer is larger than 1000 bytes"),
        (Deed::Status(418, "teapot".into()), "status", "teapot"),
        (Deed::Status(302, "elsewhere".into()), "status", "elsewhere"),
        (Deed::Raw(b"SSH-2.0-OpenSSH\r\n"), "malformed", "the answer is not HTTP, or its head is too large"),
        (Deed::Pieces(vec!["half"], Then::Cut), "disconnected", "broke off"),
    ];
    for (deed, kind, message) in cases {
        let miner = Miner::always(deed).await;
        let bed = Bed::of(&[&miner]);
        let job = bed.job("x");
        assert!(bed.ask(&job).await.is_none());
        assert_eq!(told(&job), [(0, kind, message.to_owned())]);
        assert_eq!(bed.count(kind), 1);
    }
}

#[tokio::test]
async fn nobody_is_called_where_nobody_listens_or_may_be_called() {
    let miner = Miner::always(answer("yes")).await;
    let mut bed = Bed::of(&[&miner]);
    bed.subnet.addresses = AddressPolicy::Global;
    let job = bed.job("x");
    assert!(bed.ask(&job).await.is_none());
    assert_eq!(told(&job)[0].1, "address_not_allowed");
    assert!(miner.seen().is_empty());

    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let bed = Bed::new(&[closed]);
    let job = bed.job("x");
    assert!(bed.ask(&job).await.is_none());
    assert_eq!(told(&job), [(0, "unreachable", format!("Service at {closed}/ask unavailable."))]);
}

#[tokio::test]
async fn a_prompt_that_cannot_be_encoded_is_not_the_miners_fault() {
    let miner = Miner::always(answer("yes")).await;
    let bed = Bed::of(&[&miner]);
    for _ in 0..6 {
        let job = bed.job("unspeakable");
        assert!(bed.ask(&job).await.is_none());
        assert_eq!(told(&job), [(0, "not_encoded", "the miners of this model take text only".to_owned())]);
    }
    assert_eq!(bed.ask(&bed.job("hello")).await.unwrap(), ["yes"]);
}

#[tokio::test]
async fn an_upstream_is_asked_without_plan_lanes_and_nonces() {
    let miner = Miner::always(answer("from above")).await;
    let bed = Bed::of(&[&miner]);
    let upstream = Upstream {
        name: "above".into(),
        origin: format!("http://localhost:{}", miner.address.port()),
        protocol: Arc::new(Plain { streams: true }),
        deadlines: Deadlines::default(),
        answer_bytes: 100,
    };
    let mut job = bed.job("x");
    job.party = Party::Upstream(Arc::new(upstream));
    job.plan = plan(&[], 1, Until::First);
    job.snapshot = None;
    assert_eq!(bed.ask(&job).await.unwrap(), ["from above"]);
    let [report] = &job.attempts.take()[..] else { panic!("one attempt") };
    assert_eq!((report.uid, report.upstream.as_deref()), (None, Some("above")));
    assert_eq!(miner.seen()[0].lane, "");
}

#[tokio::test]
async fn a_miner_that_closes_after_each_answer_is_served() {
    let miner = Miner::always(Deed::AnswerOnce("yes".into())).await;
    let bed = Bed::of(&[&miner]);
    for _ in 0..100 {
        assert_eq!(bed.ask(&bed.job("x")).await.unwrap(), ["yes"]);
    }
    let uuids: std::collections::HashSet<_> = miner.seen().into_iter().map(|seen| seen.uuid).collect();
    assert_eq!(uuids.len(), miner.seen().len(), "nothing was sent twice");
}

#[tokio::test]
async fn an_ipv6_miner_is_called() {
    // Where loopback has no IPv6 there is nothing to prove.
    let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else { return };
    let miner = Miner::on(listener, |_, _| answer("six"));
    let bed = Bed::of(&[&miner]);
    assert_eq!(bed.ask(&bed.job("x")).await.unwrap(), ["six"]);
}

#[tokio::test]
async fn connections_are_kept() {
    let miner = Miner::always(answer("yes")).await;
    let bed = Bed::of(&[&miner]);
    for _ in 0..5 {
        assert!(bed.ask(&bed.job("x")).await.is_some());
    }
    assert!(miner.seen().iter().all(|seen| seen.connection == 0));
}
