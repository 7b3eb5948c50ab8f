//! Tells how one answer came about, from its row.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use btvep_domain::LogQuery;

use crate::error::Refused;
use crate::router::Shared;
use crate::views::Explained;

pub(crate) async fn show(
    State(operations): Shared,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Explained>, Refused> {
    let Path(request_id) = id?;
    let query = LogQuery { request_id: Some(request_id.clone()), lines: Some(1), ..LogQuery::default() };
    let row = operations.control.logs.query(query).await?.pop();
    match row.and_then(Explained::of) {
        Some(explained) => Ok(Json(explained)),
        None => Err(Refused::NotExplained(request_id.chars().filter(|c| !c.is_control()).take(64).collect())),
    }
}
