use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use crate::AttemptReport;

/// What ends a request, as a closed set. One exhaustive match gives each its status and its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No key was presented.
    MissingKey,
    /// The key was presented in another scheme than `Bearer`.
    WrongScheme,
    /// No such key.
    UnknownKey,
    /// The owner disabled it.
    DisabledKey,
    /// It has expired.
    ExpiredKey,
    /// The key may not do this.
    NotAllowed,
    /// Its credits do not cover what the request may cost.
    InsufficientCredits,
    /// A rate rule is used up.
    RateLimited,
    /// Too many requests of the key in flight.
    TooManyAtOnce,
    /// Moderation refused the prompt.
    ContentFiltered,
    /// Moderation cannot answer and the mode is `fail_closed`.
    ModerationUnavailable,
    /// The body is no JSON.
    MalformedBody,
    /// A field has the wrong type or value.
    InvalidField,
    /// The miners asked for cannot be asked: unknown, negative, twice, none.
    InvalidSelection,
    /// The miners of this model cannot take a field.
    UnsupportedParameter,
    /// No such model.
    UnknownModel,
    /// No such route.
    UnknownRoute,
    /// The route does not know the method.
    MethodNotAllowed,
    /// The body is larger than allowed.
    BodyTooLarge,
    /// The head is larger than allowed.
    HeadTooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The HTTP of the request is broken.
    BadRequest,
    /// No metagraph has been read yet.
    NoMetagraph,
    /// The metagraph is older than allowed.
    StaleMetagraph,
    /// No miner fits.
    NoMiner,
    /// Every miner failed.
    AllMinersFailed,
    /// Too few miners gave the same answer.
    NoAgreement,
    /// The operator disabled the strategy while the request was under way.
    StrategyDisabled,
    /// The store cannot keep its promise.
    StoreUnavailable,
    /// More is in flight than the server takes.
    Overloaded,
    /// The server is about to stop.
    Draining,
    /// A fault of ours.
    Internal,
}

impl Kind {
    /// Every kind, for tables and tests.
    pub const ALL: [Self; 32] = [
        Self::MissingKey,
        Self::WrongScheme,
        Self::UnknownKey,
        Self::DisabledKey,
        Self::ExpiredKey,
        Self::NotAllowed,
        Self::InsufficientCredits,
        Self::RateLimited,
        Self::TooManyAtOnce,
        Self::ContentFiltered,
        Self::ModerationUnavailable,
        Self::MalformedBody,
        Self::InvalidField,
        Self::InvalidSelection,
        Self::UnsupportedParameter,
        Self::UnknownModel,
        Self::UnknownRoute,
        Self::MethodNotAllowed,
        Self::BodyTooLarge,
        Self::HeadTooLarge,
        Self::BodyTimeout,
        Self::BadRequest,
        Self::NoMetagraph,
        Self::StaleMetagraph,
        Self::NoMiner,
        Self::AllMinersFailed,
        Self::NoAgreement,
        Self::StrategyDisabled,
        Self::StoreUnavailable,
        Self::Overloaded,
        Self::Draining,
        Self::Internal,
    ];

    /// Returns its OpenAI code, which is also its label in metrics and rows.
    pub const fn code(self) -> &'static str {
        match self {
            Self::MissingKey => "missing_api_key",
            Self::WrongScheme => "wrong_auth_scheme",
            Self::UnknownKey => "invalid_api_key",
            Self::DisabledKey => "api_key_disabled",
            Self::ExpiredKey => "api_key_expired",
            Self::NotAllowed => "not_allowed",
            Self::InsufficientCredits => "insufficient_quota",
            Self::RateLimited => "rate_limit_exceeded",
            Self::TooManyAtOnce => "concurrency_limit_exceeded",
            Self::ContentFiltered => "content_filter",
            Self::ModerationUnavailable => "moderation_unavailable",
            Self::MalformedBody => "invalid_json",
            Self::InvalidField => "invalid_value",
            Self::InvalidSelection => "invalid_selection",
            Self::UnsupportedParameter => "unsupported_parameter",
            Self::UnknownModel => "model_not_found",
            Self::UnknownRoute => "unknown_url",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTooLarge => "body_too_large",
            Self::HeadTooLarge => "head_too_large",
            Self::BodyTimeout => "request_timeout",
            Self::BadRequest => "bad_request",
            Self::NoMetagraph => "metagraph_not_synced",
            Self::StaleMetagraph => "metagraph_stale",
            Self::NoMiner => "no_miner_available",
            Self::AllMinersFailed => "all_miners_failed",
            Self::NoAgreement => "no_agreement",
            Self::StrategyDisabled => "strategy_disabled",
            Self::StoreUnavailable => "store_unavailable",
            Self::Overloaded => "overloaded",
            Self::Draining => "shutting_down",
            Self::Internal => "internal_error",
        }
    }

    /// Returns its status on the OpenAI surface; the legacy surface has its own few differences.
    pub const fn status(self) -> u16 {
        match self {
            Self::MissingKey | Self::WrongScheme | Self::UnknownKey | Self::DisabledKey | Self::ExpiredKey => 401,
            Self::NotAllowed => 403,
            Self::InsufficientCredits | Self::RateLimited | Self::TooManyAtOnce => 429,
            Self::ContentFiltered
            | Self::MalformedBody
            | Self::InvalidField
            | Self::InvalidSelection
            | Self::UnsupportedParameter
            | Self::BadRequest => 400,
            Self::UnknownModel | Self::UnknownRoute => 404,
            Self::MethodNotAllowed => 405,
            Self::BodyTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::HeadTooLarge => 431,
            Self::Internal => 500,
            Self::AllMinersFailed | Self::NoAgreement => 502,
            Self::ModerationUnavailable
            | Self::NoMetagraph
            | Self::StaleMetagraph
            | Self::NoMiner
            | Self::StrategyDisabled
            | Self::StoreUnavailable
            | Self::Overloaded
            | Self::Draining => 503,
        }
    }

    /// Returns whether a client's own retry can help; sent as `x-should-retry`.
    pub const fn should_retry(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::TooManyAtOnce
                | Self::BodyTimeout
                | Self::ModerationUnavailable
                | Self::NoMetagraph
                | Self::StaleMetagraph
                | Self::Overloaded
                | Self::Draining
        )
    }
}

/// One wrong field, where it stands and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The path below the body, such as `["messages", "0", "role"]`.
    pub path: Vec<String>,
    /// What is wrong, in the words of the legacy surface (`value is not a valid list`).
    pub message: String,
    /// Its kind in the legacy surface (`type_error.list`).
    pub kind: &'static str,
}

/// What ends a request: a kind, a message for the client, a cause for the log; never mixed.
#[derive(Debug)]
pub struct Rejection {
    /// What it is.
    pub kind: Kind,
    /// For the client: says what to do.
    pub message: Cow<'static, str>,
    /// The field it is about.
    pub param: Option<Cow<'static, str>>,
    /// When to come back.
    pub retry_after: Option<Duration>,
    /// When an expired key expired, unix seconds.
    pub expired_at: Option<i64>,
    /// Wrong fields, for [`Kind::InvalidField`].
    pub fields: Vec<FieldError>,
    /// The failed miners, for [`Kind::AllMinersFailed`] and [`Kind::NoAgreement`].
    pub attempts: Vec<AttemptReport>,
    /// For the log only.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Rejection {
    /// Makes a rejection of a kind with a message for the client.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            param: None,
            retry_after: None,
            expired_at: None,
            fields: Vec::new(),
            attempts: Vec::new(),
            cause: None,
        }
    }

    /// Names the field it is about.
    #[must_use]
    pub fn about(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when to come back.
    #[must_use]
    pub const fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

impl From<crate::StoreError> for Rejection {
    fn from(error: crate::StoreError) -> Self {
        Self::new(Kind::StoreUnavailable, "the account store is unavailable; nothing was charged, try again later")
            .after(Duration::from_secs(5))
            .because(error)
    }
}

/// What the client is told; never repeats what was presented.
impl From<crate::AuthFailure> for Rejection {
    fn from(failure: crate::AuthFailure) -> Self {
        match failure {
            crate::AuthFailure::Unknown => Self::new(
                Kind::UnknownKey,
                "incorrect API key; check that it was copied whole, or ask its issuer for a new one",
            ),
            crate::AuthFailure::Disabled => {
                Self::new(Kind::DisabledKey, "this API key is disabled; ask its issuer to enable it")
            }
            crate::AuthFailure::Expired { at } => Self {
                expired_at: Some(at),
                ..Self::new(Kind::ExpiredKey, "this API key has expired; ask its issuer for a new one")
            },
            crate::AuthFailure::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        let codes: HashSet<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
    }
}
