use std::sync::Arc;

use btvep_domain::{Account, ChargeRecord, Closed, Closing, Credits, KeyEdit, Refusal, Settlement};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{AT_MS, Store, claims, closing, ledger, random, rates, secs};

/// Runs the suite of [`btvep_domain::Accounts`].
pub async fn accounts(make: impl Fn() -> Store) {
    five_hundred_at_once_spend_exactly_what_there_is(&make()).await;
    a_closing_charges_what_was_delivered(&make()).await;
    more_than_planned_or_nothing_at_all(&make()).await;
    an_unlimited_account_is_charged_nothing_it_could_lack(&make()).await;
    a_dropped_hold_is_released(&make()).await;
    a_dropped_mark_is_settled_like_a_crash(&make()).await;
    a_request_is_charged_once(&make()).await;
    a_set_balance_leaves_holds_alone(&make()).await;
    a_deleted_account_admits_nobody(&make()).await;
    ledger::run(&make).await;
    rates::run(&make).await;
    random::run(&make).await;
}

async fn five_hundred_at_once_spend_exactly_what_there_is(store: &Store) {
    let key = store.key(Some(100)).await;
    let barrier = Arc::new(Barrier::new(500));
    let mut tasks = JoinSet::new();
    for place in 0..500 {
        let (store, barrier) = (store.clone(), Arc::clone(&barrier));
        tasks.spawn(async move {
            barrier.wait().await;
            match store.accounts.admit(claims(&format!("race-{place}"), key), secs(1)).await {
                Ok(admission) => {
                    let account = store.account(key).await;
                    assert!(account.held <= account.credits.unwrap(), "{account:?}");
                    tokio::task::yield_now().await;
                    admission.hold.close(closing(1)).await.unwrap();
                    true
                }
                Err(Refusal::Credits { .. }) => false,
                Err(other) => panic!("{other}"),
            }
        });
    }
    let successes = tasks.join_all().await.into_iter().filter(|success| *success).count();
    assert_eq!(successes, 100);
    let account = store.account(key).await;
    assert_eq!((account.credits, account.held), (Some(Credits::ZERO), Credits::ZERO));
    assert_eq!(account.api_request_count, 100);
}

async fn a_closing_charges_what_was_delivered(store: &Store) {
    let key = store.key(Some(10)).await;
    let mut three = claims("three", key);
    (three.max_choices, three.max_attempts) = (3, 3);
    let mut hold = store.accounts.admit(three, secs(1)).await.unwrap().hold;
    let mut expected =
        Account { credits: Some(Credits::whole(10)), held: Credits::whole(3), api_request_count: 1, request_count: 0 };
    assert_eq!(store.account(key).await, expected);
    hold.mark().await.unwrap();
    hold.mark().await.unwrap();
    let closed = hold.close(Closing { choices: 2, attempts: 3, at_ms: AT_MS + 5 }).await.unwrap();
    assert_eq!(closed, Closed { charged: Credits::whole(2), remaining: Some(Credits::whole(8)) });
    (expected.credits, expected.held, expected.request_count) = (Some(Credits::whole(8)), Credits::ZERO, 3);
    assert_eq!(store.account(key).await, expected);
    let line = ChargeRecord {
        request_id: "three".into(),
        key,
        price: Credits::whole(1),
        choices: 2,
        charged: Credits::whole(2),
        balance: Some(Credits::whole(8)),
        attempts: 3,
        at_ms: AT_MS + 5,
        settlement: Settlement::Closed,
    };
    assert_eq!(store.records("three").await, [line]);
}

async fn more_than_planned_or_nothing_at_all(store: &Store) {
    let key = store.key(Some(8)).await;
    let hold = store.accounts.admit(claims("more", key), secs(1)).await.unwrap().hold;
    assert_eq!(hold.close(closing(9)).await.unwrap().charged, Credits::whole(1));
    let hold = store.accounts.admit(claims("none", key), secs(1)).await.unwrap().hold;
    let closed = hold.close(closing(0)).await.unwrap();
    assert_eq!(closed, Closed { charged: Credits::ZERO, remaining: Some(Credits::whole(7)) });
    assert_eq!(store.records("none").await.len(), 1);
}

async fn an_unlimited_account_is_charged_nothing_it_could_lack(store: &Store) {
    let key = store.key(None).await;
    let hold = store.accounts.admit(claims("free", key), secs(1)).await.unwrap().hold;
    assert_eq!(store.account(key).await.held, Credits::ZERO);
    let closed = hold.close(closing(1)).await.unwrap();
    assert_eq!(closed, Closed { charged: Credits::whole(1), remaining: None });
    let record = store.records("free").await.pop().unwrap();
    assert_eq!((record.charged, record.balance), (Credits::whole(1), None));
}

async fn a_dropped_hold_is_released(store: &Store) {
    let key = store.key(Some(1)).await;
    let mut alone = claims("dropped", key);
    alone.concurrency = Some(1);
    let admission = store.accounts.admit(alone.clone(), secs(1)).await.unwrap();
    let refused = store.accounts.admit(alone.clone(), secs(1)).await;
    assert!(matches!(refused, Err(Refusal::Concurrency { limit: 1 })), "{refused:?}");
    drop(admission);
    store.settle(key).await;
    assert_eq!(store.account(key).await.held, Credits::ZERO);
    assert!(store.records("dropped").await.is_empty());
    store.accounts.admit(alone, secs(1)).await.unwrap();
}

async fn a_dropped_mark_is_settled_like_a_crash(store: &Store) {
    let key = store.key(Some(5)).await;
    let mut two = claims("marked", key);
    two.max_choices = 2;
    let mut hold = store.accounts.admit(two, secs(1)).await.unwrap().hold;
    hold.mark().await.unwrap();
    drop(hold);
    store.settle(key).await;
    let account = store.account(key).await;
    assert_eq!((account.credits, account.held), (Some(Credits::whole(4)), Credits::ZERO));
    let record = store.records("marked").await.pop().unwrap();
    assert_eq!((record.choices, record.settlement), (1, Settlement::Recovered));
}

async fn a_request_is_charged_once(store: &Store) {
    let key = store.key(Some(5)).await;
    let first = store.accounts.admit(claims("twice", key), secs(1)).await.unwrap().hold;
    let second = store.accounts.admit(claims("twice", key), secs(1)).await.unwrap().hold;
    assert_eq!(first.close(closing(1)).await.unwrap().charged, Credits::whole(1));
    assert_eq!(second.close(closing(1)).await.unwrap().charged, Credits::ZERO);
    let account = store.account(key).await;
    assert_eq!((account.credits, account.held), (Some(Credits::whole(4)), Credits::ZERO));
    assert_eq!(store.records("twice").await.len(), 1);
}

async fn a_set_balance_leaves_holds_alone(store: &Store) {
    let key = store.key(Some(10)).await;
    let mut five = claims("held", key);
    five.max_choices = 5;
    let hold = store.accounts.admit(five, secs(1)).await.unwrap().hold;
    let lower = KeyEdit { credits: Some(Some(Credits::whole(3))), ..KeyEdit::default() };
    store.keys.edit(key, lower, AT_MS / 1000).await.unwrap();
    let account = store.account(key).await;
    assert_eq!((account.credits, account.held), (Some(Credits::whole(3)), Credits::whole(5)));
    let refused = store.accounts.admit(claims("more", key), secs(1)).await;
    assert!(matches!(refused, Err(Refusal::Credits { .. })), "{refused:?}");
    // The balance never falls below zero, whatever the owner took away meanwhile.
    let closed = hold.close(closing(5)).await.unwrap();
    assert_eq!(closed, Closed { charged: Credits::whole(3), remaining: Some(Credits::ZERO) });
}

async fn a_deleted_account_admits_nobody(store: &Store) {
    let key = store.key(Some(5)).await;
    let open = store.accounts.admit(claims("open", key), secs(1)).await.unwrap().hold;
    store.keys.delete(key).await.unwrap();
    let refused = store.accounts.admit(claims("late", key), secs(1)).await;
    assert!(matches!(refused, Err(Refusal::UnknownAccount)), "{refused:?}");
    open.close(closing(1)).await.unwrap();
    assert_eq!(store.records("open").await.len(), 1);
    assert!(store.accounts.account(key).await.unwrap().is_none());
}
