use btvep_domain::{Decoder, Delta, FailureKind, MinerFailure, Usage};

use super::EMPTY;
use super::fragment::Completion;
use super::sse::{Event, EventTooLong, Events};

/// Decodes a stream of chunks as it arrives.
#[derive(Debug)]
pub(super) struct Stream {
    events: Events,
    chunks: Chunks,
}

/// What the chunks have told so far.
#[derive(Debug)]
struct Chunks {
    /// The choices that have begun, and whether each has ended; never longer than what was asked for.
    ended: Vec<Option<bool>>,
    choices: u32,
    usage: Option<Usage>,
    has_substance: bool,
    is_done: bool,
}

impl Stream {
    /// Decodes at most so many choices; what a miner gives beyond what was asked is left out.
    pub(super) fn new(choices: u32) -> Self {
        let chunks = Chunks { ended: Vec::new(), choices, usage: None, has_substance: false, is_done: false };
        Self { events: Events::default(), chunks }
    }
}

impl From<EventTooLong> for MinerFailure {
    fn from(_: EventTooLong) -> Self {
        Self::new(FailureKind::TooLarge, "a line of the stream is longer than 1 MiB")
    }
}

impl Chunks {
    fn take(&mut self, event: &Event<'_>, deltas: &mut Vec<Delta>) -> Result<(), MinerFailure> {
        let data = event.data.trim_ascii();
        if self.is_done || data.is_empty() {
            return Ok(());
        }
        if event.is_error {
            return Err(MinerFailure::new(FailureKind::Status, crate::error_answer::message(data)));
        }
        if data.starts_with(b"[DONE]") {
            self.is_done = true;
            return Ok(());
        }
        let chunk = Completion::read(data)?;
        self.usage = chunk.usage().or(self.usage);
        for choice in chunk.choices.unwrap_or_default() {
            let index = choice.index.unwrap_or(0);
            if index >= self.choices {
                continue;
            }
            let delta = choice.into_delta(index);
            self.note(&delta);
            if delta.has_substance() || delta.logprobs.is_some() || delta.finish_reason.is_some() {
                deltas.push(delta);
            }
        }
        Ok(())
    }

    fn note(&mut self, delta: &Delta) {
        let place = delta.choice as usize;
        if self.ended.len() <= place {
            self.ended.resize(place + 1, None);
        }
        if let Some(ended) = self.ended.get_mut(place) {
            *ended = Some(ended.unwrap_or(false) || delta.finish_reason.is_some());
        }
        self.has_substance |= delta.has_substance();
    }

    /// Whether the miner said that it is done, or ended each choice that it began.
    fn is_whole(&self) -> bool {
        self.is_done || (!self.ended.is_empty() && self.ended.iter().flatten().all(|ended| *ended))
    }
}

impl Decoder for Stream {
    fn push(&mut self, bytes: &[u8], deltas: &mut Vec<Delta>) -> Result<(), MinerFailure> {
        self.events.push(bytes, |event| self.chunks.take(&event, deltas))
    }

    fn finish(&mut self, clean: bool, deltas: &mut Vec<Delta>) -> Result<(), MinerFailure> {
        if clean {
            self.events.finish(|event| self.chunks.take(&event, deltas))?;
        }
        if !self.chunks.is_whole() {
            let kind = if clean { FailureKind::Malformed } else { FailureKind::Disconnected };
            return Err(MinerFailure::new(kind, "the stream ended before the answer was whole"));
        }
        if self.chunks.has_substance { Ok(()) } else { Err(MinerFailure::new(FailureKind::Empty, EMPTY)) }
    }

    fn is_done(&self) -> bool {
        self.chunks.is_done
    }

    fn usage(&self) -> Option<Usage> {
        self.chunks.usage
    }
}
