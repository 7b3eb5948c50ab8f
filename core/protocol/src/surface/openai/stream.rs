use btvep_domain::{Delta, Rejection, Usage};
use serde::Serialize;
use serde_json::value::RawValue;

use super::error;
use super::whole::{Said, completion_id, finish_reason};
use crate::surface::Attribution;

/// A stream has at most so many choices; fragments of further ones are dropped.
const CHOICES: usize = 128;

const DONE: &[u8] = b"data: [DONE]\n\n";

/// Writes a streamed answer as server-sent events, ready for the wire.
///
/// The reason for finishing is kept back until the end, so that the last chunk can tell who answered and what
/// it cost without an extra chunk that has no choice, which simple clients stumble over.
#[derive(Debug)]
pub struct ChunkWriter {
    /// What every chunk begins with.
    prefix: Vec<u8>,
    include_usage: bool,
    choices: Vec<Begun>,
}

#[derive(Debug)]
struct Begun {
    index: u32,
    finish: Option<Box<str>>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Said<'a>,
    logprobs: Option<&'a RawValue>,
    finish_reason: Option<&'a str>,
}

impl ChunkWriter {
    /// Begins a stream; `created` in unix seconds.
    pub fn new(attribution: &Attribution, created: i64, include_usage: bool) -> Self {
        let mut prefix = b"data: {\"id\":".to_vec();
        append(&mut prefix, &completion_id(attribution));
        prefix.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        append(&mut prefix, &created);
        prefix.extend_from_slice(b",\"model\":");
        append(&mut prefix, attribution.model.as_deref().unwrap_or_default());
        prefix.extend_from_slice(b",\"choices\":[");
        Self { prefix, include_usage, choices: Vec::with_capacity(1) }
    }

    /// Appends the event of a fragment to `out`; nothing when the fragment only tells why its choice ended.
    pub fn delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        let known = self.choices.iter().position(|begun| begun.index == delta.choice);
        if known.is_none() {
            if self.choices.len() >= CHOICES {
                return;
            }
            self.choices.push(Begun { index: delta.choice, finish: None });
        }
        if let Some(reason) = &delta.finish_reason {
            let place = known.unwrap_or(self.choices.len() - 1);
            if let Some(begun) = self.choices.get_mut(place) {
                begun.finish = Some(reason.clone());
            }
        }
        let first = known.is_none();
        if !first && !delta.has_substance() && delta.logprobs.is_none() {
            return;
        }
        let empty = delta.content.is_empty() && !(first && delta.extras.is_empty());
        let said = Said { role: first, content: (!empty).then_some(&*delta.content), extras: &delta.extras };
        let logprobs = delta.logprobs.as_deref();
        self.chunk(out, &ChunkChoice { index: delta.choice, delta: said, logprobs, finish_reason: None });
        self.tail(out);
    }

    /// Appends the last events: each choice's end, the usage if it was asked for, and `[DONE]`.
    /// `validator` stands in the last chunk.
    pub fn end(mut self, validator: Option<&Attribution>, usage: Option<Usage>, out: &mut Vec<u8>) {
        if self.choices.is_empty() {
            // Clients refuse a stream without any chunk.
            self.delta(&Delta::default(), out);
        }
        for (nth, begun) in self.choices.iter().enumerate() {
            let delta = Said { role: false, content: None, extras: &[] };
            let finish_reason = Some(finish_reason(begun.finish.as_deref().unwrap_or_default()));
            self.chunk(out, &ChunkChoice { index: begun.index, delta, logprobs: None, finish_reason });
            if nth + 1 == self.choices.len() && !self.include_usage {
                tell(out, validator);
            }
            self.tail(out);
        }
        if self.include_usage {
            out.extend_from_slice(&self.prefix);
            out.extend_from_slice(b"],\"usage\":");
            append(out, &usage);
            tell(out, validator);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(DONE);
    }

    /// Appends what a stream that broke ends with: the error as an event, and `[DONE]`.
    pub fn failed(self, rejection: &Rejection, validator: Option<&Attribution>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: {\"error\":");
        append(out, &error::object(rejection));
        tell(out, validator);
        out.extend_from_slice(b"}\n\n");
        out.extend_from_slice(DONE);
    }

    fn chunk(&self, out: &mut Vec<u8>, choice: &ChunkChoice<'_>) {
        out.extend_from_slice(&self.prefix);
        append(out, choice);
        out.push(b']');
    }

    fn tail(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.include_usage { b",\"usage\":null}\n\n" } else { b"}\n\n" });
    }
}

fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing our own types to memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

fn tell(out: &mut Vec<u8>, validator: Option<&Attribution>) {
    if let Some(attribution) = validator {
        out.extend_from_slice(b",\"validator\":");
        append(out, attribution);
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
