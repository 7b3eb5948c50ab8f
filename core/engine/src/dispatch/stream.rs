use std::fmt;

use btvep_domain::{Delta, Hotkey, MinerFailure, Uid, Usage};

use super::attempt::Attempt;

/// A miner's answer as it comes. Dropping it cancels the attempt: the miner's connection is closed at once.
pub struct MinerStream {
    attempt: Box<Attempt>,
    usage: Option<Usage>,
    ended: bool,
}

impl MinerStream {
    /// Takes an attempt that has substance.
    pub(super) fn new(attempt: Attempt) -> Self {
        Self { attempt: Box::new(attempt), usage: None, ended: false }
    }

    /// Returns the next fragment; none when the answer has ended in order. After an error nothing more comes.
    pub async fn next(&mut self) -> Option<Result<Delta, MinerFailure>> {
        if self.ended {
            return None;
        }
        let next = self.attempt.next().await;
        match &next {
            Some(Ok(_)) => {}
            Some(Err(failure)) => {
                self.ended = true;
                self.attempt.record().break_off(failure.clone());
            }
            None => {
                self.ended = true;
                self.usage = self.attempt.usage();
                self.attempt.record().succeed();
            }
        }
        next
    }

    /// Returns the token counts, once the answer has ended and if the miner gave them.
    pub const fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Returns who answers; none for an upstream.
    pub const fn uid(&self) -> Option<Uid> {
        self.attempt.identity().uid
    }

    /// Returns its hotkey; none for an upstream.
    pub const fn hotkey(&self) -> Option<Hotkey> {
        self.attempt.identity().hotkey
    }
}

impl fmt::Debug for MinerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MinerStream").field("uid", &self.uid()).field("ended", &self.ended).finish_non_exhaustive()
    }
}
