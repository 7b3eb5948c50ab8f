use btvep_domain::{Exchange, Neuron, NoCandidate, Plan, Selection, Snapshot, Strategy, verdict};

use crate::stages;

/// Asks the `n` serving miners of highest incentive; ties go to the lower uid, fewer than `n` is fine.
#[derive(Debug, Default)]
pub struct TopN;

impl Strategy for TopN {
    fn name(&self) -> &'static str {
        "top_n"
    }

    fn plan(
        &self,
        _exchange: &Exchange,
        selection: &Selection,
        snapshot: &Snapshot,
        _moment: (i64, u64),
    ) -> Result<Plan, NoCandidate> {
        let serving = snapshot.metagraph.by_incentive();
        let n = usize::from(selection.top_n.unwrap_or(1)).min(serving.len());
        stages::plan(serving.get(..n).unwrap_or(serving), selection)
    }

    fn passes_over(&self, _selection: &Selection, neuron: &Neuron) -> &'static str {
        if neuron.axon.is_some() { verdict::LOWER_INCENTIVE } else { verdict::NOT_SERVING }
    }
}

#[cfg(test)]
mod tests {
    use btvep_domain::{Uid, Until};

    use super::*;
    use crate::fixture::{self, uids};

    #[track_caller]
    fn check(spec: &str, in_parallel: Option<u16>, expected: &[Vec<Uid>]) {
        let plan = fixture::plan(&TopN, spec, in_parallel, true).unwrap();
        assert_eq!(plan.stages, expected);
    }

    #[test]
    fn highest_incentive_first_and_ties_to_the_lower_uid() {
        check("top_n=3", None, &[uids(&[3, 1, 5])]);
    }

    #[test]
    fn fewer_than_n_is_fine_and_only_who_serves_is_asked() {
        check("top_n=500", None, &[uids(&[3, 1, 5, 2, 0])]);
    }

    #[test]
    fn batches_follow_one_another() {
        check("top_n=5", Some(2), &[uids(&[3, 1]), uids(&[5, 2]), uids(&[0])]);
        check("top_n=3", Some(1), &[uids(&[3]), uids(&[1]), uids(&[5])]);
    }

    #[test]
    fn all_of_a_batch_are_in_flight_together() {
        let at_once = |in_parallel| fixture::plan(&TopN, "top_n=5", in_parallel, true).unwrap().at_once;
        assert_eq!((at_once(None), at_once(Some(2)), at_once(Some(60_000))), (5, 2, 5));
    }

    #[test]
    fn first_success_or_all_is_the_requests_choice() {
        let until = |first| fixture::plan(&TopN, "top_n=2", None, first).unwrap().until;
        assert_eq!((until(true), until(false)), (Until::First, Until::All));
    }

    #[test]
    fn who_is_passed_over_is_told_why() {
        assert_eq!(
            fixture::passed_over(&TopN, "top_n=3"),
            [(4, "not_serving"), (0, "lower_incentive"), (2, "lower_incentive")]
        );
    }

    #[test]
    fn nobody_serving_is_said() {
        let plan = fixture::plan_on(&TopN, "top_n=2", &fixture::snapshot(&[(0, 9, false)]));
        assert_eq!(plan, Err(NoCandidate::NobodyServes));
    }
}
