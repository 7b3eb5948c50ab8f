//! The filters over a real store, in the order of the configuration.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{
    Accounts, Claims, Credential, Credits as Amount, Ending, Exchange, Filter, Flow, KeyEdit, Keys, Kind, LogQuery,
    Logs, NewKey, Outcome, RateRule, Refusal, Rejection, Secret,
};
use btvep_plugins::{Auth, Credits, Logging, RateLimit, logging, rate_limit};
use btvep_state::Memory;

const NOW: i64 = 1_700_000_000;

/// The way in of the local filters.
async fn way_in(store: &Arc<Memory>, exchange: &mut Exchange) -> Flow {
    let config = serde_json::from_str::<rate_limit::Config>(r#"{"default": [{"times": 2, "seconds": 60}]}"#).unwrap();
    Auth::new(Arc::clone(store) as Arc<dyn Keys>).on_request(exchange).await?;
    RateLimit::new(&config).unwrap().on_request(exchange).await?;
    Credits::new().on_request(exchange).await
}

fn presenting(secret: &Secret) -> Exchange {
    let mut exchange = btvep_testkit::exchange();
    exchange.key = None;
    exchange.credential = Credential::Key(secret.clone());
    exchange
}

async fn created(store: &Memory, new: NewKey) -> (btvep_domain::KeyId, Secret) {
    let (key, secret) = Keys::create(store, new, NOW).await.unwrap();
    (key.id, secret)
}

#[tokio::test]
async fn a_key_works_until_it_is_disabled_expired_or_deleted() {
    let store = Arc::new(Memory::new());
    let (id, secret) = created(&store, NewKey::default()).await;
    let kind = async || way_in(&store, &mut presenting(&secret)).await.err().map(|rejection| rejection.kind);
    let edit = async |edit: KeyEdit| store.edit(id, edit, NOW).await.unwrap().unwrap();

    assert_eq!(kind().await, None);
    edit(KeyEdit { enabled: Some(false), ..KeyEdit::default() }).await;
    assert_eq!(kind().await, Some(Kind::DisabledKey));
    edit(KeyEdit { enabled: Some(true), valid_until: Some(Some(NOW - 1)), ..KeyEdit::default() }).await;
    assert_eq!(kind().await, Some(Kind::ExpiredKey));
    assert!(Keys::delete(&*store, id).await.unwrap());
    assert_eq!(kind().await, Some(Kind::UnknownKey));
}

#[tokio::test]
async fn another_secret_of_a_known_id_is_unknown() {
    let store = Arc::new(Memory::new());
    let (_, secret) = created(&store, NewKey::default()).await;
    let last = if secret.expose().ends_with('a') { "b" } else { "a" };
    let (most, _) = secret.expose().split_at(secret.expose().len() - 1);
    let forged = Secret::new(format!("{most}{last}"));
    let rejection = way_in(&store, &mut presenting(&forged)).await.unwrap_err();
    assert_eq!(rejection.kind, Kind::UnknownKey);
}

#[tokio::test]
async fn the_claims_of_the_filters_are_what_the_accounts_enforce() {
    let store = Arc::new(Memory::new());
    let (id, secret) = created(&store, NewKey { credits: Some(Amount::whole(5)), ..NewKey::default() }).await;
    let mut refusals = Vec::new();
    for _ in 0..3 {
        let mut exchange = presenting(&secret);
        way_in(&store, &mut exchange).await.unwrap();
        assert!(exchange.metered);
        let claims = Claims {
            request_id: "req_test".into(),
            key: id,
            price: Amount::whole(1),
            metered: true,
            max_choices: 1,
            max_attempts: 1,
            rules: exchange.rules,
            attempts: exchange.attempts_rule,
            concurrency: exchange.concurrency,
            at_ms: NOW * 1000,
        };
        refusals.push(store.admit(claims, Duration::from_secs(1)).await.err());
    }
    assert!(
        matches!(refusals[..], [None, None, Some(Refusal::Rate(state))] if state.rule == RateRule { times: 2, seconds: 60 })
    );
}

#[tokio::test]
async fn what_auth_refuses_stands_in_the_log_without_the_key() {
    let store = Arc::new(Memory::new());
    let exchange = presenting(&Secret::new("btvep_testkey00001_donotprint"));
    let logging = Logging::new(&logging::Config::default(), Arc::clone(&store) as Arc<dyn Logs>);
    logging.on_end(&exchange, &refused(Rejection::new(Kind::UnknownKey, "unknown")));
    let rows = store.query(LogQuery { is_success: Some(false), ..LogQuery::default() }).await.unwrap();
    let row = rows.first().unwrap();
    assert_eq!((row.outcome.as_str(), row.status, row.key), ("invalid_api_key", 401, None));
    assert!(!serde_json::to_string(row).unwrap().contains("donotprint"));
}

fn refused(rejection: Rejection) -> Outcome {
    Outcome {
        status: rejection.kind.status(),
        ending: Ending::Rejected(rejection),
        attempts: Vec::new(),
        choices: 0,
        texts: Vec::new(),
        usage: None,
        closed: None,
        elapsed_us: 10,
        first_token_us: None,
    }
}
