//! More than the server takes: who is turned away, how, and that nothing stays behind.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests do"
)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use btvep_engine::{OverloadConfig, Reply};
use support::{Running, attribution, chat, prompt, soon, stream_prompt, whole};

/// One prompt at a time, and bodies of 2,000 bytes.
fn one() -> OverloadConfig {
    OverloadConfig { requests: 1, bytes: 8_000, ..OverloadConfig::default() }
}

/// Waits until nothing is in flight, and nothing counted.
async fn empties(running: &Running) {
    soon(async {
        while running.load.requests() + running.load.bytes() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn head(length: usize) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn what_is_too_much_is_refused_at_once_and_the_connection_kept() {
    let mut running = Running::under(one(), |_| ());
    let mut first = running.connect().await;
    first.send(chat(&prompt("held"))).await;
    let (incoming, reply) = running.next().await;
    let mut second = running.connect().await;
    let refused = second.ask(chat(&prompt("echo"))).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["error"]["code"], "overloaded");
    assert_eq!(refused.header("x-should-retry"), Some("true"));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(running.metric("btvep_shed_total{reason=\"requests\"}").await, 1);

    let attribution = attribution(&incoming);
    drop(incoming);
    reply.send(Reply::Whole { answer: whole("late"), attribution }).unwrap();
    assert_eq!(first.response().await.status, 200);
    empties(&running).await;
    // The same connection; it waits as long as it was told to.
    assert_eq!(second.ask(chat(&prompt("echo"))).await.status, 200);
}

#[tokio::test]
async fn who_comes_back_too_early_waits_and_nobody_else_does() {
    let mut running = Running::under(one(), |_| ());
    let mut first = running.connect().await;
    first.send(chat(&prompt("held"))).await;
    let held = running.next().await;
    let mut second = running.connect().await;
    let refused = second.ask(chat(&prompt("echo"))).await;
    let (told, since) = (refused.header("retry-after").unwrap().parse().unwrap(), Instant::now());
    drop(held);
    assert_eq!(first.response().await.status, 500);
    empties(&running).await;
    assert_eq!(running.connect().await.ask(chat(&prompt("echo"))).await.status, 200);
    assert_eq!(second.ask(chat(&prompt("echo"))).await.status, 200);
    assert!(since.elapsed() + Duration::from_millis(500) > Duration::from_secs(told));
}

#[tokio::test]
async fn a_body_that_finds_no_place_is_not_waited_for() {
    let mut running = Running::under(one(), |_| ());
    let mut first = running.connect().await;
    first.send(chat(&prompt("held"))).await;
    let _held = running.next().await;
    // Neither of these ever comes whole.
    for length in [1_000, 100_000] {
        let mut client = running.connect().await;
        client.send(head(length) + "{").await;
        assert_eq!(client.response().await.status, 503);
    }
}

#[tokio::test]
async fn bodies_take_memory_from_their_head_on() {
    let running = Running::under(OverloadConfig { requests: 100, ..one() }, |_| ());
    let mut slow = running.connect().await;
    slow.send(head(1_900) + "{").await;
    soon(async {
        while running.load.bytes() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut other = running.connect().await;
    let refused = other.ask(chat(&prompt(&"echo".repeat(100)))).await;
    assert_eq!(refused.status, 503);
    drop(slow);
    empties(&running).await;
    assert_eq!(running.connect().await.ask(chat(&prompt("echo"))).await.status, 200);
}

#[tokio::test]
async fn a_body_of_unknown_length_takes_memory_as_it_comes() {
    let running = Running::under(OverloadConfig { requests: 100, ..one() }, |_| ());
    let mut client = running.connect().await;
    client.send(head(0).replace("content-length: 0", "transfer-encoding: chunked")).await;
    let piece = "x".repeat(1_000);
    for _ in 0..4 {
        client.send(format!("3e8\r\n{piece}\r\n")).await;
    }
    let refused = client.response().await;
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (503, Some("overloaded")));
    client.send("0\r\n\r\n").await;
    client.closed().await;
    empties(&running).await;
}

#[tokio::test]
async fn a_place_is_held_until_the_stream_has_left_or_the_client() {
    let mut running = Running::under(one(), |_| ());
    let mut client = running.connect().await;
    client.send(chat(&stream_prompt())).await;
    let (incoming, reply) = running.next().await;
    let (events, receiver) = tokio::sync::mpsc::channel(4);
    let stream = Reply::Stream {
        events: receiver,
        attribution: attribution(&incoming),
        include_usage: false,
        left: Arc::default(),
    };
    drop(incoming);
    reply.send(stream).unwrap();
    assert_eq!(client.head().await.status, 200);
    assert_eq!(running.load.requests(), 1, "the engine has given it back, the connection has not");
    drop(client);
    soon(events.closed()).await;
    empties(&running).await;
}

#[tokio::test]
async fn health_is_answered_whatever_is_in_flight() {
    let mut running = Running::under(one(), |_| ());
    let mut first = running.connect().await;
    first.send(chat(&prompt("held"))).await;
    let _held = running.next().await;
    for path in ["/livez", "/readyz"] {
        let answer = running.connect().await.ask(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn connections_that_are_too_many_are_closed() {
    let running = Running::under(OverloadConfig { connections: 1, ..OverloadConfig::default() }, |_| ());
    let mut first = running.connect().await;
    assert_eq!(first.ask(chat(&prompt("echo"))).await.status, 200);
    running.connect().await.closed().await;
    assert_eq!(first.ask(chat(&prompt("echo"))).await.status, 200, "the one that is open goes on");
    assert_eq!(running.metric("btvep_shed_total{reason=\"connections\"}").await, 1);
    drop(first);
    running.metric_becomes("btvep_connections", 0).await;
    assert_eq!(running.connect().await.ask(chat(&prompt("echo"))).await.status, 200);
}
