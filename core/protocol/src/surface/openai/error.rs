use btvep_domain::{Kind, Rejection};
use serde::Serialize;

use crate::surface::failures::{FailedResponse, failed_responses};

#[derive(Serialize)]
pub(super) struct ErrorObject<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<FailedResponse<'a>>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: ErrorObject<'a>,
}

/// Returns the body of an error: all four members that OpenAI's clients read, and each failed miner in `details`.
pub fn error(rejection: &Rejection) -> Vec<u8> {
    serde_json::to_vec(&Envelope { error: object(rejection) }).unwrap_or_default()
}

pub(super) fn object(rejection: &Rejection) -> ErrorObject<'_> {
    ErrorObject {
        message: &rejection.message,
        r#type: error_type(rejection.kind),
        param: rejection.param.as_deref(),
        code: rejection.kind.code(),
        details: failed_responses(&rejection.attempts),
    }
}

/// Returns the coarse `type` of an error, by which some clients decide.
pub const fn error_type(kind: Kind) -> &'static str {
    match kind {
        Kind::InsufficientCredits => "insufficient_quota",
        Kind::RateLimited | Kind::TooManyAtOnce => "requests",
        Kind::NotAllowed => "permission_error",
        _ if kind.status() >= 500 => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::surface::failures::samples;

    #[test]
    fn every_kind_has_all_four_members() {
        for kind in Kind::ALL {
            let body: Value = serde_json::from_slice(&error(&Rejection::new(kind, "what to do"))).unwrap();
            let expected = json!({"error": {
                "message": "what to do", "type": error_type(kind), "param": null, "code": kind.code()
            }});
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn a_cause_is_never_told_and_failed_miners_are() {
        let mut rejection = Rejection::new(Kind::AllMinersFailed, "all miners failed").about("x").because("secret");
        rejection.attempts = vec![samples::failed(1, "timed out"), samples::failed(2, "blacklisted")];
        let body: Value = serde_json::from_slice(&error(&rejection)).unwrap();
        assert_eq!(body["error"]["param"], "x");
        assert_eq!(body["error"]["details"][1]["error"], "blacklisted");
        assert_eq!(body["error"]["details"][1]["index"], 1);
        assert!(!body.to_string().contains("secret"));
    }
}
