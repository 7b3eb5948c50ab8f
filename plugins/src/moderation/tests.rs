use std::net::SocketAddr;
use std::sync::Arc;

use btvep_domain::{KeyPolicy, Message, Role};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::fixture::{block_on, exchange_with};

/// What the scripted endpoint does with every request.
#[derive(Clone)]
enum Behaviour {
    /// Answers with a status and a body.
    Answer(u16, String),
    /// Answers with a head and an endless body.
    Endless,
    /// Reads the request and never answers.
    Silent,
    /// Closes the connection.
    Hang,
}

/// A request as the endpoint saw it: head and body.
struct Seen {
    head: String,
    body: Value,
}

/// Starts an endpoint on a port of its own; it lives as long as the test's runtime.
async fn endpoint(behaviour: Behaviour) -> (SocketAddr, mpsc::UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, behaviour.clone(), seen.clone()));
        }
    });
    (address, requests)
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour, seen: mpsc::UnboundedSender<Seen>) {
    let Some(request) = read_request(&mut stream).await else { return };
    let _ = seen.send(request);
    match behaviour {
        Behaviour::Answer(status, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n");
            let location = "location: http://127.0.0.1:1/\r\n";
            let _ = stream.write_all(format!("{head}{location}\r\n{body}").as_bytes()).await;
        }
        Behaviour::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
            while stream.write_all(&[b' '; 8_192]).await.is_ok() {}
        }
        Behaviour::Silent => {
            // Until the client gives up.
            let _ = stream.read(&mut [0; 1]).await;
        }
        Behaviour::Hang => {}
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if let Ok(body) = serde_json::from_str(body) {
            return Some(Seen { head: head.to_owned(), body });
        }
    }
}

fn verdict_json(flagged: bool, categories: &Value) -> Behaviour {
    let clean = json!({ "flagged": false, "categories": { "hate": false, "illicit": null } });
    let results = json!([clean, { "flagged": flagged, "categories": categories }]);
    Behaviour::Answer(200, json!({ "id": "modr-1", "model": "x", "results": results }).to_string())
}

/// A filter that asks the scripted endpoint.
async fn filter(behaviour: Behaviour, config: Value) -> (Moderation, mpsc::UnboundedReceiver<Seen>) {
    let (address, requests) = endpoint(behaviour).await;
    let mut config: Config = serde_json::from_value(config).unwrap();
    config.base_url = format!("http://{address}/v1");
    (Moderation::new(&config, Some(&Secret::new("sk-donotprint"))).unwrap(), requests)
}

/// A request of two messages, from a key with this mode.
fn exchange(mode: ModerationMode) -> Exchange {
    let mut exchange = exchange_with(Some(KeyPolicy { moderation: Some(mode), ..KeyPolicy::default() }));
    let prompt = Arc::make_mut(exchange.prompt.as_mut().unwrap());
    let text = "make a plan".to_owned();
    prompt.messages.push(Message { role: Role::Assistant, text, more_than_text: false });
    exchange
}

/// Sends one request in each mode and checks how each ends, and what stands in the verdict.
#[track_caller]
fn check(behaviour: &Behaviour, config: &Value, found: &[&str], unavailable: bool) {
    let refused = |kind| if found.is_empty() && !unavailable { None } else { Some(kind) };
    let flagged = refused(Kind::ContentFiltered).filter(|_| !unavailable);
    let closed = if unavailable { Some(Kind::ModerationUnavailable) } else { flagged };
    for (mode, kind) in
        [(ModerationMode::Monitor, None), (ModerationMode::FailOpen, flagged), (ModerationMode::FailClosed, closed)]
    {
        let (flow, exchange) = ask(behaviour, config, mode);
        assert!(!format!("{flow:?}").contains("donotprint"), "the key is shown");
        assert_eq!(flow.err().map(|rejection| rejection.kind), kind, "{mode:?}");
        let categories = found.iter().map(ToString::to_string).collect();
        let verdict = Verdict { flagged: !found.is_empty(), categories, mode, unavailable };
        assert_eq!(exchange.verdict, Some(verdict));
    }
}

fn ask(behaviour: &Behaviour, config: &Value, mode: ModerationMode) -> (Flow, Exchange) {
    on_runtime(async {
        let (filter, _requests) = filter(behaviour.clone(), config.clone()).await;
        let mut exchange = exchange(mode);
        (filter.on_request(&mut exchange).await, exchange)
    })
}

fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_clean_prompt_passes() {
    check(&verdict_json(false, &json!({ "hate": false })), &json!({}), &[], false);
}

#[test]
fn any_flagged_message_flags_the_prompt() {
    let categories = json!({ "violence": true, "hate": true, "sexual": false, "illicit": null });
    check(&verdict_json(true, &categories), &json!({}), &["hate", "violence"], false);
    check(&verdict_json(true, &json!({})), &json!({}), &["flagged"], false);
}

#[test]
fn only_the_configured_categories_count() {
    let behaviour = verdict_json(true, &json!({ "violence": true, "hate": true }));
    check(&behaviour, &json!({ "categories": ["violence"] }), &["violence"], false);
    check(&behaviour, &json!({ "categories": ["sexual"] }), &[], false);
}

#[test]
fn what_is_no_verdict_is_unavailable() {
    let answer = |status, body: &str| Behaviour::Answer(status, body.to_owned());
    for behaviour in [
        answer(200, "not json"),
        answer(200, "{}"),
        answer(200, r#"{"results": []}"#),
        answer(200, r#"{"results": [{"flagged": "no"}]}"#),
        answer(500, r#"{"results": [{"flagged": false}]}"#),
        answer(429, "{}"),
        answer(401, r#"{"error": {"message": "Incorrect API key provided: sk-donotprint"}}"#),
        answer(307, "{}"),
        Behaviour::Hang,
        Behaviour::Endless,
    ] {
        check(&behaviour, &json!({}), &[], true);
    }
}

#[test]
fn a_silent_endpoint_costs_its_timeout_and_no_more() {
    check(&Behaviour::Silent, &json!({ "timeout": "100ms" }), &[], true);
}

#[test]
fn all_messages_are_asked_about_at_once_with_our_key() {
    on_runtime(async {
        let (filter, mut requests) = filter(verdict_json(false, &json!({})), json!({ "model": "m" })).await;
        filter.on_request(&mut exchange(ModerationMode::FailClosed)).await.unwrap();
        let seen = requests.recv().await.unwrap();
        assert_eq!(seen.body, json!({ "model": "m", "input": ["hello", "make a plan"] }));
        assert!(seen.head.starts_with("POST /v1/moderations HTTP/1.1"), "{}", seen.head);
        assert!(seen.head.contains("authorization: Bearer sk-donotprint"), "{}", seen.head);
        assert!(requests.try_recv().is_err(), "one request");
    });
}

#[test]
fn a_dead_endpoint_is_left_alone_after_five_failures() {
    on_runtime(async {
        let (filter, mut requests) = filter(Behaviour::Answer(500, String::new()), json!({})).await;
        for _ in 0..20 {
            let rejection = filter.on_request(&mut exchange(ModerationMode::FailClosed)).await.unwrap_err();
            assert_eq!(rejection.kind, Kind::ModerationUnavailable);
            assert!(rejection.retry_after.is_some());
        }
        let asked = std::iter::from_fn(|| requests.try_recv().ok()).count();
        assert_eq!(asked, 5);
    });
}

#[test]
fn off_asks_nobody() {
    on_runtime(async {
        let (filter, mut requests) = filter(verdict_json(true, &json!({})), json!({ "mode": "fail_closed" })).await;
        let mut exchange = exchange(ModerationMode::Off);
        filter.on_request(&mut exchange).await.unwrap();
        assert_eq!(exchange.verdict, None, "the key's `off` wins over the configuration");
        assert!(requests.try_recv().is_err());
    });
}

#[test]
fn the_list_flags_without_asking() {
    on_runtime(async {
        let config = json!({ "keywords": ["plan"] });
        let (filter, mut requests) = filter(verdict_json(false, &json!({})), config).await;
        let mut exchange = exchange(ModerationMode::FailOpen);
        let rejection = filter.on_request(&mut exchange).await.unwrap_err();
        assert_eq!(rejection.kind, Kind::ContentFiltered);
        assert!(!rejection.message.contains("plan"), "the client is told the list");
        assert_eq!(exchange.verdict.unwrap().categories, ["keyword:plan"]);
        assert!(requests.try_recv().is_err());
    });
}

fn without_endpoint(config: Value) -> Result<Moderation, ConfigError> {
    Moderation::new(&serde_json::from_value(config).unwrap(), None)
}

#[test]
fn without_a_key_the_list_alone_decides() {
    let filter = without_endpoint(json!({ "mode": "fail_closed", "patterns": ["pl.n"] })).unwrap();
    let kind = |mode| block_on(filter.on_request(&mut exchange(mode))).err().map(|rejection| rejection.kind);
    assert_eq!(kind(ModerationMode::FailClosed), Some(Kind::ContentFiltered));
    let clean = without_endpoint(json!({ "mode": "fail_closed", "keywords": ["other"] })).unwrap();
    block_on(clean.on_request(&mut exchange(ModerationMode::FailClosed))).unwrap();
}

#[test]
fn a_key_that_wants_moderation_where_there_is_none_is_not_let_through() {
    let filter = without_endpoint(json!({})).unwrap();
    let kind = |mode| block_on(filter.on_request(&mut exchange(mode))).err().map(|rejection| rejection.kind);
    assert_eq!(kind(ModerationMode::FailClosed), Some(Kind::ModerationUnavailable));
    assert_eq!(kind(ModerationMode::FailOpen), None);
}

#[track_caller]
fn check_refused(config: Value, secret: Option<&str>, path: &str) {
    let config = serde_json::from_value(config).unwrap();
    let error = Moderation::new(&config, secret.map(Secret::new).as_ref()).unwrap_err();
    assert_eq!(error.path, path);
    assert!(!error.message.contains("donotprint"), "{error}");
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    check_refused(json!({ "mode": "monitor" }), None, "filters.moderation.mode");
    check_refused(json!({ "base_url": "no url" }), None, "filters.moderation.base_url");
    check_refused(json!({ "base_url": "ftp://x/" }), None, "filters.moderation.base_url");
    check_refused(json!({ "base_url": "https://u:donotprint@x/v1" }), None, "filters.moderation.base_url");
    check_refused(json!({}), Some("donotprint\n"), "filters.moderation.key");
    check_refused(json!({ "timeout": "0s" }), Some("k"), "filters.moderation.timeout");
}
