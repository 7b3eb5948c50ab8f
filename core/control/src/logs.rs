//! Reads the request log.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use btvep_domain::{LogQuery, LogRow};

use crate::error::Refused;
use crate::router::Shared;

/// The most rows of one answer.
const ROWS: usize = 10_000;

pub(crate) async fn query(
    State(operations): Shared,
    body: Result<Json<LogQuery>, JsonRejection>,
) -> Result<Json<Vec<LogRow>>, Refused> {
    let Json(mut query) = body?;
    query.lines = Some(query.lines.unwrap_or(100).min(ROWS));
    Ok(Json(operations.control.logs.query(query).await?))
}
