//! Answers of axons: the whole synapse as JSON, or raw text in pieces.

use std::fmt;

use btvep_domain::{Decoder, Delta, FailureKind, MinerFailure};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use crate::openai_body::{EMPTY, unreadable};

/// Begins to decode a success. Its type decides, for the `forward` of a streaming class may return a whole synapse.
pub(super) fn decoder(field: &str, streams: bool, headers: &HeaderMap) -> Box<dyn Decoder> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_text = kind.starts_with("text/event-stream") || (streams && !kind.starts_with("application/json"));
    if is_text { Box::new(Text::default()) } else { Box::new(Whole { body: Vec::new(), field: field.to_owned() }) }
}

/// The whole synapse, the prompt among it; only the answer's field is read.
#[derive(Debug)]
struct Whole {
    body: Vec<u8>,
    field: String,
}

impl Decoder for Whole {
    fn push(&mut self, bytes: &[u8], _: &mut Vec<Delta>) -> Result<(), MinerFailure> {
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(&mut self, clean: bool, deltas: &mut Vec<Delta>) -> Result<(), MinerFailure> {
        if !clean {
            return Err(MinerFailure::new(FailureKind::Disconnected, "the connection closed within the answer"));
        }
        let mut json = serde_json::Deserializer::from_slice(&self.body);
        let content = json.deserialize_map(Member(&self.field)).map_err(|error| unreadable(&error))?;
        json.end().map_err(|error| unreadable(&error))?;
        match content {
            Some(content) if !content.is_empty() => deltas.push(Delta { content, ..Delta::default() }),
            _ => return Err(MinerFailure::new(FailureKind::Empty, EMPTY)),
        }
        Ok(())
    }
}

/// Reads one text member of an object; none when it is missing or null.
struct Member<'a>(&'a str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a synapse")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<std::borrow::Cow<'de, str>>()? {
            if name == self.0 {
                found = members.next_value()?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Text in pieces, which may be cut within a character.
#[derive(Debug, Default)]
struct Text {
    /// The beginning of a character.
    rest: Vec<u8>,
    begun: bool,
}

impl Decoder for Text {
    fn push(&mut self, bytes: &[u8], deltas: &mut Vec<Delta>) -> Result<(), MinerFailure> {
        let mut joined = std::mem::take(&mut self.rest);
        joined.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&joined) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(MinerFailure::new(FailureKind::Malformed, "the answer is not UTF-8")),
        };
        self.rest = joined.split_off(whole);
        if let Ok(content) = String::from_utf8(joined)
            && !content.is_empty()
        {
            self.begun = true;
            deltas.push(Delta { content, ..Delta::default() });
        }
        Ok(())
    }

    fn finish(&mut self, clean: bool, _: &mut Vec<Delta>) -> Result<(), MinerFailure> {
        let not_whole = "the stream ended before the answer was whole";
        match (clean, self.rest.is_empty(), self.begun) {
            (false, ..) => Err(MinerFailure::new(FailureKind::Disconnected, not_whole)),
            (_, false, _) => Err(MinerFailure::new(FailureKind::Malformed, not_whole)),
            (_, _, false) => Err(MinerFailure::new(FailureKind::Empty, EMPTY)),
            _ => Ok(()),
        }
    }
}
