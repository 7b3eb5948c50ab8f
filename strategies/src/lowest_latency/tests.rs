use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use btvep_domain::{Health, Hotkey, Incentive, Metagraph, NetUid, SelectionSource};
use btvep_testkit::exchange;

use super::*;
use crate::Spec;
use crate::fixture::{self, firsts, uids};

/// So many plans are looked at; their seeds are fixed, so a bound holds always or never.
const PLANS: u32 = fixture::SEEDS;

fn strategy(explore: f64) -> LowestLatency {
    LowestLatency::new(&Config { explore, ..Config::default() }).unwrap()
}

fn answers_in(latency_ms: f32) -> MinerHealth {
    MinerHealth { latency_ms, attempts: 9, ..MinerHealth::default() }
}

/// Miners of one incentive, each with an owner and a machine of its own, uids from 0.
fn subnet(health: &[MinerHealth]) -> Snapshot {
    let neuron = |uid: u16| Neuron {
        incentive: Incentive(100),
        coldkey: btvep_testkit::hotkey(uid),
        axon: Some(SocketAddr::from(([192, 0, 2, u8::try_from(uid).unwrap()], 8091))),
        ..btvep_testkit::neuron(uid)
    };
    let neurons = (0..u16::try_from(health.len()).unwrap()).map(neuron).collect();
    with(neurons, health)
}

fn with(neurons: Vec<Neuron>, health: &[MinerHealth]) -> Snapshot {
    let metagraph = Arc::new(Metagraph::new(NetUid(1), 0, 0, neurons).unwrap());
    Snapshot { metagraph, health: Arc::new(Health { miners: health.to_vec(), ..Health::default() }) }
}

fn first(found: &BTreeMap<Uid, u32>, uid: u16) -> u32 {
    found.get(&Uid(uid)).copied().unwrap_or_default()
}

/// How often each miner comes first when nothing is explored.
fn without_exploring(health: &[MinerHealth]) -> Vec<u32> {
    let found = firsts(&strategy(0.0), &subnet(health));
    (0..u16::try_from(health.len()).unwrap()).map(|uid| first(&found, uid)).collect()
}

fn stages(snapshot: &Snapshot, spec: &str, in_parallel: Option<u16>, seed: u64) -> Vec<Vec<Uid>> {
    let selection = Spec::parse(spec).unwrap().select(SelectionSource::Body, in_parallel, true);
    strategy(0.0).plan(&exchange(), &selection, snapshot, (0, seed)).unwrap().stages
}

#[test]
fn the_fast_come_first_and_the_slow_hardly_ever() {
    let found = without_exploring(&[40.0, 50.0, 60.0, 1_000.0].map(answers_in));
    assert!(found[0] > found[1] && found[1] > found[2], "{found:?}");
    assert!(found[2] > 0, "also the third, when it is drawn with the slow one: {found:?}");
    assert_eq!(found[3], 0, "of two the better is tried first");
}

#[test]
fn errors_count_as_latency_does() {
    let failing = MinerHealth { error_rate: 0.9, ..answers_in(50.0) };
    let found = without_exploring(&[failing, answers_in(100.0), answers_in(100.0)]);
    assert_eq!(found[0], 0, "ten tries at 50 ms are no bargain: {found:?}");
}

#[test]
fn a_miner_with_many_prompts_in_flight_is_left_to_them() {
    let busy = MinerHealth { in_flight: 9, ..answers_in(50.0) };
    let found = without_exploring(&[busy, answers_in(100.0), answers_in(100.0)]);
    assert_eq!(found[0], 0, "{found:?}");
}

#[test]
fn incentive_decides_among_the_equally_fast_but_not_against_twice_the_speed() {
    let neuron = |uid, incentive| Neuron { incentive: Incentive(incentive), ..btvep_testkit::neuron(uid) };
    let firsts = |fast| {
        let neurons = vec![neuron(0, 0), neuron(1, 60_000)];
        let found = firsts(&strategy(0.0), &with(neurons, &[fast, 100.0].map(answers_in)));
        [first(&found, 0), first(&found, 1)]
    };
    assert_eq!(firsts(100.0), [0, PLANS]);
    assert_eq!(firsts(49.0), [PLANS, 0]);
}

#[test]
fn an_unknown_miner_is_neither_first_nor_last() {
    let found = without_exploring(&[20.0, 40.0, 0.0, 80.0, 90.0].map(answers_in));
    assert!(found[0] > found[2] && found[2] > found[3], "{found:?}");
    let nobody_known = without_exploring(&[MinerHealth::default(); 4]);
    assert!(nobody_known.iter().all(|count| count.abs_diff(PLANS / 4) < PLANS / 20), "{nobody_known:?}");
}

#[test]
fn a_share_is_explored_whatever_is_known() {
    let slow = [10.0, 10.0, 10.0, 9_000.0].map(answers_in);
    let found = first(&firsts(&strategy(0.2), &subnet(&slow)), 3);
    let expected = PLANS / 5 / 4;
    assert!(found.abs_diff(expected) < expected / 3, "{found} of {PLANS}, not about {expected}");
}

#[test]
fn an_explored_miner_has_good_stand_ins() {
    let snapshot = subnet(&[10.0, 10.0, 10.0, 9_000.0, 9_000.0].map(answers_in));
    let selection = Spec::parse("lowest_latency:2").unwrap().select(SelectionSource::Body, None, true);
    let plan = |seed| strategy(1.0).plan(&exchange(), &selection, &snapshot, (0, seed)).unwrap().stages.concat();
    let slow_first: Vec<Vec<Uid>> = (0..u64::from(PLANS)).map(plan).filter(|uids| uids[0] >= Uid(3)).collect();
    assert!(slow_first.len() > 500, "two of five are slow");
    assert!(slow_first.iter().filter(|uids| uids[1] >= Uid(3)).count() < 10, "who stands in is fast");
}

#[test]
fn an_open_breaker_is_the_last_resort_also_when_exploring() {
    let open = MinerHealth { breaker: Breaker::Open, ..answers_in(1.0) };
    let snapshot = subnet(&[open, answers_in(100.0), answers_in(100.0)]);
    assert_eq!(first(&firsts(&strategy(1.0), &snapshot), 0), 0);
    for seed in 0..100 {
        assert_eq!(stages(&snapshot, "lowest_latency:3", None, seed)[2], [Uid(0)]);
        assert_eq!(stages(&snapshot, "lowest_latency:3", Some(3), seed)[1], [Uid(0)], "not raced with the others");
    }
    assert_eq!(stages(&subnet(&[open]), "lowest_latency", None, 0), [uids(&[0])], "if there is nobody else");
}

#[test]
fn a_half_open_breaker_may_be_tried() {
    let half_open = MinerHealth { breaker: Breaker::HalfOpen, error_rate: 0.67, ..answers_in(50.0) };
    let found = first(&firsts(&strategy(0.2), &subnet(&[half_open, answers_in(50.0), answers_in(50.0)])), 0);
    assert!(found > PLANS / 50, "{found}");
}

#[test]
fn no_two_of_one_owner_or_machine_are_asked_together() {
    let miner = |uid: u16, owner, machine| Neuron {
        coldkey: Hotkey([owner; 32]),
        axon: Some(SocketAddr::from(([192, 0, 2, machine], 8091 + uid))),
        ..btvep_testkit::neuron(uid)
    };
    let neurons = vec![miner(0, 1, 1), miner(1, 1, 2), miner(2, 2, 2), miner(3, 2, 1)];
    let snapshot = with(neurons, &[answers_in(50.0); 4]);
    for seed in 0..500 {
        let stages = stages(&snapshot, "lowest_latency:4", Some(3), seed);
        let mut first = stages[0].clone();
        first.sort();
        assert!(first == uids(&[0, 2]) || first == uids(&[1, 3]), "{stages:?}");
        assert_eq!(stages.concat().len(), 4, "the others are tried next");
    }
}

#[test]
fn many_miners_are_tried_in_turn_unless_the_request_says_otherwise() {
    let snapshot = subnet(&[answers_in(50.0); 6]);
    let sizes = |spec, in_parallel| stages(&snapshot, spec, in_parallel, 1).iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes("lowest_latency", None), [1, 1, 1]);
    assert_eq!(sizes("lowest_latency:1", None), [1]);
    assert_eq!(sizes("lowest_latency=5", Some(2)), [2, 2, 1]);
}

#[test]
fn who_is_passed_over_is_told_why() {
    let passed = fixture::passed_over(&strategy(0.0), "lowest_latency:4");
    assert_eq!(passed.iter().map(|(_, verdict)| *verdict).collect::<Vec<_>>(), ["not_serving", "not_drawn"]);
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    for explore in [-0.1, 1.1, f64::NAN] {
        let error = LowestLatency::new(&Config { explore, ..Config::default() }).unwrap_err();
        assert!(error.to_string().contains("explore: must be from 0 to 1"), "{error}");
    }
    assert!(LowestLatency::new(&Config { tries: 0, ..Config::default() }).is_err());
}
