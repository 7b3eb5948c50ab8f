//! What the control plane refuses, as a status and one sentence.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use btvep_domain::{KeyId, ParseKeyId, StoreError};
use http::StatusCode;
use serde::{Deserialize, Serialize};

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The request is not understood.
    #[error("{0}")]
    BadRequest(String),
    /// No such key.
    #[error("there is no key `{0}`; `btvep key list` shows all")]
    NoKey(KeyId),
    /// No such rule.
    #[error("there is no rate limit number {index}; the key has {count}, counted from 0")]
    NoRule {
        /// As asked.
        index: usize,
        /// As there are.
        count: usize,
    },
    /// The configuration is not what it should be.
    #[error("{0}")]
    Config(String),
    /// No row, or one without an explanation.
    #[error(
        "nothing explains `{0}`; a row does when the client sent `x-btvep-explain: 1` and its key may \
         (`btvep key edit ID --explain true`), or when filters.logging.explain = \"always\""
    )]
    NotExplained(String),
    /// The store cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The body of a refusal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErrorBody {
    /// What is wrong and what to do.
    pub(crate) error: String,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NoKey(_) | Self::NoRule { .. } | Self::NotExplained(_) => StatusCode::NOT_FOUND,
            Self::Config(_) => StatusCode::CONFLICT,
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(ErrorBody { error: self.to_string() })).into_response()
    }
}

impl From<ParseKeyId> for Refused {
    fn from(error: ParseKeyId) -> Self {
        Self::BadRequest(error.to_string())
    }
}

impl From<JsonRejection> for Refused {
    fn from(error: JsonRejection) -> Self {
        Self::BadRequest(error.body_text())
    }
}

impl From<QueryRejection> for Refused {
    fn from(error: QueryRejection) -> Self {
        Self::BadRequest(error.body_text())
    }
}

impl From<PathRejection> for Refused {
    fn from(error: PathRejection) -> Self {
        Self::BadRequest(error.body_text())
    }
}
