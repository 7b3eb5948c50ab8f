use btvep_domain::{Decoder, Delta, FailureKind, MinerFailure, Usage};

use super::EMPTY;
use super::fragment::Completion;

/// Decodes a completion that comes in one piece: one fragment for each choice.
#[derive(Debug)]
pub(super) struct Whole {
    body: Vec<u8>,
    choices: u32,
    usage: Option<Usage>,
}

impl Whole {
    /// Decodes at most so many choices; what a miner gives beyond what was asked is left out.
    pub(super) const fn new(choices: u32) -> Self {
        Self { body: Vec::new(), choices, usage: None }
    }
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
        let completion = Completion::read(&self.body)?;
        self.usage = completion.usage();
        let first = deltas.len();
        for (choice, place) in completion.choices.unwrap_or_default().into_iter().zip(0..) {
            let index = choice.index.unwrap_or(place);
            if index >= self.choices {
                continue;
            }
            if deltas.iter().skip(first).any(|delta| delta.choice == index) {
                return Err(MinerFailure::new(FailureKind::Malformed, "two choices have the same index"));
            }
            deltas.push(choice.into_delta(index));
        }
        if deltas.iter().skip(first).any(Delta::has_substance) {
            Ok(())
        } else {
            deltas.truncate(first);
            Err(MinerFailure::new(FailureKind::Empty, EMPTY))
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }
}
