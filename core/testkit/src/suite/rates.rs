use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{Claims, Closing, Credits, RateRule, Refusal};

use super::{AT_MS, Store, claims, secs};

pub(super) async fn run(make: &impl Fn() -> Store) {
    every_rule_counts_for_itself(&make()).await;
    a_changed_limit_grants_no_burst(&make()).await;
    a_refusal_takes_from_none(&make()).await;
    attempts_count_the_miners_asked(&make()).await;
    any_window_holds_at_most_its_limit(&make()).await;
}

fn limited(claims: Claims, rules: &[RateRule]) -> Claims {
    Claims { rules: rules.into(), ..claims }
}

const fn rule(times: u32, seconds: u32) -> RateRule {
    RateRule { times, seconds }
}

async fn every_rule_counts_for_itself(store: &Store) {
    let key = store.key(None).await;
    let rules = [rule(2, 10), rule(3, 100)];
    let ask = |at| store.accounts.admit(limited(claims("rate", key), &rules), secs(at));
    let first = ask(100).await.unwrap().rate.unwrap();
    assert_eq!((first.rule, first.remaining, first.reset_after), (rules[0], 1, secs(10)));
    ask(101).await.unwrap();
    match ask(105).await {
        Err(Refusal::Rate(state)) => {
            assert_eq!((state.rule, state.remaining, state.reset_after), (rules[0], 0, secs(5)));
        }
        other => panic!("{other:?}"),
    }
    let third = ask(110).await.unwrap().rate.unwrap();
    assert_eq!((third.rule, third.remaining), (rules[1], 0), "both rules are used up, the longer one longer");
    match ask(150).await {
        Err(Refusal::Rate(state)) => assert_eq!((state.rule, state.reset_after), (rules[1], secs(50))),
        other => panic!("{other:?}"),
    }
    ask(200).await.unwrap();
}

async fn a_changed_limit_grants_no_burst(store: &Store) {
    let key = store.key(None).await;
    for at in 0..4 {
        store.accounts.admit(limited(claims("slow", key), &[rule(4, 60)]), secs(at)).await.unwrap();
    }
    let refused = store.accounts.admit(limited(claims("slow", key), &[rule(3, 60)]), secs(5)).await;
    assert!(matches!(refused, Err(Refusal::Rate(_))), "{refused:?}");
    store.accounts.admit(limited(claims("slow", key), &[rule(5, 60)]), secs(5)).await.unwrap();
    let refused = store.accounts.admit(limited(claims("slow", key), &[rule(5, 60)]), secs(5)).await;
    assert!(matches!(refused, Err(Refusal::Rate(_))), "{refused:?}");
}

async fn a_refusal_takes_from_none(store: &Store) {
    let key = store.key(Some(1)).await;
    let mut dear = limited(claims("dear", key), &[rule(1, 60)]);
    dear.price = Credits::whole(2);
    for _ in 0..3 {
        let refused = store.accounts.admit(dear.clone(), secs(1)).await;
        assert!(matches!(refused, Err(Refusal::Credits { .. })), "{refused:?}");
    }
    let mut greedy = limited(claims("greedy", key), &[rule(1, 60)]);
    (greedy.attempts, greedy.max_attempts) = (Some(rule(3, 60)), 4);
    let refused = store.accounts.admit(greedy, secs(1)).await;
    assert!(matches!(refused, Err(Refusal::Attempts(_))), "{refused:?}");
    let account = store.account(key).await;
    assert_eq!((account.held, account.api_request_count), (Credits::ZERO, 0));
    store.accounts.admit(limited(claims("fits", key), &[rule(1, 60)]), secs(1)).await.unwrap();
}

async fn attempts_count_the_miners_asked(store: &Store) {
    let key = store.key(None).await;
    let ask = |id: &str, at| {
        let mut claims = claims(id, key);
        (claims.attempts, claims.max_attempts) = (Some(rule(6, 60)), 4);
        store.accounts.admit(claims, secs(at))
    };
    let hold = ask("a", 1).await.unwrap().hold;
    let refused = ask("b", 2).await;
    assert!(matches!(refused, Err(Refusal::Attempts(_))), "{refused:?}");
    // Only two of the four were asked: two places are free again, and no more.
    hold.close(Closing { choices: 1, attempts: 2, at_ms: AT_MS }).await.unwrap();
    ask("c", 3).await.unwrap();
    match ask("d", 4).await {
        Err(Refusal::Attempts(state)) => assert_eq!((state.remaining, state.reset_after), (0, secs(59))),
        other => panic!("{other:?}"),
    }
}

async fn any_window_holds_at_most_its_limit(store: &Store) {
    let key = store.key(None).await;
    let rules: Arc<[RateRule]> = Arc::new([rule(40, 1)]);
    let (mut admitted, mut now) = (Vec::new(), Duration::from_secs(9));
    for step in 0..2_000_u64 {
        now += Duration::from_micros((step * 7919) % 20_000);
        let claims = Claims { rules: Arc::clone(&rules), ..claims("any", key) };
        if store.accounts.admit(claims, now).await.is_ok() {
            admitted.push(now);
        }
    }
    assert!(admitted.len() > 400, "only {} were admitted", admitted.len());
    for window in admitted.windows(41) {
        assert!(window[40] >= window[0] + secs(1), "41 admissions from {:?} to {:?}", window[0], window[40]);
    }
}
