use std::collections::HashSet;

use btvep_domain::{Exchange, Neuron, NoCandidate, Plan, Selection, Snapshot, Strategy, Uid, verdict};

use crate::stages;

/// Asks exactly the miners that the request names, in its order.
///
/// A miner that is known but does not serve stays in the plan: the client named it, so its failure
/// stands in the answer.
#[derive(Debug, Default)]
pub struct Uids;

impl Strategy for Uids {
    fn name(&self) -> &'static str {
        "uids"
    }

    fn plan(
        &self,
        _exchange: &Exchange,
        selection: &Selection,
        snapshot: &Snapshot,
        _moment: (i64, u64),
    ) -> Result<Plan, NoCandidate> {
        let is_unknown = |uid: &Uid| snapshot.metagraph.place(*uid).is_none();
        let unknown: Vec<Uid> = selection.uids.iter().copied().filter(is_unknown).collect();
        if !unknown.is_empty() {
            return Err(NoCandidate::UnknownUids(unknown));
        }
        // The request was checked for this already; a plan that names a miner twice would be refused by dispatch.
        let mut seen = HashSet::new();
        let uids: Vec<Uid> = selection.uids.iter().copied().filter(|uid| seen.insert(*uid)).collect();
        stages::plan(&uids, selection)
    }

    fn passes_over(&self, _selection: &Selection, _neuron: &Neuron) -> &'static str {
        verdict::NOT_AMONG_UIDS
    }
}

#[cfg(test)]
mod tests {
    use btvep_domain::Until;

    use super::*;
    use crate::fixture::{self, uids};

    #[track_caller]
    fn check(spec: &str, in_parallel: Option<u16>, expected: &Result<Vec<Vec<Uid>>, NoCandidate>) {
        let plan = fixture::plan(&Uids, spec, in_parallel, true);
        assert_eq!(&plan.map(|plan| plan.stages), expected);
    }

    #[test]
    fn exactly_these_in_this_order() {
        check("uids=5,0,3", None, &Ok(vec![uids(&[5, 0, 3])]));
    }

    #[test]
    fn who_is_passed_over_is_told_why() {
        let [not_serving, serving] = [(4, "not_among_uids"), (2, "not_among_uids")];
        assert_eq!(fixture::passed_over(&Uids, "uids=5,0,3,1"), [not_serving, serving]);
    }

    #[test]
    fn unknown_uids_are_named() {
        check("uids=1,99,700", None, &Err(NoCandidate::UnknownUids(uids(&[99, 700]))));
    }

    #[test]
    fn a_named_miner_that_does_not_serve_is_still_asked() {
        check("uids=4", None, &Ok(vec![uids(&[4])]));
    }

    #[test]
    fn batches_follow_one_another() {
        check("uids=5,0,3", Some(2), &Ok(vec![uids(&[5, 0]), uids(&[3])]));
        check("uids=5,0,3", Some(9), &Ok(vec![uids(&[5, 0, 3])]));
    }

    #[test]
    fn waiting_for_all_is_the_requests_choice() {
        let plan = fixture::plan(&Uids, "uids=5,0", None, false).unwrap();
        assert_eq!((plan.until, plan.at_once), (Until::All, 2));
    }
}
