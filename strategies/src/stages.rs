//! How a list of miners becomes a plan.

use btvep_domain::{NoCandidate, Plan, Selection, Uid, Until};

/// Makes the plan that asks `uids` in their order, in batches as the selection says.
pub(crate) fn plan(uids: &[Uid], selection: &Selection) -> Result<Plan, NoCandidate> {
    if uids.is_empty() {
        return Err(NoCandidate::NobodyServes);
    }
    let batch = selection.in_parallel.map_or(uids.len(), usize::from).clamp(1, uids.len());
    let stages = uids.chunks(batch).map(<[Uid]>::to_vec).collect();
    let until = if selection.first_success { Until::First } else { Until::All };
    Ok(Plan { stages, at_once: u16::try_from(batch).unwrap_or(u16::MAX), until })
}
