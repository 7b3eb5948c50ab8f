//! `btvep logs`: shows the request log.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use btvep_control::Client;
use btvep_domain::{Hotkey, KeyId, LogQuery, LogRow};
use clap::Args;
use http::Method;
use jiff::Timestamp;

use super::args::Globals;
use super::failure::Failure;
use super::output::{Output, or_dash, table};
use super::{connect, when};

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// Rows of this key
    #[arg(long, short, value_name = "ID")]
    key: Option<KeyId>,
    /// Rows in which this miner was asked
    #[arg(long, short, alias = "responder_hotkey")]
    responder_hotkey: Option<Hotkey>,
    /// Accepted and sent to miners, or not
    #[arg(long, alias = "is_api_success", value_name = "BOOL")]
    is_api_success: Option<bool>,
    /// Answered, or not
    #[arg(long, alias = "is_success", value_name = "BOOL")]
    is_success: Option<bool>,
    /// This request
    #[arg(long, alias = "request_id")]
    request_id: Option<String>,
    /// From then on: `2025-01-01`, `2025-01-01T12:00:00`, `2 hours ago`, unix seconds. UTC
    #[arg(long, short, value_name = "WHEN")]
    start: Option<String>,
    /// Up to then
    #[arg(long, short, value_name = "WHEN")]
    end: Option<String>,
    /// At most so many
    #[arg(long, short, default_value_t = 100)]
    lines: usize,
    /// Goes on with new rows as they come, oldest first; as JSON, a value a line
    #[arg(long, short)]
    follow: bool,
}

/// Carries out the command.
pub(super) async fn run(globals: &Globals, output: Output, arguments: LogsArgs) -> Result<(), Failure> {
    let follow = arguments.follow;
    let query = arguments.into_query()?;
    let client = connect::control(globals).await?;
    if follow {
        return watch(&client, output, query).await;
    }
    let rows: Vec<LogRow> = client.send(Method::POST, "/v1/logs", &query).await?;
    output.value(&rows, |rows| rows_table(rows))
}

impl LogsArgs {
    fn into_query(self) -> Result<LogQuery, Failure> {
        let now = Timestamp::now();
        let millis = |text: Option<String>| -> Result<Option<i64>, Failure> {
            let seconds = text.map(|text| when::parse_moment(&text, now)).transpose()?;
            Ok(seconds.map(|seconds| seconds.saturating_mul(1000)))
        };
        Ok(LogQuery {
            key: self.key,
            responder_hotkey: self.responder_hotkey,
            is_api_success: self.is_api_success,
            is_success: self.is_success,
            request_id: self.request_id,
            start_ms: millis(self.start)?,
            end_ms: millis(self.end)?,
            lines: Some(self.lines),
        })
    }
}

/// Prints rows as they come, until the reader has seen enough.
async fn watch(client: &Client, output: Output, mut query: LogQuery) -> Result<(), Failure> {
    let mut seen: HashSet<Arc<str>> = HashSet::new();
    let mut pause = tokio::time::interval(Duration::from_millis(500));
    loop {
        pause.tick().await;
        let mut rows: Vec<LogRow> = client.send(Method::POST, "/v1/logs", &query).await?;
        rows.retain(|row| !seen.contains(&row.request_id));
        rows.reverse();
        for row in &rows {
            if output.is_json() {
                output.json_value(row)?;
            } else {
                let [cells] = [cells(row)];
                output.raw(format!("{}\n", cells.join("  ")).as_bytes())?;
            }
        }
        // A row is written when its request ends: those received before the newest one may still come.
        let Some(newest) = rows.iter().map(|row| row.at_ms).max() else { continue };
        let horizon = newest.saturating_sub(WINDOW_MS).max(query.start_ms.unwrap_or(i64::MIN));
        seen.extend(rows.into_iter().map(|row| row.request_id));
        query = LogQuery { start_ms: Some(horizon), lines: Some(ROWS), ..query };
        if seen.len() > 4 * ROWS {
            seen.clear();
            query.start_ms = Some(newest.saturating_add(1));
        }
    }
}

/// How long a request may be on its way and still be shown when it ends.
const WINDOW_MS: i64 = 150_000;
/// The most rows asked for at once.
const ROWS: usize = 10_000;

fn rows_table(rows: &[LogRow]) -> String {
    let head = ["TIME", "STATUS", "OUTCOME", "KEY", "MODEL", "STRATEGY", "MINERS", "CHARGED", "MS", "REQUEST"];
    table(head, rows.iter().map(cells))
}

fn cells(row: &LogRow) -> [String; 10] {
    let miners: Vec<String> = row
        .attempts
        .iter()
        .map(|attempt| match (&attempt.uid, &attempt.upstream) {
            (Some(uid), _) => format!("{uid}:{}", attempt.outcome),
            (None, upstream) => format!("{}:{}", or_dash(upstream.as_ref()), attempt.outcome),
        })
        .collect();
    [
        when::shown(row.at_ms.div_euclid(1000)),
        row.status.to_string(),
        row.outcome.clone(),
        or_dash(row.key),
        or_dash(row.model.as_ref()),
        or_dash(row.strategy.as_ref()),
        if miners.is_empty() { "-".to_owned() } else { miners.join(" ") },
        row.charged.to_string(),
        (row.elapsed_us / 1000).to_string(),
        row.request_id.to_string(),
    ]
}
