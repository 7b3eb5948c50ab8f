use std::borrow::Cow;

use btvep_domain::{FieldError, Kind, Rejection};
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use crate::surface::failures::{FailedResponse, failed_responses};

#[derive(Serialize)]
struct Detail<'a> {
    detail: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_responses: Option<Vec<FailedResponse<'a>>>,
}

enum Text<'a> {
    Words(Cow<'a, str>),
    Fields(&'a [FieldError]),
}

#[derive(Serialize)]
struct Wrong<'a> {
    loc: Loc<'a>,
    msg: &'a str,
    r#type: &'static str,
}

struct Loc<'a>(&'a [String]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Words(words) => serializer.serialize_str(words),
            Self::Fields(fields) => serializer.collect_seq(fields.iter().map(|field| Wrong {
                loc: Loc(&field.path),
                msg: &field.message,
                r#type: field.kind,
            })),
        }
    }
}

impl Serialize for Loc<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len() + 1))?;
        seq.serialize_element("body")?;
        for part in self.0 {
            match part.parse::<u64>() {
                Ok(index) => seq.serialize_element(&index)?,
                Err(_) => seq.serialize_element(part)?,
            }
        }
        seq.end()
    }
}

/// Returns the status of a rejection on this surface.
pub const fn status(kind: Kind) -> u16 {
    match kind {
        Kind::MissingKey | Kind::WrongScheme => 403,
        Kind::MalformedBody | Kind::InvalidField => 422,
        _ => kind.status(),
    }
}

/// Returns the body of an error: `{"detail": …}` in the original's words.
pub fn error(rejection: &Rejection) -> Vec<u8> {
    let detail = match rejection.kind {
        Kind::MalformedBody | Kind::InvalidField if !rejection.fields.is_empty() => Text::Fields(&rejection.fields),
        _ => Text::Words(words(rejection)),
    };
    let all_failed = rejection.kind == Kind::AllMinersFailed;
    let failed_responses = all_failed.then(|| failed_responses(&rejection.attempts));
    serde_json::to_vec(&Detail { detail, failed_responses }).unwrap_or_default()
}

fn words(rejection: &Rejection) -> Cow<'_, str> {
    match rejection.kind {
        Kind::MissingKey => "Not authenticated".into(),
        Kind::WrongScheme => "Invalid authentication credentials".into(),
        Kind::UnknownKey => "Invalid API key".into(),
        Kind::DisabledKey => "API key is disabled".into(),
        Kind::ExpiredKey => expired(rejection.expired_at).into(),
        Kind::InsufficientCredits => "Not enough credits".into(),
        Kind::RateLimited | Kind::TooManyAtOnce => "Too Many Requests".into(),
        Kind::ContentFiltered => "OpenAI moderation filter triggered".into(),
        Kind::NoMetagraph => "Metagraph is not synced yet. Please try again later.".into(),
        Kind::AllMinersFailed => "All miner responses have failed.".into(),
        _ => Cow::Borrowed(&rejection.message),
    }
}

fn expired(at: Option<i64>) -> String {
    let at = at.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()).unwrap_or_default();
    format!("API key has expired as of {}", at.strftime("%Y-%m-%d %H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::surface::failures::samples;

    #[track_caller]
    fn check(kind: Kind, status_expected: u16, detail: &str) {
        let mut rejection = Rejection::new(kind, "our own words");
        rejection.expired_at = Some(1_700_000_000);
        let body: Value = serde_json::from_slice(&error(&rejection)).unwrap();
        assert_eq!((status(kind), &body["detail"]), (status_expected, &json!(detail)));
    }

    #[test]
    fn the_original_s_texts_are_kept() {
        check(Kind::MissingKey, 403, "Not authenticated");
        check(Kind::WrongScheme, 403, "Invalid authentication credentials");
        check(Kind::UnknownKey, 401, "Invalid API key");
        check(Kind::DisabledKey, 401, "API key is disabled");
        check(Kind::ExpiredKey, 401, "API key has expired as of 2023-11-14 22:13:20");
        check(Kind::InsufficientCredits, 429, "Not enough credits");
        check(Kind::ContentFiltered, 400, "OpenAI moderation filter triggered");
        check(Kind::RateLimited, 429, "Too Many Requests");
        check(Kind::NoMetagraph, 503, "Metagraph is not synced yet. Please try again later.");
        check(Kind::AllMinersFailed, 502, "All miner responses have failed.");
        check(Kind::InvalidSelection, 400, "our own words");
        check(Kind::StoreUnavailable, 503, "our own words");
        check(Kind::BodyTooLarge, 413, "our own words");
    }

    #[test]
    fn failed_miners_stand_beside_the_detail() {
        let mut rejection = Rejection::new(Kind::AllMinersFailed, "x");
        let body: Value = serde_json::from_slice(&error(&rejection)).unwrap();
        assert_eq!(body["failed_responses"], json!([]));
        rejection.attempts.push(samples::failed(4, "refused"));
        let body: Value = serde_json::from_slice(&error(&rejection)).unwrap();
        assert_eq!(body["failed_responses"][0]["uid"], 4);
        assert_eq!(body["failed_responses"][0]["error"], "refused");
    }
}
