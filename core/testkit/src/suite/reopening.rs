use std::sync::Arc;

use btvep_domain::{AuthFailure, Credits, Key, KeyEdit, KeyPolicy, NewKey, Secret};

use super::{AT_MS, Store, claims, closing, secs};

const NOW: i64 = AT_MS / 1000;

/// Runs what a durable store promises beyond the others; `open` opens the same store again and again.
pub async fn reopening(open: impl Fn() -> Store) {
    let store = open();
    let (key, secret) = a_key_in_use(&store).await;
    let (gone, gone_secret) = store.keys.create(NewKey::default(), NOW).await.unwrap();
    store.keys.delete(gone.id).await.unwrap();
    let books = (store.account(key.id).await, store.ledger().await);
    drop(store);

    let store = open();
    only_the_first_is_known(&store, &key, &secret, &gone_secret).await;
    assert_eq!((store.account(key.id).await, store.ledger().await), books);
    a_known_request_is_not_charged(&store, &key).await;
    drop(store);

    let store = open();
    assert_eq!(store.account(key.id).await.credits, books.0.credits);
    assert_eq!(store.ledger().await, books.1);
}

async fn only_the_first_is_known(store: &Store, key: &Key, secret: &Secret, gone: &Secret) {
    assert_eq!(*store.keys.authenticate(secret, NOW).await.unwrap(), *key);
    let refused = store.keys.authenticate(gone, NOW).await;
    assert!(matches!(refused, Err(AuthFailure::Unknown)), "{refused:?}");
}

async fn a_key_in_use(store: &Store) -> (Arc<Key>, Secret) {
    let new = NewKey {
        name: Some("größe 😀".to_owned()),
        credits: Some(Credits(10_500_000)),
        valid_until: Some(NOW + 1_000),
        policy: KeyPolicy { max_top_n: Some(3), ..KeyPolicy::default() },
        ..NewKey::default()
    };
    let (key, secret) = store.keys.create(new, NOW).await.unwrap();
    let mut hold = store.accounts.admit(claims("closed", key.id), secs(1)).await.unwrap().hold;
    hold.mark().await.unwrap();
    hold.close(closing(1)).await.unwrap();
    let rename = KeyEdit { name: Some(Some("new".to_owned())), ..KeyEdit::default() };
    (store.keys.edit(key.id, rename, NOW + 5).await.unwrap().unwrap(), secret)
}

async fn a_known_request_is_not_charged(store: &Store, key: &Key) {
    let again = store.accounts.admit(claims("closed", key.id), secs(1)).await.unwrap().hold;
    assert_eq!(again.close(closing(1)).await.unwrap().charged, Credits::ZERO);
    let unused = store.accounts.admit(claims("unused", key.id), secs(1)).await.unwrap();
    drop(unused);
}
