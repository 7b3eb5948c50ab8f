use std::sync::Arc;

use btvep_domain::{Answer, Choice, Delta, FailureKind, MinerFailure, Usage};

use super::attempt::Attempt;
use super::record::no_room;
use crate::{COPIES, Place};

/// What one miner gave, whole.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Option<Usage>,
}

impl From<Collected> for Answer {
    fn from(Collected { choices, usage }: Collected) -> Self {
        Self { choices, usage, ..Self::default() }
    }
}

/// Reads an attempt to its end; the record has the failure.
pub(super) async fn collect(mut attempt: Attempt, place: &Arc<Place>) -> Option<Collected> {
    attempt.start().await.ok()?;
    let mut memory = place.account();
    let identity = attempt.identity();
    let (uid, hotkey) = (identity.uid, identity.hotkey);
    let mut drafts: Vec<Delta> = Vec::with_capacity(1);
    while let Some(next) = attempt.next().await {
        match next {
            Ok(delta) => match memory.grow(COPIES * delta.bytes()) {
                Ok(()) => add(&mut drafts, delta),
                Err(shed) => {
                    attempt.record().fail(no_room(shed));
                    return None;
                }
            },
            Err(failure) => {
                attempt.record().fail(failure);
                return None;
            }
        }
    }
    drafts.retain(Delta::has_substance);
    if drafts.is_empty() {
        attempt.record().fail(MinerFailure::new(FailureKind::Empty, "Empty response"));
        return None;
    }
    drafts.sort_by_key(|draft| draft.choice);
    memory.keep();
    let usage = attempt.usage();
    let response_ms = attempt.record().succeed();
    let choice = |whole: Delta| Choice {
        uid,
        hotkey,
        content: whole.content,
        extras: whole.extras,
        logprobs: whole.logprobs,
        finish_reason: whole.finish_reason.unwrap_or_else(|| "stop".into()),
        response_ms,
    };
    Some(Collected { choices: drafts.into_iter().map(choice).collect(), usage })
}

/// Choices are few: no more than were asked for pass, and a search beats a map.
fn add(drafts: &mut Vec<Delta>, delta: Delta) {
    let Some(whole) = drafts.iter_mut().find(|draft| draft.choice == delta.choice) else {
        drafts.push(delta);
        return;
    };
    whole.content.push_str(&delta.content);
    for (name, value) in delta.extras {
        // A member stands once in an object; the newest is the fullest.
        match whole.extras.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => whole.extras.push((name, value)),
        }
    }
    whole.logprobs = delta.logprobs.or_else(|| whole.logprobs.take());
    whole.finish_reason = delta.finish_reason.or_else(|| whole.finish_reason.take());
}
