//! How a list of miners becomes a plan.

use btvep_domain::{Exchange, NoCandidate, Plan, Selection, Uid, Until};

/// Makes the plan that asks `uids` in their order, in batches as the selection says.
pub(crate) fn plan(uids: &[Uid], selection: &Selection) -> Result<Plan, NoCandidate> {
    begun_with(usize::MAX, uids, selection.in_parallel.map_or(usize::MAX, usize::from), selection)
}

/// Like [`plan`], but the first stage has `first` miners at most.
pub(crate) fn begun_with(first: usize, uids: &[Uid], batch: usize, selection: &Selection) -> Result<Plan, NoCandidate> {
    if uids.is_empty() {
        return Err(NoCandidate::NobodyServes);
    }
    let batch = batch.clamp(1, uids.len());
    let (first, rest) = uids.split_at(first.min(batch));
    let stages = first.chunks(batch).chain(rest.chunks(batch)).map(<[Uid]>::to_vec).collect();
    let until = if selection.first_success { Until::First } else { Until::All };
    Ok(Plan { stages, at_once: u16::try_from(batch).unwrap_or(u16::MAX), until, hedge: None })
}

/// Returns how many of several stand-ins are asked at once: one, unless the request says so or wants all answers.
pub(crate) fn in_turn(selection: &Selection) -> usize {
    match selection.in_parallel {
        Some(batch) => batch.into(),
        None if selection.first_success => 1,
        None => usize::MAX,
    }
}

/// Returns how many miners are tried: as the request says, else `usual`, as far as the key may.
pub(crate) fn tries(exchange: &Exchange, selection: &Selection, usual: u16) -> usize {
    let policy = exchange.key.as_ref().and_then(|key| key.policy.as_deref());
    let most = policy.and_then(|policy| policy.max_top_n).unwrap_or(u16::MAX);
    selection.top_n.unwrap_or(usual).min(most).into()
}
