//! A runtime for each thread, which is how the product runs. One test alone: see `support`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests do"
)]

mod support;

use support::{Running, chat, prompt};

#[tokio::test]
async fn many_connections_are_served_by_threads_of_their_own() {
    let mut gateway = Running::start(|config| {
        config.listen.work_stealing = false;
        config.listen.threads = 3;
    });
    for _ in 0..4 {
        let mut clients = Vec::new();
        for nth in 0..20 {
            let mut client = gateway.connect().await;
            client.send(chat(&prompt(&format!("echo {nth}")))).await;
            clients.push(client);
        }
        for (nth, client) in clients.iter_mut().enumerate() {
            let content = client.response().await.json()["choices"][0]["message"]["content"].clone();
            assert_eq!(content, format!("echo {nth}"));
        }
    }
    gateway.metric_becomes("btvep_gateway_answers_total{route=\"chat_completions\",status=\"200\"}", 80).await;
    gateway.stopper.stop();
    gateway.ended().await;
}
