use std::collections::HashSet;

use btvep_domain::{InvalidPlan, Metagraph, Plan, Until};

/// Checks a plan before anything is paid or sent: a strategy may be anybody's.
///
/// # Errors
///
/// It asks nobody, more than `max_miners`, a miner twice, one that is not in the metagraph, or none at once; or it wants more to
/// agree than it asks.
pub fn validate(plan: &Plan, metagraph: &Metagraph, max_miners: u16) -> Result<(), InvalidPlan> {
    let (planned, limit) = (plan.miners(), usize::from(max_miners));
    if planned == 0 {
        return Err(InvalidPlan::Empty);
    }
    if planned > limit {
        return Err(InvalidPlan::TooMany { planned, limit });
    }
    if plan.at_once == 0 {
        return Err(InvalidPlan::NoneAtOnce);
    }
    if let Until::Agree { k, .. } = plan.until
        && usize::from(k) > planned
    {
        return Err(InvalidPlan::NeverAgree { k, planned });
    }
    let mut seen = HashSet::with_capacity(planned);
    for &uid in plan.stages.iter().flatten() {
        if metagraph.place(uid).is_none() {
            return Err(InvalidPlan::Unknown(uid));
        }
        if !seen.insert(uid) {
            return Err(InvalidPlan::Twice(uid));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use btvep_domain::{Comparison, Uid};
    use btvep_testkit::neurons;

    use super::*;

    fn check(stages: &[&[u16]], at_once: u16) -> Result<(), InvalidPlan> {
        let stages = stages.iter().map(|stage| stage.iter().copied().map(Uid).collect()).collect();
        validate(&Plan { stages, at_once, until: Until::First, hedge: None }, &neurons(4), 3)
    }

    #[test]
    fn a_plan_of_known_miners_each_once_is_taken() {
        assert_eq!(check(&[&[2], &[0, 1]], 1), Ok(()));
    }

    #[test]
    fn no_more_can_agree_than_are_asked() {
        let plan = |k| Plan {
            stages: vec![vec![Uid(0), Uid(1)]],
            at_once: 2,
            until: Until::Agree { k, by: Comparison::Exact },
            hedge: None,
        };
        assert_eq!(validate(&plan(2), &neurons(4), 3), Ok(()));
        assert_eq!(validate(&plan(3), &neurons(4), 3), Err(InvalidPlan::NeverAgree { k: 3, planned: 2 }));
    }

    #[test]
    fn every_other_plan_is_refused_with_its_reason() {
        assert_eq!(check(&[], 1), Err(InvalidPlan::Empty));
        assert_eq!(check(&[&[], &[]], 1), Err(InvalidPlan::Empty));
        assert_eq!(check(&[&[0, 1], &[2, 3]], 1), Err(InvalidPlan::TooMany { planned: 4, limit: 3 }));
        assert_eq!(check(&[&[0]], 0), Err(InvalidPlan::NoneAtOnce));
        assert_eq!(check(&[&[0], &[4]], 1), Err(InvalidPlan::Unknown(Uid(4))));
        assert_eq!(check(&[&[0], &[1, 0]], 1), Err(InvalidPlan::Twice(Uid(0))));
    }
}
