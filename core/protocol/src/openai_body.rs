//! The OpenAI chat body, as several miner protocols carry it.
//!
//! What the client sent reaches the miner to the byte, but for the few members that are ours to set; what the miner
//! answers is decoded into fragments, whole or streamed.

mod fragment;
mod request;
mod sse;
mod stream;
mod whole;

use btvep_domain::{Call, Decoder, FailureKind, Flaw, MinerFailure};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use crate::error_answer::ErrorAnswer;

#[cfg(test)]
pub(crate) use fragment::Members;
pub(crate) use request::plain_name;
pub use request::request_body;

/// The original's words for a success without text.
pub(crate) const EMPTY: &str = "Empty response";

/// Begins to decode an answer: an error, a stream, or a whole completion.
///
/// The answer's own type decides: a server may answer whole although a stream was asked for, and the other way round.
pub fn decoder(call: &Call<'_>, status: StatusCode, headers: &HeaderMap) -> Box<dyn Decoder> {
    if !status.is_success() {
        return Box::new(ErrorAnswer::new(status, Flaw::Miner));
    }
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !matches!(header(CONTENT_ENCODING), "" | "identity") {
        return Box::new(Refusing(MinerFailure::new(
            FailureKind::Malformed,
            "the answer is compressed, which was not asked for",
        )));
    }
    let kind = header(CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    let choices = call.prompt.n.max(1);
    if kind.eq_ignore_ascii_case("text/event-stream") || (call.stream && !kind.eq_ignore_ascii_case("application/json"))
    {
        Box::new(stream::Stream::new(choices))
    } else {
        Box::new(whole::Whole::new(choices))
    }
}

/// Fails whatever comes.
#[derive(Debug)]
struct Refusing(MinerFailure);

impl Decoder for Refusing {
    fn push(&mut self, _: &[u8], _: &mut Vec<btvep_domain::Delta>) -> Result<(), MinerFailure> {
        Err(self.0.clone())
    }

    fn finish(&mut self, _: bool, _: &mut Vec<btvep_domain::Delta>) -> Result<(), MinerFailure> {
        Err(self.0.clone())
    }
}

/// An answer that cannot be read. The parser's own words are left out, for they may repeat a part of the answer.
pub(crate) fn unreadable(error: &serde_json::Error) -> MinerFailure {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Data => "it has another shape",
        _ => "it is not JSON",
    };
    MinerFailure::new(FailureKind::Malformed, format!("Failed to parse response object with error: {what}"))
}

#[cfg(test)]
mod tests;
