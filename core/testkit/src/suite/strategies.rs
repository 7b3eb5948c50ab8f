use std::collections::HashSet;

use btvep_domain::{
    Breaker, Health, Hotkey, Incentive, Metagraph, MinerHealth, NetUid, Neuron, Plan, Selection, Snapshot, Strategy,
};

use crate::{exchange, neuron};

/// Checks what every strategy promises, on subnets of all sizes and states. `select` makes the selection that asks
/// this strategy for so many miners of a subnet.
pub fn strategy(strategy: &dyn Strategy, select: impl Fn(&Metagraph, u16) -> Selection) {
    for size in [1, 2, 7, 64, 256] {
        let snapshot = subnet(size);
        for (seed, n) in [1, 2, 3, 500].into_iter().cycle().take(40).enumerate() {
            for in_parallel in [None, Some(1), Some(2), Some(u16::MAX)] {
                for first_success in [true, false] {
                    let asked = select(&snapshot.metagraph, n);
                    let selection = Selection { in_parallel, first_success, ..asked };
                    plans_well(strategy, &selection, &snapshot, (n, seed as u64));
                }
            }
        }
    }
    nobody_to_ask(strategy, select);
}

fn plans_well(strategy: &dyn Strategy, selection: &Selection, snapshot: &Snapshot, (n, seed): (u16, u64)) {
    let plan = |moment| strategy.plan(&exchange(), selection, snapshot, moment).expect("somebody serves");
    let planned: Plan = plan((1_700_000_000_000, seed));
    let of = format!("{planned:?} of {selection:?}");
    assert_eq!(planned, plan((1_700_000_000_000, seed)), "the same is planned from the same");
    assert!(planned.at_once >= 1, "nobody may be in flight: {of}");
    assert!(planned.stages.iter().all(|stage| !stage.is_empty()), "a stage is empty: {of}");
    let uids = planned.stages.concat();
    assert!(!uids.is_empty() && uids.len() <= usize::from(n), "{n} miners were asked for: {of}");
    assert_eq!(uids.iter().collect::<HashSet<_>>().len(), uids.len(), "a miner stands twice: {of}");
    for uid in uids {
        let neuron = snapshot.metagraph.neuron(uid).expect("planned miners are in the metagraph");
        assert!(neuron.axon.is_some(), "uid {uid} does not serve: {of}");
    }
}

fn nobody_to_ask(strategy: &dyn Strategy, select: impl Fn(&Metagraph, u16) -> Selection) {
    let silent = (0..3).map(|uid| Neuron { axon: None, ..neuron(uid) }).collect();
    for neurons in [Vec::new(), silent] {
        let snapshot = crate::snapshot(Metagraph::new(NetUid(1), 0, 0, neurons).expect("the uids differ"));
        let plan = strategy.plan(&exchange(), &select(&snapshot.metagraph, 3), &snapshot, (0, 0));
        assert!(plan.is_err(), "nobody serves, but there is a plan: {plan:?}");
    }
}

/// Returns a subnet in which every third miner but the first does not serve, every fourth earns nothing, owners have
/// several miners, and health is of all kinds.
fn subnet(size: u16) -> Snapshot {
    let of = |uid: u16| {
        let usual = neuron(uid);
        Neuron {
            axon: usual.axon.filter(|_| uid == 0 || !uid.is_multiple_of(3)),
            incentive: Incentive(if uid.is_multiple_of(4) { 0 } else { uid.wrapping_mul(7919) }),
            coldkey: Hotkey([u8::try_from(uid % 5).unwrap_or_default(); 32]),
            ..usual
        }
    };
    let health = |uid: u16| MinerHealth {
        latency_ms: f32::from(uid % 7) * 100.0,
        error_rate: f32::from(uid % 6) / 5.0,
        in_flight: u32::from(uid % 4),
        breaker: [Breaker::Closed, Breaker::HalfOpen, Breaker::Open][usize::from(uid % 11).min(2)],
        attempts: u64::from(uid % 7),
    };
    let metagraph = Metagraph::new(NetUid(1), 0, 0, (0..size).map(of).collect()).expect("the uids differ");
    let health = Health { miners: (0..size).map(health).collect(), ..Health::default() };
    Snapshot { metagraph: metagraph.into(), health: health.into() }
}
