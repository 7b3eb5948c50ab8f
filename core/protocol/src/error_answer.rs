//! Answers that are errors by their status: the message within, and what it says of the miner.

use btvep_domain::{Decoder, Delta, FailureKind, Flaw, MinerFailure};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::words::words;

/// No error text is worth more than this; the rest is not kept.
const MOST: usize = 64 << 10;

/// Reads the body of an answer whose status is an error, then fails with what it says.
#[derive(Debug)]
pub(crate) struct ErrorAnswer {
    status: StatusCode,
    body: Vec<u8>,
    /// What an internal error means in this protocol.
    internal: Flaw,
}

impl ErrorAnswer {
    /// Reads an error. `internal` is the flaw of a status 500.
    pub(crate) const fn new(status: StatusCode, internal: Flaw) -> Self {
        Self { status, body: Vec::new(), internal }
    }

    fn failure(&self) -> MinerFailure {
        let mut message = message(&self.body);
        if message.is_empty() {
            message = self.status.to_string();
        }
        let (kind, flaw) = self.verdict();
        MinerFailure { kind, flaw, message }
    }

    /// Returns what the status says of the miner.
    fn verdict(&self) -> (FailureKind, Flaw) {
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (FailureKind::Refused, Flaw::Miner),
            StatusCode::TOO_MANY_REQUESTS => (FailureKind::Status, Flaw::Busy),
            StatusCode::REQUEST_TIMEOUT => (FailureKind::Timeout, Flaw::Miner),
            // It does not serve what its subnet's miners serve; the next miner may.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => (FailureKind::Status, Flaw::Miner),
            StatusCode::INTERNAL_SERVER_ERROR => (FailureKind::Status, self.internal),
            status if status.is_client_error() => (FailureKind::Status, Flaw::Request),
            _ => (FailureKind::Status, Flaw::Miner),
        }
    }
}

impl Decoder for ErrorAnswer {
    fn push(&mut self, bytes: &[u8], _: &mut Vec<Delta>) -> Result<(), MinerFailure> {
        let room = MOST.saturating_sub(self.body.len());
        self.body.extend(bytes.iter().take(room));
        if bytes.len() > room { Err(self.failure()) } else { Ok(()) }
    }

    fn finish(&mut self, _: bool, _: &mut Vec<Delta>) -> Result<(), MinerFailure> {
        Err(self.failure())
    }
}

/// Returns the message of an error body, whichever of the usual shapes it has; empty when there is none.
pub(crate) fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Shapes {
        #[serde(default)]
        error: Value,
        #[serde(default)]
        detail: Value,
        #[serde(default)]
        message: Value,
    }
    let told = serde_json::from_slice::<Shapes>(body)
        .ok()
        .and_then(|shapes| [shapes.error, shapes.message, shapes.detail].iter().find_map(text));
    words(&told.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()))
}

/// Returns the text of an error value: itself, its `message` or `msg`, or those of its first element.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Object(members) => {
            ["message", "msg", "detail", "code"].iter().find_map(|name| text(members.get(*name)?))
        }
        Value::Array(items) => items.first().and_then(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, expected: (FailureKind, Flaw, &str)) {
        let mut answer = ErrorAnswer::new(StatusCode::from_u16(status).unwrap(), Flaw::Miner);
        answer.push(body.as_bytes(), &mut Vec::new()).unwrap();
        let failure = answer.finish(true, &mut Vec::new()).unwrap_err();
        assert_eq!((failure.kind, failure.flaw, failure.message.as_str()), expected, "{status} {body}");
    }

    #[test]
    fn every_usual_shape_gives_its_message() {
        use {FailureKind::*, Flaw::*};
        check(500, r#"{"error":{"message":"exploded"}}"#, (Status, Miner, "exploded"));
        check(429, r#"{"error":{"message":"busy","type":"rate_limit"}}"#, (Status, Busy, "busy"));
        check(400, r#"{"error":"no such thing"}"#, (Status, Request, "no such thing"));
        check(422, r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#, (Status, Request, "field required"));
        check(401, r#"{"detail":"StaleRequest: too old"}"#, (Refused, Miner, "StaleRequest: too old"));
        check(403, r#"{"message":"Forbidden."}"#, (Refused, Miner, "Forbidden."));
        check(502, "<html>\n bad\tgateway</html>", (Status, Miner, "<html> bad gateway</html>"));
        check(503, "", (Status, Miner, "503 Service Unavailable"));
        check(500, r#"{"error":null}"#, (Status, Miner, r#"{"error":null}"#));
        check(408, "{}", (Timeout, Miner, "{}"));
        check(404, "no", (Status, Miner, "no"));
        check(302, "", (Status, Miner, "302 Found"));
    }

    #[test]
    fn an_endless_error_ends() {
        let mut answer = ErrorAnswer::new(StatusCode::BAD_GATEWAY, Flaw::Miner);
        let failure = (0..100).find_map(|_| answer.push(&[b'x'; 1024], &mut Vec::new()).err()).unwrap();
        assert_eq!(failure.message.len(), 300);
    }
}
