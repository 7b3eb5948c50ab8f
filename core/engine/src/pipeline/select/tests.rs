use std::collections::BTreeMap;

use btvep_domain::{Credits, KeyPolicy, Modality, ParameterMode};
use btvep_state::Memory;
use btvep_strategies::{DefaultStrategy, LowestLatency, TopN, Uids, lowest_latency};

use super::*;
use crate::OverloadConfig;

fn service() -> Service {
    let model = |id: &str, route: Route, default: Option<&str>| {
        Arc::new(Model {
            id: id.into(),
            upstream_name: None,
            route,
            modality: Modality::Chat,
            price: Credits::ZERO,
            default_strategy: default.map(str::to_owned),
            presets: Vec::new(),
            mode: ParameterMode::Strict,
            created: 0,
        })
    };
    let store = Arc::new(Memory::new());
    Service {
        config: "0123456789ab".into(),
        filters: Vec::new(),
        models: vec![
            model("sn1", Route::Subnet("sn1".into()), None),
            model("best", Route::Subnet("sn1".into()), Some("top_n:2")),
            model("up:8b", Route::Upstream("up".into()), None),
        ],
        strategies: BTreeMap::from([
            ("default".into(), Arc::new(DefaultStrategy::default()) as _),
            ("uids".into(), Arc::new(Uids) as _),
            ("top_n".into(), Arc::new(TopN) as _),
            (
                "lowest_latency".into(),
                Arc::new(LowestLatency::new(&lowest_latency::Config::default()).expect("it is usable")) as _,
            ),
        ]),
        subnets: BTreeMap::new(),
        upstreams: BTreeMap::new(),
        keys: Arc::clone(&store) as _,
        accounts: store,
        overload: OverloadConfig::default(),
        max_miners: 8,
        kill_list: Arc::default(),
    }
}

/// Who asks: what stands in the header and in the key's policy.
#[derive(Default)]
struct Asks {
    header: Option<&'static str>,
    policy: KeyPolicy,
}

fn choose(model: &str, fields: StrategyFields, asks: Asks) -> Result<(String, Selection), Box<Rejection>> {
    let mut exchange = btvep_testkit::exchange();
    exchange.strategy_header = asks.header.map(str::to_owned);
    let mut key = btvep_testkit::key();
    key.policy = Some(Box::new(asks.policy));
    exchange.key = Some(Arc::new(key));
    let prompt = Prompt { model: Some(model.to_owned()), strategy: fields, ..Prompt::default() };
    let (model, selection) = select(&service(), &exchange, &prompt)?;
    Ok((model.id.to_string(), selection))
}

#[track_caller]
fn check(model: &str, fields: StrategyFields, asks: Asks, expected: (&str, &str, SelectionSource)) -> Selection {
    let (id, selection) = choose(model, fields, asks).expect("it is selected");
    assert_eq!((&*id, &*selection.name, selection.source), expected);
    selection
}

#[track_caller]
fn refused(model: &str, fields: StrategyFields, asks: Asks, kind: Kind, words: &str) {
    let rejection = choose(model, fields, asks).expect_err("it is refused");
    assert_eq!(rejection.kind, kind, "{}", rejection.message);
    assert!(rejection.message.contains(words), "{}", rejection.message);
}

fn top_n(n: i64) -> StrategyFields {
    StrategyFields { top_n: Some(n), ..StrategyFields::default() }
}

fn uids(uids: &[i64]) -> StrategyFields {
    StrategyFields { uids: Some(uids.to_vec()), ..StrategyFields::default() }
}

fn named(strategy: &str) -> StrategyFields {
    StrategyFields { strategy: Some(strategy.to_owned()), ..StrategyFields::default() }
}

fn by_key(strategy: &str) -> Asks {
    let policy = KeyPolicy { default_query_strategy: Some(strategy.to_owned()), ..KeyPolicy::default() };
    Asks { policy, ..Asks::default() }
}

#[test]
fn the_nearest_place_that_names_a_strategy_wins() {
    let none = StrategyFields::default;
    let everything = || Asks { header: Some("uids=7"), ..by_key("top_n:4") };
    let body = check("best:top_n=3", top_n(5), everything(), ("best", "top_n", SelectionSource::Body));
    assert_eq!(body.top_n, Some(5));
    let header = check("best:top_n=3", none(), everything(), ("best", "uids", SelectionSource::Header));
    assert_eq!(header.uids, [Uid(7)]);
    let suffix = check("best:top_n=3", none(), by_key("top_n:4"), ("best", "top_n", SelectionSource::Suffix));
    assert_eq!(suffix.top_n, Some(3));
    assert_eq!(check("best", none(), by_key("top_n:4"), ("best", "top_n", SelectionSource::Key)).top_n, Some(4));
    let model = check("best", none(), Asks::default(), ("best", "top_n", SelectionSource::Model));
    assert_eq!(model.top_n, Some(2));
    check("sn1", none(), Asks::default(), ("sn1", "default", SelectionSource::Default));
}

#[test]
fn top_n_wins_over_uids() {
    let fields = StrategyFields { uids: Some(vec![-4, -4]), ..top_n(2) };
    check("sn1", fields, Asks::default(), ("sn1", "top_n", SelectionSource::Body));
}

#[test]
fn a_named_strategy_must_agree_with_its_fields() {
    check(
        "sn1",
        StrategyFields { top_n: Some(2), ..named("top_n") },
        Asks::default(),
        ("sn1", "top_n", SelectionSource::Body),
    );
    check("sn1", named("top_n=2"), Asks::default(), ("sn1", "top_n", SelectionSource::Body));
    let counted = StrategyFields { top_n: Some(2), ..named("lowest_latency") };
    let counted = check("sn1", counted, Asks::default(), ("sn1", "lowest_latency", SelectionSource::Body));
    assert_eq!(counted.top_n, Some(2));
    for fields in [
        StrategyFields { top_n: Some(2), ..named("uids") },
        StrategyFields { top_n: Some(2), ..named("top_n=3") },
        StrategyFields { top_n: Some(2), ..named("lowest_latency:3") },
        StrategyFields { uids: Some(vec![1]), ..named("lowest_latency") },
        StrategyFields { top_n: Some(2), ..named("default") },
        StrategyFields { uids: Some(vec![1]), ..named("default") },
        StrategyFields { uids: Some(vec![1]), ..named("uids=2") },
    ] {
        refused("sn1", fields, Asks::default(), Kind::InvalidSelection, "name one of them");
    }
    refused("sn1", named("top_n"), Asks::default(), Kind::InvalidSelection, "top_n=N");
    refused(
        "sn1",
        named("nearest"),
        Asks::default(),
        Kind::InvalidSelection,
        "known strategies: default, lowest_latency, top_n, uids",
    );
}

#[test]
fn numbers_that_name_no_miner_are_refused() {
    let refuse = |fields, words| refused("sn1", fields, Asks::default(), Kind::InvalidSelection, words);
    refuse(uids(&[]), "is empty");
    refuse(uids(&[-1]), "-1 is no uid");
    refuse(uids(&[70_000]), "70000 is no uid");
    refuse(uids(&[3, 3]), "stands twice");
    refuse(top_n(0), "`top_n` must be");
    refuse(top_n(-1), "`top_n` must be");
    refuse(StrategyFields { in_parallel: Some(0), ..StrategyFields::default() }, "`in_parallel` must be");
}

#[test]
fn a_request_stays_below_the_limits() {
    refused("sn1", top_n(9), Asks::default(), Kind::InvalidSelection, "at most 8");
    let few = Asks { policy: KeyPolicy { max_top_n: Some(2), ..KeyPolicy::default() }, ..Asks::default() };
    refused("sn1", uids(&[1, 2, 3]), few, Kind::InvalidSelection, "at most 2");
}

#[test]
fn a_key_uses_what_it_may() {
    let only = |models: Option<&str>, strategies: Option<&str>| Asks {
        policy: KeyPolicy {
            models: models.map(|id| vec![id.to_owned()]),
            strategies: strategies.map(|name| vec![name.to_owned()]),
            ..KeyPolicy::default()
        },
        ..Asks::default()
    };
    refused("sn1", top_n(1), only(Some("best"), None), Kind::NotAllowed, "model `sn1`");
    refused("sn1", top_n(1), only(None, Some("uids")), Kind::NotAllowed, "strategy `top_n`");
    check("sn1", top_n(1), only(Some("sn1"), Some("top_n")), ("sn1", "top_n", SelectionSource::Body));
}

#[test]
fn models_are_found_with_and_without_a_suffix() {
    check("up:8b", StrategyFields::default(), Asks::default(), ("up:8b", "default", SelectionSource::Default));
    refused("nobody", StrategyFields::default(), Asks::default(), Kind::UnknownModel, "`nobody`");
    refused("sn1:soon", StrategyFields::default(), Asks::default(), Kind::InvalidSelection, "`soon`");
    for suffixed in ["sn1:top_n:3", "sn1:top_n=3"] {
        let selection =
            check(suffixed, StrategyFields::default(), Asks::default(), ("sn1", "top_n", SelectionSource::Suffix));
        assert_eq!(selection.top_n, Some(3));
    }
    refused("sn1:a:b:c", StrategyFields::default(), Asks::default(), Kind::UnknownModel, "`sn1:a:b:c`");
    refused(
        "up:8b:lowest_latency",
        StrategyFields::default(),
        Asks::default(),
        Kind::InvalidSelection,
        "no miners to choose",
    );
    refused("up:8b", top_n(2), Asks::default(), Kind::InvalidSelection, "no miners to choose");
}
