//! Streamed answers.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests do"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use btvep_domain::{Kind, Rejection, Usage};
use btvep_engine::{Incoming, Reply, StreamEvent, Taken};
use serde_json::Value;
use support::{Client, Running, attribution, chat, prompt, soon, stream_prompt, token};
use tokio::sync::mpsc;

/// A stream that the test feeds.
struct Fed {
    incoming: Incoming,
    events: mpsc::Sender<StreamEvent>,
    left: Arc<AtomicBool>,
}

impl Fed {
    /// Asks for a stream and begins it.
    async fn begin(gateway: &mut Running, client: &mut Client, include_usage: bool) -> Self {
        client.send(chat(&stream_prompt())).await;
        let (incoming, reply) = gateway.next().await;
        let (events, receiver) = mpsc::channel(16);
        let left = Arc::new(AtomicBool::new(false));
        let attribution = attribution(&incoming);
        let stream = Reply::Stream { events: receiver, attribution, include_usage, left: left.clone() };
        reply.send(stream).unwrap();
        Self { incoming, events, left }
    }

    async fn say(&self, text: &str) {
        soon(self.events.send(StreamEvent::Delta(token(text), Taken::default()))).await.unwrap();
    }

    async fn end(&self, usage: Option<Usage>) {
        let attribution = attribution(&self.incoming);
        soon(self.events.send(StreamEvent::End { attribution, usage })).await.unwrap();
    }
}

/// Reads events until one has come whole; none when the stream has ended.
async fn event(client: &mut Client) -> Option<String> {
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        text += std::str::from_utf8(&client.chunk().await?).unwrap();
    }
    Some(text)
}

fn data(event: &str) -> Value {
    serde_json::from_str(event.strip_prefix("data: ").unwrap().trim_end()).unwrap()
}

#[tokio::test]
async fn each_token_arrives_before_the_next_is_made() {
    let mut gateway = Running::plain();
    let mut client = gateway.connect().await;
    let fed = Fed::begin(&mut gateway, &mut client, false).await;
    let head = client.head().await;
    assert_eq!(head.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(head.header("cache-control"), Some("no-cache"));
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    assert_eq!(head.header("content-length"), None);
    assert!(!fed.left.load(Ordering::Acquire));
    for text in ["a", "b\n", "😀"] {
        fed.say(text).await;
        let chunk = data(&event(&mut client).await.unwrap());
        assert_eq!(chunk["choices"][0]["delta"]["content"], text);
        assert_eq!(chunk["id"], format!("chatcmpl-{}", fed.incoming.request_id));
    }
    assert!(fed.left.load(Ordering::Acquire));
    fed.end(None).await;
    let last = event(&mut client).await.unwrap();
    let (finish, done) = last.split_once("\n\n").unwrap();
    assert_eq!(data(finish)["choices"][0]["finish_reason"], "stop");
    assert_eq!(data(finish)["validator"]["attempts"], 1);
    assert_eq!(done, "data: [DONE]\n\n");
    assert_eq!(event(&mut client).await, None);
    assert_eq!(client.ask(chat(&prompt("echo after"))).await.status, 200);
}

#[tokio::test]
async fn usage_is_sent_when_it_was_asked_for() {
    let mut gateway = Running::plain();
    let mut client = gateway.connect().await;
    let fed = Fed::begin(&mut gateway, &mut client, true).await;
    fed.say("a").await;
    fed.end(Some(Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 })).await;
    let body = client.response().await.text();
    let usage = body.rsplit("\n\n").nth(2).unwrap();
    assert_eq!(data(usage)["usage"]["total_tokens"], 3);
    assert_eq!(data(usage)["choices"], serde_json::json!([]));
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_while_the_miner_thinks() {
    let mut gateway = Running::plain();
    let mut client = gateway.connect().await;
    let fed = Fed::begin(&mut gateway, &mut client, false).await;
    fed.say("a").await;
    client.head().await;
    event(&mut client).await.unwrap();
    drop(client);
    soon(fed.events.closed()).await;
    gateway.metric_becomes("btvep_gateway_clients_gone_total", 1).await;
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error() {
    let mut gateway = Running::plain();
    let mut client = gateway.connect().await;
    let fed = Fed::begin(&mut gateway, &mut client, false).await;
    fed.say("half").await;
    let rejection = Rejection::new(Kind::AllMinersFailed, "the miner broke off");
    let attribution = attribution(&fed.incoming);
    fed.events.send(StreamEvent::Failed { rejection, attribution }).await.unwrap();
    let body = client.response().await.text();
    let events: Vec<_> = body.split_terminator("\n\n").collect();
    assert_eq!(data(events[1])["error"]["code"], "all_miners_failed");
    assert_eq!(events[2], "data: [DONE]");
}

#[tokio::test]
async fn a_stream_whose_task_died_ends_with_an_error() {
    let mut gateway = Running::plain();
    let mut client = gateway.connect().await;
    let fed = Fed::begin(&mut gateway, &mut client, false).await;
    fed.say("half").await;
    drop(fed.events);
    assert!(client.response().await.text().contains(r#""code":"internal_error""#));
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_by_comments() {
    let mut gateway = Running::start(|config| config.listen.ping = Duration::from_millis(100));
    let mut client = gateway.connect().await;
    let fed = Fed::begin(&mut gateway, &mut client, false).await;
    client.head().await;
    assert_eq!(event(&mut client).await.unwrap(), ": ping\n\n");
    assert_eq!(event(&mut client).await.unwrap(), ": ping\n\n");
    fed.say("a").await;
    assert_eq!(data(&event(&mut client).await.unwrap())["choices"][0]["delta"]["content"], "a");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let mut gateway = Running::start(|config| config.listen.stall = Duration::from_millis(200));
    let mut client = gateway.connect().await;
    let fed = Fed::begin(&mut gateway, &mut client, false).await;
    let large = "x".repeat(1 << 20);
    // More than all buffers on the way can hold.
    let feeding = async { while fed.events.send(StreamEvent::Delta(token(&large), Taken::default())).await.is_ok() {} };
    soon(feeding).await;
    gateway.metric_becomes("btvep_gateway_clients_stalled_total", 1).await;
    drop(client);
}

#[tokio::test]
async fn old_http_gets_its_stream_until_the_connection_closes() {
    let mut gateway = Running::plain();
    let mut client = gateway.connect().await;
    client.send(chat(&stream_prompt()).replace("HTTP/1.1", "HTTP/1.0")).await;
    let (incoming, reply) = gateway.next().await;
    let (events, receiver) = mpsc::channel(4);
    let left = Arc::new(AtomicBool::new(false));
    let stream = Reply::Stream { events: receiver, attribution: attribution(&incoming), include_usage: false, left };
    reply.send(stream).unwrap();
    events.send(StreamEvent::Delta(token("old"), Taken::default())).await.unwrap();
    events.send(StreamEvent::End { attribution: attribution(&incoming), usage: None }).await.unwrap();
    assert_eq!(client.head().await.header("transfer-encoding"), None);
    let mut rest = String::new();
    soon(tokio::io::AsyncReadExt::read_to_string(&mut client.0, &mut rest)).await.unwrap();
    assert!(rest.contains("\"old\"") && rest.ends_with("data: [DONE]\n\n"), "{rest}");
}
