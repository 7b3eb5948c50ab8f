//! Stopping, and the second listener.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests do"
)]

mod support;

use std::time::Duration;

use btvep_engine::Reply;
use support::{Running, attribution, chat, prompt, soon, whole};

const READY: &str = "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn what_is_in_flight_is_answered_and_then_the_server_leaves() {
    let mut gateway = Running::plain();
    let mut idle = gateway.connect().await;
    assert_eq!(idle.ask(READY).await.status, 200);
    let mut client = gateway.connect().await;
    client.send(chat(&prompt("hold"))).await;
    let (incoming, reply) = gateway.next().await;
    gateway.stopper.stop();
    // The drain begins when the watch wakes; from then on balancers are told.
    let mut balancer = gateway.connect_admin().await;
    let told = async {
        while balancer.ask(READY).await.status == 200 {
            tokio::task::yield_now().await;
        }
    };
    soon(told).await;
    assert_eq!(balancer.ask("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.status, 200);
    let late = gateway.connect().await.ask(chat(&prompt("echo late"))).await;
    assert_eq!((late.status, late.header("connection")), (200, Some("close")));
    reply.send(Reply::Whole { answer: whole("done"), attribution: attribution(&incoming) }).unwrap();
    let response = client.response().await;
    assert_eq!(response.json()["choices"][0]["message"]["content"], "done");
    gateway.ended().await;
    idle.closed().await;
}

#[tokio::test]
async fn new_prompts_are_refused_when_half_of_the_drain_is_over() {
    let mut gateway = Running::start(|config| config.listen.drain = Duration::from_millis(1500));
    let mut client = gateway.connect().await;
    client.send(chat(&prompt("hold"))).await;
    let (_incoming, _reply) = gateway.next().await;
    gateway.stopper.stop();
    let refused = async {
        loop {
            let response = gateway.connect().await.ask(chat(&prompt("echo late"))).await;
            if response.status != 200 {
                return response;
            }
        }
    };
    let response = soon(refused).await;
    assert_eq!((response.status, response.header("x-should-retry")), (503, Some("true")));
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.json()["error"]["code"], "shutting_down");
    // The held prompt is never answered: the drain ends nevertheless.
    gateway.ended().await;
}

#[tokio::test]
async fn the_second_listener_has_metrics_and_health_alone() {
    let gateway = Running::plain();
    let mut client = gateway.connect_admin().await;
    for (request, status) in [
        ("GET /livez", 200),
        ("GET /readyz", 200),
        ("GET /metrics", 200),
        ("GET /v1/models", 404),
        ("POST /metrics", 405),
    ] {
        let response = client.ask(format!("{request} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert_eq!(response.status, status, "{request}");
    }
    let public = gateway.connect().await.ask("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(public.status, 404);
}

#[tokio::test]
async fn a_taken_port_is_an_error_before_anything_runs() {
    let gateway = Running::plain();
    let taken = gateway.public;
    let registry = prometheus::Registry::new();
    let mut config = btvep_gateway::GatewayConfig::default();
    config.listen.public = taken;
    config.listen.admin.set_port(0);
    let error =
        btvep_gateway::Gateway::new(config, support::engine(), support::probes(&registry), &registry).unwrap_err();
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
}
