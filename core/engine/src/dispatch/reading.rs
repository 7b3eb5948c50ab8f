use std::time::Duration;

use btvep_domain::{Decoder, Delta, FailureKind, MinerFailure, Usage};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::alarm::Alarm;
use super::record::no_room;
use crate::Taken;

/// How long the end of a body may lag behind the protocol's own end.
const TAIL_PATIENCE: Duration = Duration::from_secs(1);
/// Frames read after the protocol's own end before the connection is given up.
const TAIL_FRAMES: usize = 8;

/// An answer being read: bytes in, fragments out. Dropped before its end, it closes the connection.
#[derive(Debug)]
pub(super) struct Reading {
    /// None once it has ended.
    body: Option<Incoming>,
    decoder: Box<dyn Decoder>,
    /// Bytes still taken.
    room: usize,
    limit: usize,
    /// Memory of what has been read and not been passed on.
    memory: Taken,
    /// Choices wanted; what a miner gives beyond is not looked at.
    choices: u32,
    /// Decoded; those before `taken` are gone.
    deltas: Vec<Delta>,
    taken: usize,
    substance: bool,
}

impl Reading {
    pub(super) fn new(
        body: Incoming,
        decoder: Box<dyn Decoder>,
        (limit, memory): (usize, Taken),
        choices: u32,
    ) -> Self {
        Self {
            body: Some(body),
            decoder,
            room: limit,
            limit,
            memory,
            choices: choices.max(1),
            deltas: Vec::new(),
            taken: 0,
            substance: false,
        }
    }

    /// Whether anything has come that a client would call an answer.
    pub(super) const fn has_substance(&self) -> bool {
        self.substance
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.body.is_none()
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        self.decoder.usage()
    }

    /// Returns the next fragment that has been decoded.
    pub(super) fn pop(&mut self) -> Option<Delta> {
        let delta = self.deltas.get_mut(self.taken).map(std::mem::take);
        if delta.is_some() {
            self.taken += 1;
        } else if self.taken > 0 {
            self.deltas.clear();
            self.taken = 0;
            self.memory.clear();
        }
        delta
    }

    /// Reads on, once. After an error the answer has ended.
    pub(super) async fn advance(&mut self, alarm: Alarm) -> Result<(), MinerFailure> {
        let Some(mut body) = self.body.take() else { return Ok(()) };
        let before = self.deltas.len();
        match alarm.bound(body.frame()).await? {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.feed(&data)?;
                }
                if self.decoder.is_done() {
                    self.decoder.finish(true, &mut self.deltas)?;
                    leave_clean(body);
                } else if body.is_end_stream() {
                    self.decoder.finish(true, &mut self.deltas)?;
                } else {
                    self.body = Some(body);
                }
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "the answer broke off");
                self.decoder.finish(false, &mut self.deltas)?;
            }
            None => self.decoder.finish(true, &mut self.deltas)?,
        }
        self.sift(before)
    }

    fn feed(&mut self, data: &[u8]) -> Result<(), MinerFailure> {
        self.room = self.room.checked_sub(data.len()).ok_or_else(|| {
            MinerFailure::new(FailureKind::TooLarge, format!("the answer is larger than {} bytes", self.limit))
        })?;
        self.memory.grow(data.len()).map_err(no_room)?;
        self.decoder.push(data, &mut self.deltas)
    }

    /// Looks at what is new, and refuses an answer that has ended without saying anything.
    fn sift(&mut self, before: usize) -> Result<(), MinerFailure> {
        let choices = self.choices;
        if self.deltas.iter().skip(before).any(|delta| delta.choice >= choices) {
            self.deltas.retain(|delta| delta.choice < choices);
        }
        self.substance = self.substance || self.deltas.iter().skip(before).any(Delta::has_substance);
        if self.has_ended() && !self.substance {
            return Err(MinerFailure::new(FailureKind::Empty, "Empty response"));
        }
        Ok(())
    }
}

/// Reads the end of a body whose content is complete, so that its connection can serve again.
fn leave_clean(mut body: Incoming) {
    if body.is_end_stream() || matches!(body.frame().now_or_never(), Some(None)) {
        return;
    }
    let tail = async move {
        for _ in 0..TAIL_FRAMES {
            if !matches!(body.frame().await, Some(Ok(_))) {
                break;
            }
        }
    };
    tokio::spawn(tokio::time::timeout(TAIL_PATIENCE, tail));
}
