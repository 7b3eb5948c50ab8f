//! Every strategy passes the suite that defines them.
#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use btvep_domain::{Metagraph, Selection, SelectionSource, Strategy};
use btvep_strategies::{DefaultStrategy, LowestLatency, Spec, TopN, Uids, Weighted, default, lowest_latency, weighted};
use btvep_testkit::suite;

fn select(spec: &str) -> Selection {
    Spec::parse(spec).unwrap().select(SelectionSource::Body, None, true)
}

/// For a strategy that takes a number of miners.
#[track_caller]
fn check(strategy: &dyn Strategy) {
    suite::strategy(strategy, |_, n| select(&format!("{}:{n}", strategy.name())));
}

#[test]
fn default() {
    let config: default::Config = serde_json::from_str(r#"{"fallback": "top_n:1"}"#).unwrap();
    suite::strategy(&DefaultStrategy::new(&config).unwrap(), |_, _| select("default"));
}

#[test]
fn uids() {
    suite::strategy(&Uids, |metagraph: &Metagraph, n| Selection {
        uids: match metagraph.by_incentive().iter().copied().take(n.into()).collect::<Vec<_>>() {
            nobody if nobody.is_empty() => vec![btvep_domain::Uid(9)],
            serving => serving,
        },
        ..select("uids:0")
    });
}

#[test]
fn top_n() {
    check(&TopN);
}

#[test]
fn lowest_latency() {
    for explore in [0.0, 0.5, 1.0] {
        let config = lowest_latency::Config { explore, ..lowest_latency::Config::default() };
        check(&LowestLatency::new(&config).unwrap());
    }
}

#[test]
fn weighted() {
    for by in [weighted::Weight::Incentive, weighted::Weight::Stake] {
        check(&Weighted::new(&weighted::Config { by, ..weighted::Config::default() }).unwrap());
    }
}
