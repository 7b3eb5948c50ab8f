use std::time::Duration;

use btvep_domain::{Kind, Rejection, Surface};

use super::legacy;

/// Waiting longer than this is nothing a client library should do by itself: they ignore such a wait, or stop.
const PATIENCE: Duration = Duration::from_mins(1);

/// The status and the headers of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorHead {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After` in seconds, rounded up.
    pub retry_after: Option<u64>,
    /// `x-should-retry`, by which OpenAI's clients decide whether to try again by themselves.
    pub should_retry: bool,
    /// Whether to send `WWW-Authenticate: Bearer`.
    pub challenge: bool,
}

/// Returns the head of a rejection.
pub fn error_head(surface: Surface, rejection: &Rejection) -> ErrorHead {
    let status = match surface {
        Surface::OpenAi => rejection.kind.status(),
        Surface::Legacy => legacy::status(rejection.kind),
    };
    // Whoever must wait is told how long, even where nobody knows exactly.
    let wait = rejection.retry_after.or(matches!(status, 429 | 503).then(|| fallback(rejection.kind)).flatten());
    let patient = wait.is_none_or(|wait| wait <= PATIENCE);
    ErrorHead {
        status,
        retry_after: wait.map(|wait| wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1)),
        should_retry: rejection.kind.should_retry() && patient,
        challenge: status == 401,
    }
}

const fn fallback(kind: Kind) -> Option<Duration> {
    match kind {
        // Credits do not come back by waiting.
        Kind::InsufficientCredits => None,
        Kind::RateLimited | Kind::TooManyAtOnce | Kind::Overloaded | Kind::Draining => Some(Duration::from_secs(1)),
        _ => Some(Duration::from_secs(5)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(surface: Surface, rejection: &Rejection, expected: (u16, Option<u64>, bool, bool)) {
        let head = error_head(surface, rejection);
        assert_eq!((head.status, head.retry_after, head.should_retry, head.challenge), expected);
    }

    #[test]
    fn clients_are_told_whether_and_when_to_try_again() {
        let of = |kind| Rejection::new(kind, "x");
        check(Surface::OpenAi, &of(Kind::MissingKey), (401, None, false, true));
        check(Surface::Legacy, &of(Kind::MissingKey), (403, None, false, false));
        check(Surface::Legacy, &of(Kind::UnknownKey), (401, None, false, true));
        check(Surface::Legacy, &of(Kind::InvalidField), (422, None, false, false));
        check(Surface::OpenAi, &of(Kind::InsufficientCredits), (429, None, false, false));
        check(Surface::OpenAi, &of(Kind::AllMinersFailed), (502, None, false, false));
        check(Surface::OpenAi, &of(Kind::Draining), (503, Some(1), true, false));
        let limited = |wait| of(Kind::RateLimited).after(Duration::from_millis(wait));
        check(Surface::OpenAi, &limited(1), (429, Some(1), true, false));
        check(Surface::OpenAi, &limited(1_001), (429, Some(2), true, false));
        check(Surface::OpenAi, &limited(60_001), (429, Some(61), false, false));
    }
}
