use std::sync::Arc;

use btvep_domain::{Appended, Credits, KeyId, LogQuery, LogRow, Logs, RowAttempt, Uid};

use super::AT_MS;
use crate::hotkey;

/// Returns an answered request's row, received at `at_ms`.
pub fn row(request_id: &str, at_ms: i64) -> LogRow {
    LogRow {
        request_id: request_id.into(),
        at_ms,
        config: None,
        key: None,
        client: None,
        surface: "openai".to_owned(),
        model: Some("test".into()),
        strategy: Some("top_n".into()),
        stream: false,
        is_api_success: true,
        is_success: true,
        status: 200,
        outcome: "answered".to_owned(),
        error: None,
        charged: Credits(500_000),
        elapsed_us: 1_000,
        first_token_us: None,
        usage: None,
        flagged: Vec::new(),
        attempts: Vec::new(),
        prompt_sha256: None,
        answer_sha256: None,
        prompt: None,
        answer: None,
        explain: None,
    }
}

/// Runs the suite of [`btvep_domain::Logs`].
pub async fn logs(make: impl Fn() -> Arc<dyn Logs>) {
    rows_come_back_newest_first(&*make()).await;
    every_condition_must_hold(&*make()).await;
    a_row_survives_whole(&*make()).await;
}

async fn ids(logs: &dyn Logs, query: LogQuery) -> Vec<String> {
    logs.query(query).await.unwrap().iter().map(|row| row.request_id.to_string()).collect()
}

async fn rows_come_back_newest_first(logs: &dyn Logs) {
    assert!(logs.query(LogQuery::default()).await.unwrap().is_empty());
    for place in 0..250 {
        assert_eq!(logs.append(row(&format!("r{place}"), AT_MS + place)), Appended::Queued);
    }
    let expected: Vec<_> = (150..250).rev().map(|place| format!("r{place}")).collect();
    assert_eq!(ids(logs, LogQuery::default()).await, expected);
    assert_eq!(ids(logs, LogQuery { lines: Some(1), ..LogQuery::default() }).await, ["r249"]);
    assert_eq!(ids(logs, LogQuery { lines: Some(1_000), ..LogQuery::default() }).await.len(), 250);
    logs.flush().await.unwrap();
    assert_eq!(logs.dropped(), 0);
}

async fn every_condition_must_hold(logs: &dyn Logs) {
    let key: KeyId = "abcdefghijkl".parse().unwrap();
    let attempt = RowAttempt {
        uid: Some(Uid(7)),
        hotkey: Some(hotkey(7)),
        upstream: None,
        outcome: "success".to_owned(),
        error: None,
        status: Some(200),
        elapsed_ms: 5,
    };
    logs.append(LogRow { key: Some(key), ..row("keyed", AT_MS) });
    logs.append(LogRow { attempts: vec![attempt], ..row("asked", AT_MS + 1) });
    logs.append(LogRow { is_success: false, ..row("failed", AT_MS + 2) });
    logs.append(LogRow { is_api_success: false, is_success: false, ..row("refused", AT_MS + 3) });
    let all = LogQuery::default;
    assert_eq!(ids(logs, LogQuery { key: Some(key), ..all() }).await, ["keyed"]);
    assert_eq!(ids(logs, LogQuery { responder_hotkey: Some(hotkey(7)), ..all() }).await, ["asked"]);
    assert_eq!(ids(logs, LogQuery { is_success: Some(false), ..all() }).await, ["refused", "failed"]);
    assert_eq!(ids(logs, LogQuery { is_api_success: Some(false), ..all() }).await, ["refused"]);
    assert_eq!(ids(logs, LogQuery { request_id: Some("failed".to_owned()), ..all() }).await, ["failed"]);
    let between = LogQuery { start_ms: Some(AT_MS + 1), end_ms: Some(AT_MS + 3), ..all() };
    assert_eq!(ids(logs, between).await, ["failed", "asked"]);
    let none = LogQuery { key: Some(key), is_success: Some(false), ..all() };
    assert!(ids(logs, none).await.is_empty());
}

async fn a_row_survives_whole(logs: &dyn Logs) {
    let full = LogRow {
        client: Some("2001:db8::1".parse().unwrap()),
        error: Some("a \"quoted\"\nline".to_owned()),
        flagged: vec!["violence".to_owned()],
        prompt: Some(serde_json::json!([{ "role": "user", "content": "zeile\nzwei 😀" }])),
        answer: Some(vec!["x".repeat(200_000)]),
        ..row("full", AT_MS)
    };
    logs.append(full.clone());
    assert_eq!(logs.query(LogQuery::default()).await.unwrap(), [full]);
}
