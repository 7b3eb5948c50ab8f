use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

fn load() -> Arc<Load> {
    Load::new(&Registry::new()).unwrap()
}

fn limits(requests: usize) -> OverloadConfig {
    OverloadConfig { requests, bytes: 1 << 30, ..OverloadConfig::default() }
}

#[expect(clippy::unnecessary_wraps, reason = "it is who asks, as the load is told")]
fn key(nth: usize) -> Option<KeyId> {
    Some(format!("testkey{nth:05}").parse().unwrap())
}

/// Enters until it is refused.
fn fill(load: &Arc<Load>, who: Option<KeyId>, bytes: usize, limits: &OverloadConfig) -> (Vec<Arc<Place>>, Shed) {
    let mut places = Vec::new();
    loop {
        match load.enter(who, bytes, limits) {
            Ok(place) => places.push(place),
            Err(shed) => return (places, shed),
        }
    }
}

fn assert_empty(load: &Load) {
    assert_eq!((load.requests(), load.bytes()), (0, 0));
    assert_eq!(load.strangers.requests.load(Ordering::Relaxed), 0);
    assert_eq!(load.strangers.bytes.load(Ordering::Relaxed), 0);
    assert!(load.keys.iter().all(|shard| shard.lock().is_empty()), "a key is still known");
}

#[test]
fn a_key_alone_gets_its_share_and_leaves_the_rest() {
    let load = load();
    let (heavy, shed) = fill(&load, key(1), 0, &limits(1000));
    assert_eq!((heavy.len(), shed), (800, Shed::KeyShare));
    let (light, _) = fill(&load, key(2), 0, &limits(1000));
    assert_eq!(light.len(), 160, "four fifths of what is left");
    drop((heavy, light));
    assert_empty(&load);
}

#[test]
fn busy_keys_come_to_hold_the_same() {
    let load = load();
    let limits = limits(1000);
    let mut held: Vec<Vec<Arc<Place>>> = (0..4).map(|nth| fill(&load, key(nth), 0, &limits).0).collect();
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..20_000 {
        // One of all that are in flight ends; then every key tries to get the place.
        let of: usize = random.random_range(0..held.iter().map(Vec::len).sum());
        let mut before = 0;
        let whose = held.iter().position(|held| {
            before += held.len();
            of < before
        });
        held[whose.unwrap()].pop();
        let first = random.random_range(0..4);
        for nth in 0..4 {
            let nth = (first + nth) % 4;
            held[nth].extend(load.enter(key(nth), 0, &limits).ok());
        }
    }
    for held in &held {
        // 1000 × 4 / (1 + 4 × 4)
        assert!((230..=240).contains(&held.len()), "{:?}", held.len());
    }
}

#[test]
fn who_holds_nothing_is_refused_only_when_nothing_is_left() {
    for cap in [1, 2, 3, 10, 100] {
        let load = load();
        let limits = limits(cap);
        let mut places = Vec::new();
        for nth in 0..cap {
            places.push(load.enter(key(nth), 0, &limits).unwrap_or_else(|shed| panic!("{nth} of {cap}: {shed}")));
        }
        assert_eq!(load.enter(key(cap), 0, &limits).unwrap_err(), Shed::Requests);
        assert_eq!(load.enter(None, 0, &limits).unwrap_err(), Shed::Requests);
        drop(places);
        assert_empty(&load);
    }
}

#[test]
fn strangers_share_one_small_part() {
    let load = load();
    let (strangers, shed) = fill(&load, None, 0, &limits(1000));
    assert_eq!((strangers.len(), shed), (100, Shed::Strangers));
    assert_eq!(fill(&load, key(1), 0, &limits(1000)).0.len(), 720);
}

#[test]
fn bodies_take_at_most_half_of_the_memory_and_answers_the_rest() {
    let load = load();
    let limits = OverloadConfig { bytes: 2000, requests: 100, ..OverloadConfig::default() };
    let (places, shed) = fill(&load, key(1), 100, &limits);
    assert_eq!((places.len(), shed), (8, Shed::KeyShare), "four fifths of the half");
    let mut answers = Vec::new();
    while let Ok(answer) = places[0].take(100) {
        answers.push(answer);
    }
    assert_eq!(load.bytes(), 1600, "four fifths of all");
    assert_eq!(load.enter(key(2), 0, &limits).unwrap_err(), Shed::Bytes);
    answers.clear();
    assert_eq!(load.bytes(), 800);
    load.enter(key(2), 200, &limits).unwrap();
    assert_eq!(load.enter(key(2), 201, &limits).unwrap_err(), Shed::Bytes, "more than is free of the half");
}

#[test]
fn memory_that_is_kept_is_freed_with_the_place() {
    let load = load();
    let place = load.enter(key(1), 5, &limits(10)).unwrap();
    place.take(7).unwrap().keep();
    drop(place.take(100).unwrap());
    let mut growing = place.account();
    growing.grow_to(3).unwrap();
    growing.grow_to(2).unwrap();
    assert_eq!(load.bytes(), 5 + 7 + 3);
    drop(place);
    assert_eq!(load.requests(), 1, "what is taken holds the place");
    drop(growing);
    assert_empty(&load);
}

#[test]
fn lower_limits_refuse_until_there_is_room_again() {
    let load = load();
    let (places, _) = fill(&load, key(1), 10, &limits(100));
    assert_eq!(load.enter(key(2), 0, &limits(10)).unwrap_err(), Shed::Requests);
    drop(places);
    load.enter(key(2), 0, &limits(10)).unwrap();
}

#[test]
fn connections_are_counted_until_they_end() {
    let load = load();
    let open = [load.connect(2), load.connect(2)];
    assert!(open.iter().all(Option::is_some));
    assert!(load.connect(2).is_none());
    drop(open);
    assert!(load.connect(1).is_some());
}

/// Random arrivals and ends of keys and strangers: caps hold at every moment, nothing leaks.
#[test]
fn no_order_of_events_breaks_a_cap() {
    for seed in 0..50 {
        let mut random = StdRng::seed_from_u64(seed);
        let load = load();
        let limits = OverloadConfig {
            requests: random.random_range(1..40),
            bytes: random.random_range(1..4000),
            key_share: random.random_range(0.01..0.99),
            ..OverloadConfig::default()
        };
        let mut places: BTreeMap<u32, (Arc<Place>, Vec<Taken>)> = BTreeMap::new();
        for nth in 0..2_000 {
            let some = places.keys().copied().nth(random.random_range(0..=places.len()));
            match (random.random_range(0..4), some.and_then(|some| places.get_mut(&some))) {
                (0, Some((place, taken))) => taken.extend(place.take(random.random_range(0..500))),
                (1, Some((_, taken))) => drop(taken.pop()),
                (2, Some(_)) => drop(places.remove(&some.unwrap())),
                _ => {
                    let who = key(random.random_range(0..5)).filter(|_| random.random_bool(0.9));
                    if let Ok(place) = load.enter(who, random.random_range(0..300), &limits) {
                        places.insert(nth, (place, Vec::new()));
                    }
                }
            }
            assert!(load.requests() <= limits.requests && load.bytes() <= limits.bytes, "{seed}: {load:?}");
            assert_eq!(load.requests(), places.len());
        }
        drop(places);
        assert_empty(&load);
    }
}

#[test]
fn threads_at_once_break_no_cap() {
    let (load, limits) = (load(), OverloadConfig { requests: 8, bytes: 2000, ..OverloadConfig::default() });
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (load, limits) = (&load, &limits);
            scope.spawn(move || {
                for nth in 0..20_000 {
                    let place = load.enter(key((thread + nth) % 3), 10, limits);
                    let more = place.as_ref().ok().map(|place| place.take(100));
                    assert!(load.requests() <= 8 && load.bytes() <= 2000, "{load:?}");
                    drop((more, place));
                }
            });
        }
    });
    assert_empty(&load);
}
