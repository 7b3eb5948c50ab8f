//! Requests over HTTP/1.1, byte by byte.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests do"
)]

mod support;

use std::fmt::Write as _;
use std::time::Duration;

use btvep_domain::Credential;
use btvep_engine::Reply;
use btvep_gateway::GatewayConfig;
use serde_json::json;
use support::{Running, attribution, chat, post, prompt, soon, whole};

#[tokio::test]
async fn an_answer_is_whole_and_the_connection_stays() {
    let gateway = Running::plain();
    let mut client = gateway.connect().await;
    for text in ["echo one", "echo 😀 two"] {
        let response = client.ask(chat(&prompt(text))).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(response.header("connection"), Some("keep-alive"));
        let body = response.json();
        assert_eq!(body["choices"][0]["message"]["content"], text);
        let id = response.header("x-request-id").unwrap();
        assert_eq!(body["id"], format!("chatcmpl-{id}"));
        assert_eq!(body["validator"]["attempts"], 1);
        assert_eq!(response.header("x-btvep-attempts"), Some("1"));
    }
    gateway.metric_becomes("btvep_gateway_answers_total{route=\"chat_completions\",status=\"200\"}", 2).await;
}

#[tokio::test]
async fn attribution_can_be_switched_off() {
    let gateway = Running::start(|config| config.listen.attribution = false);
    let response = gateway.connect().await.ask(chat(&prompt("echo"))).await;
    assert_eq!(response.json().get("validator"), None);
    assert_eq!(response.header("x-btvep-attempts"), None);
    assert!(response.header("x-request-id").is_some());
}

#[tokio::test]
async fn new_settings_are_for_requests_that_come_after_them() {
    let mut gateway = Running::plain();
    let mut client = gateway.connect().await;
    client.send(chat(&prompt("hold"))).await;
    let (incoming, reply) = gateway.next().await;
    let mut config = GatewayConfig::default();
    config.listen.attribution = false;
    config.limits.body_bytes = prompt("echo").len();
    gateway.settings.replace(config);
    reply.send(Reply::Whole { answer: whole("first"), attribution: attribution(&incoming) }).unwrap();
    assert_eq!(client.response().await.header("x-btvep-attempts"), Some("1"), "it began before");
    assert_eq!(client.ask(chat(&prompt("echo"))).await.header("x-btvep-attempts"), None);
    assert_eq!(client.ask(chat(&prompt("echo "))).await.status, 413);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let gateway = Running::plain();
    let mut client = gateway.connect().await;
    client.send(chat(&prompt("echo a")) + &chat(&prompt("echo b")) + &post("/chat", &prompt("echo c"))).await;
    for text in ["echo a", "echo b", "echo c"] {
        assert_eq!(client.response().await.json()["choices"][0]["message"]["content"], text);
    }
}

#[tokio::test]
async fn a_request_that_comes_early_does_not_end_the_one_before() {
    let mut gateway = Running::plain();
    let mut client = gateway.connect().await;
    client.send(chat(&prompt("hold"))).await;
    let (incoming, reply) = gateway.next().await;
    client.send(chat(&prompt("echo second"))).await;
    reply.send(Reply::Whole { answer: whole("first"), attribution: attribution(&incoming) }).unwrap();
    assert_eq!(client.response().await.json()["choices"][0]["message"]["content"], "first");
    assert_eq!(client.response().await.json()["choices"][0]["message"]["content"], "echo second");
}

#[tokio::test]
async fn refusals_are_told_in_the_surface_s_words_and_keep_the_connection() {
    let gateway = Running::plain();
    let mut client = gateway.connect().await;
    let deep = format!(r#"{{"a":{}}}"#, "[".repeat(500));
    for (request, status, code) in [
        (chat("{"), 400, "invalid_json"),
        (chat(&deep), 400, "invalid_json"),
        (chat(""), 400, "invalid_json"),
        (chat(r#"{"messages":[]}"#), 400, "invalid_value"),
        (chat(r#"{"messages":null,"messages":[]}"#), 400, "invalid_value"),
        (chat(&prompt("x").replacen('{', r#"{"top_n":9999,"#, 1)), 400, "invalid_selection"),
        (post("/v1/nothing", "{}"), 404, "unknown_url"),
        (post("/v1/models", "{}"), 405, "method_not_allowed"),
        ("GET /v1/chat/completions HTTP/1.1\r\nhost: x\r\n\r\n".into(), 405, "method_not_allowed"),
        ("GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n".into(), 401, "missing_api_key"),
        ("GET /v1/models HTTP/1.1\r\nhost: x\r\napi-key: bad\r\n\r\n".into(), 401, "invalid_api_key"),
        ("GET /models/none HTTP/1.1\r\nhost: x\r\napi-key: good\r\n\r\n".into(), 404, "model_not_found"),
        (chat(&prompt("x")).replace("host: x", "host: x\r\nx-btvep-timeout-ms: soon"), 400, "invalid_value"),
        (chat(&prompt("x")).replace("host: x", "host: x\r\ncontent-encoding: gzip"), 400, "invalid_json"),
    ] {
        let response = client.ask(&request).await;
        assert_eq!(response.status, status, "{request}");
        let error = &response.json()["error"];
        assert_eq!(error["code"], code, "{request}: {error}");
        assert!(error["message"].is_string() && error["type"].is_string() && error.get("param").is_some());
        assert_eq!(response.header("x-should-retry"), Some("false"));
        assert!(response.header("x-request-id").is_some());
        assert_eq!(response.header("connection"), Some("keep-alive"), "{request}");
        assert_eq!(response.header("allow").is_some(), status == 405);
        assert_eq!(response.header("www-authenticate").is_some(), status == 401);
    }
    assert_eq!(client.ask(chat(&prompt("echo"))).await.status, 200);
}

#[tokio::test]
async fn the_legacy_surface_refuses_as_fastapi_did() {
    let gateway = Running::plain();
    let mut client = gateway.connect().await;
    let null = json!([{"loc": ["body", "messages"], "msg": "none is not an allowed value",
                       "type": "type_error.none.not_allowed"}]);
    for (request, status, detail) in [
        (post("/chat", r#"{"messages":null}"#), 422, null),
        (
            post("/chat", &prompt("x").replacen('{', r#"{"top_n":9999,"#, 1)),
            400,
            json!("`top_n` asks for more than 256 miners"),
        ),
        ("GET /chat HTTP/1.1\r\nhost: x\r\n\r\n".into(), 405, json!("this URL takes POST, OPTIONS")),
    ] {
        let response = client.ask(&request).await;
        assert_eq!((response.status, &response.json()["detail"]), (status, &detail), "{request}");
    }
    let answer = client.ask(post("/chat", &prompt("echo hi"))).await.json();
    assert_eq!(answer["choices"][0]["message"], json!({"role": "assistant", "content": "echo hi"}));
    assert_eq!(answer["failed_responses"], json!([]));
}

#[tokio::test]
async fn models_are_listed_for_known_keys_and_heads_for_all() {
    let gateway = Running::plain();
    let mut client = gateway.connect().await;
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-api-key: good\r\n\r\n");
    assert_eq!(client.ask(ask("/v1/models/")).await.json()["data"][1]["id"], "org/big");
    assert_eq!(client.ask(ask("/models/org%2Fbig?x=1")).await.json()["created"], 18);
    client.send("HEAD /v1/models HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.ask("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.json()["status"], "live");
    assert_eq!(client.ask("GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await.json()["status"], "ready");
}

#[tokio::test]
async fn browsers_of_any_site_may_ask_without_cookies() {
    let gateway = Running::plain();
    let mut client = gateway.connect().await;
    let wanted = "authorization, content-type, x-stainless-os";
    let preflight = format!(
        "OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: x\r\norigin: https://a.b\r\n\
         access-control-request-method: POST\r\naccess-control-request-headers: {wanted}\r\n\r\n"
    );
    let response = client.ask(preflight).await;
    assert_eq!(response.status, 204);
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert_eq!(response.header("access-control-allow-headers"), Some(wanted));
    assert_eq!(response.header("access-control-allow-credentials"), None);
    let request = chat(&prompt("echo")).replace("host: x", "host: x\r\norigin: https://a.b");
    let response = client.ask(request).await;
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert!(response.header("access-control-expose-headers").unwrap().contains("x-request-id"));
}

#[tokio::test]
async fn what_a_request_says_reaches_the_engine() {
    let mut gateway = Running::start(|config| config.listen.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]);
    let mut client = gateway.connect().await;
    let head = "host: x\r\nx-forwarded-for: 6.6.6.6, 1.2.3.4\r\nx-btvep-strategy: top_n=5\r\n\
                x-btvep-timeout-ms: 1500\r\nx-stainless-retry-count: 2";
    client.send(chat(&prompt("hold")).replace("host: x", head)).await;
    let (incoming, _reply) = gateway.next().await;
    assert_eq!(incoming.client, Some("1.2.3.4".parse().unwrap()));
    assert_eq!(incoming.strategy_header.as_deref(), Some("top_n=5"));
    assert_eq!((incoming.timeout, incoming.client_retry), (Some(Duration::from_millis(1500)), Some(2)));
    assert!(matches!(&incoming.credential, Credential::Key(key) if key.expose() == "good"));
    assert_eq!(incoming.prompt.unwrap().model.as_deref(), Some("sn1"));
}

#[tokio::test]
async fn chunked_bodies_are_put_together() {
    let gateway = Running::plain();
    let mut client = gateway.connect().await;
    let body = prompt("echo chunked");
    let mut request = "POST /chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    for piece in body.as_bytes().chunks(7) {
        let piece = std::str::from_utf8(piece).unwrap();
        write!(request, "{:x}\r\n{piece}\r\n", piece.len()).unwrap();
    }
    for _ in 0..2 {
        let response = client.ask(request.clone() + "0\r\n\r\n").await;
        assert_eq!(response.json()["choices"][0]["message"]["content"], "echo chunked");
    }
    let broken = client.ask(request + "zz\r\nnonsense\r\n").await;
    assert_eq!((broken.status, broken.header("connection")), (400, Some("close")));
    assert_eq!(broken.json()["error"]["code"], "bad_request");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_so_that_its_sender_sees_it() {
    let gateway = Running::plain();
    let body = "x".repeat(10 << 20);
    let declared = chat(&body);
    let chunked = format!(
        "POST /chat HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    for request in [declared, chunked] {
        let mut client = gateway.connect().await;
        soon(client.send(request)).await;
        let response = client.response().await;
        assert_eq!(response.status, 413);
        assert!(response.text().contains("the body is larger than 1048576 bytes"));
        client.closed().await;
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let gateway = Running::plain();
    let mut client = gateway.connect().await;
    let big = format!("host: x\r\nx-big: {}", "y".repeat(70_000));
    let response = client.ask(chat(&prompt("echo")).replace("host: x", &big)).await;
    assert_eq!((response.status, &response.json()["error"]["code"]), (431, &json!("head_too_large")));
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let gateway = Running::plain();
    let mut client = gateway.connect().await;
    let request = chat(&prompt("echo")).replace("host: x", "host: x\r\nexpect: 100-continue");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(client.ask(format!("{head}\r\n\r\n")).await.status, 100);
    assert_eq!(client.ask(body).await.status, 200);
    let too_large = "POST /chat HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n";
    assert_eq!(client.ask(too_large).await.status, 413);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let mut gateway = Running::plain();
    let mut client = gateway.connect().await;
    client.send(chat(&prompt("hold"))).await;
    let (_, mut reply) = gateway.next().await;
    assert!(!reply.is_closed());
    drop(client);
    soon(reply.closed()).await;
}

#[tokio::test]
async fn a_request_whose_task_died_still_gets_a_reply() {
    let mut gateway = Running::plain();
    let mut client = gateway.connect().await;
    client.send(chat(&prompt("hold"))).await;
    drop(gateway.next().await);
    let response = client.response().await;
    assert_eq!((response.status, &response.json()["error"]["code"]), (500, &json!("internal_error")));
}

#[tokio::test]
async fn slow_senders_do_not_hold_the_server() {
    let gateway = Running::start(|config| {
        config.listen.body_timeout = Duration::from_millis(200);
        config.listen.head_timeout = Duration::from_millis(200);
    });
    let mut late_body = gateway.connect().await;
    let response = late_body.ask("POST /chat HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{").await;
    assert_eq!(response.status, 408);
    let mut late_head = gateway.connect().await;
    late_head.send("POST /chat HTTP/1.1\r\nho").await;
    late_head.closed().await;
    gateway.metric_becomes("btvep_gateway_late_heads_total", 1).await;
}

#[tokio::test]
async fn old_http_is_served_and_closed() {
    let gateway = Running::plain();
    let mut client = gateway.connect().await;
    let response = client.ask(chat(&prompt("echo")).replace("HTTP/1.1", "HTTP/1.0")).await;
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    client.closed().await;
}

#[tokio::test]
async fn broken_http_is_refused_and_the_server_lives() {
    let gateway = Running::plain();
    for nonsense in ["\0\0\0\r\n\r\n", "GET\r\n\r\n", "POST /chat HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n"] {
        assert_eq!(gateway.connect().await.ask(nonsense).await.status, 400, "{nonsense:?}");
    }
    gateway.metric_becomes("btvep_gateway_connections_without_request_total", 3).await;
    assert_eq!(gateway.connect().await.ask(chat(&prompt("echo"))).await.status, 200);
}
