use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use btvep_domain::{AuthFailure, Credits, Key, KeyEdit, KeyPolicy, KeyWatch, NewKey, RateRule, Secret};

use super::{AT_MS, Store};

const NOW: i64 = AT_MS / 1000;

/// Runs the suite of [`btvep_domain::Keys`].
pub async fn keys(make: impl Fn() -> Store) {
    a_key_is_known_by_its_secret_alone(&make()).await;
    a_disabled_or_expired_key_says_so(&make()).await;
    an_edit_changes_what_it_names(&make()).await;
    a_deleted_key_is_unknown(&make()).await;
    keys_are_listed_in_pages(&make()).await;
    whoever_watches_a_key_is_told_of_its_change(&make()).await;
    a_deleted_key_is_told_as_none(&make()).await;
    a_key_that_has_changed_already_is_told_at_once(&make()).await;
}

async fn a_key_is_known_by_its_secret_alone(store: &Store) {
    let new = NewKey { name: Some("app".to_owned()), ..NewKey::default() };
    let (key, secret) = store.keys.create(new, NOW).await.unwrap();
    assert!(secret.expose().starts_with(&format!("btvep_{}_", key.id)));
    assert_eq!(key.name.as_deref(), Some("app"));
    assert_eq!(*store.keys.authenticate(&secret, NOW).await.unwrap(), *key);
    let (_, other) = store.keys.create(NewKey::default(), NOW).await.unwrap();
    let others_secret = other.expose().rsplit('_').next().unwrap();
    let mixed = format!("btvep_{}_{others_secret}", key.id);
    let stranger = format!("btvep_000000000000_{others_secret}");
    for text in [&*mixed, &*stranger, "", "sk-123", "btvep_", secret.expose().trim_start_matches("btvep_")] {
        let refused = store.keys.authenticate(&Secret::new(text), NOW).await;
        assert!(matches!(refused, Err(AuthFailure::Unknown)), "{refused:?}");
    }
}

async fn a_disabled_or_expired_key_says_so(store: &Store) {
    let new = NewKey { disabled: true, valid_until: Some(NOW + 10), ..NewKey::default() };
    let (key, secret) = store.keys.create(new, NOW).await.unwrap();
    let refused = store.keys.authenticate(&secret, NOW).await;
    assert!(matches!(refused, Err(AuthFailure::Disabled)), "{refused:?}");
    let enable = KeyEdit { enabled: Some(true), ..KeyEdit::default() };
    store.keys.edit(key.id, enable, NOW).await.unwrap().unwrap();
    store.keys.authenticate(&secret, NOW + 9).await.unwrap();
    let refused = store.keys.authenticate(&secret, NOW + 10).await;
    assert!(matches!(refused, Err(AuthFailure::Expired { at }) if at == NOW + 10), "{refused:?}");
}

async fn an_edit_changes_what_it_names(store: &Store) {
    let new = NewKey { name: Some("old".to_owned()), credits: Some(Credits::whole(5)), ..NewKey::default() };
    let (key, secret) = store.keys.create(new, NOW).await.unwrap();
    let policy = KeyPolicy { rate_limits: Some(vec![RateRule { times: 2, seconds: 3 }]), ..KeyPolicy::default() };
    let edit = KeyEdit { policy: Some(policy.clone()), valid_until: Some(Some(NOW + 99)), ..KeyEdit::default() };
    let edited = store.keys.edit(key.id, edit, NOW + 1).await.unwrap().unwrap();
    let expected =
        Key { valid_until: Some(NOW + 99), updated_at: NOW + 1, policy: Some(Box::new(policy)), ..Key::clone(&key) };
    assert_eq!(*edited, expected);
    assert_eq!(*store.keys.authenticate(&secret, NOW).await.unwrap(), expected);
    assert_eq!(store.account(key.id).await.credits, Some(Credits::whole(5)));
    let clear = KeyEdit { name: Some(None), credits: Some(None), ..KeyEdit::default() };
    assert_eq!(store.keys.edit(key.id, clear, NOW + 2).await.unwrap().unwrap().name, None);
    assert_eq!(store.account(key.id).await.credits, None);
    let nobody = "000000000000".parse().unwrap();
    assert!(store.keys.edit(nobody, KeyEdit::default(), NOW).await.unwrap().is_none());
}

async fn a_deleted_key_is_unknown(store: &Store) {
    let (key, secret) = store.keys.create(NewKey::default(), NOW).await.unwrap();
    assert!(store.keys.delete(key.id).await.unwrap());
    assert!(!store.keys.delete(key.id).await.unwrap());
    assert!(store.keys.get(key.id).await.unwrap().is_none());
    assert!(store.accounts.account(key.id).await.unwrap().is_none());
    let refused = store.keys.authenticate(&secret, NOW).await;
    assert!(matches!(refused, Err(AuthFailure::Unknown)), "{refused:?}");
}

async fn keys_are_listed_in_pages(store: &Store) {
    let mut made = Vec::new();
    for _ in 0..10 {
        made.push(store.key(None).await);
    }
    made.sort();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.keys.list(after, 4).await.unwrap();
        after = page.last().map(|key| key.id);
        listed.extend(page.iter().map(|key| key.id));
        if page.len() < 4 {
            break;
        }
    }
    assert_eq!(listed, made);
}

/// Within a second, everywhere.
async fn told(watch: KeyWatch) -> Option<Arc<Key>> {
    tokio::time::timeout(Duration::from_secs(1), watch).await.expect("it is told within a second")
}

async fn is_quiet(watch: &mut KeyWatch) -> bool {
    poll_fn(|context| Poll::Ready(watch.as_mut().poll(context).is_pending())).await
}

async fn whoever_watches_a_key_is_told_of_its_change(store: &Store) {
    let (_, secret) = store.keys.create(NewKey::default(), NOW).await.unwrap();
    let key = store.keys.authenticate(&secret, NOW).await.unwrap();
    let (mut one, mut two) = (store.keys.watch(&key), store.keys.watch(&key));
    drop(store.keys.watch(&key));
    store.keys.create(NewKey::default(), NOW).await.unwrap();
    assert!(is_quiet(&mut one).await && is_quiet(&mut two).await, "another key is none of their business");
    let disable = KeyEdit { enabled: Some(false), ..KeyEdit::default() };
    store.keys.edit(key.id, disable, NOW).await.unwrap();
    let disabled = told(one).await.expect("it was not deleted");
    assert!(matches!(disabled.check(NOW), Err(AuthFailure::Disabled)));
    assert_eq!(told(two).await, Some(disabled));
}

async fn a_deleted_key_is_told_as_none(store: &Store) {
    let (_, secret) = store.keys.create(NewKey::default(), NOW).await.unwrap();
    let key = store.keys.authenticate(&secret, NOW).await.unwrap();
    let rename = KeyEdit { name: Some(Some("new".to_owned())), ..KeyEdit::default() };
    store.keys.edit(key.id, rename, NOW).await.unwrap();
    let renamed = told(store.keys.watch(&key)).await.expect("it was not deleted");
    let mut watch = store.keys.watch(&renamed);
    assert!(is_quiet(&mut watch).await, "a change is told once");
    store.keys.delete(key.id).await.unwrap();
    assert_eq!(told(watch).await, None);
}

async fn a_key_that_has_changed_already_is_told_at_once(store: &Store) {
    let (_, secret) = store.keys.create(NewKey::default(), NOW).await.unwrap();
    let key = store.keys.authenticate(&secret, NOW).await.unwrap();
    let expire = KeyEdit { valid_until: Some(Some(NOW)), ..KeyEdit::default() };
    store.keys.edit(key.id, expire, NOW).await.unwrap();
    let expired = told(store.keys.watch(&key)).await.expect("it was not deleted");
    assert!(matches!(expired.check(NOW), Err(AuthFailure::Expired { at: NOW })));
    store.keys.delete(key.id).await.unwrap();
    assert_eq!(told(store.keys.watch(&expired)).await, None);
}
