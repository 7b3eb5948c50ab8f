use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{Claims, Credits, KeyId, NewKey, RateRule};

use super::*;
use crate::memory::Memory;

fn book(keys: usize) -> (Book, Vec<KeyId>) {
    let book = Book::default();
    let ids: Vec<KeyId> = (0..keys).map(|place| format!("key{place:09}").parse().unwrap()).collect();
    for id in &ids {
        let key = crate::new_key(*id, NewKey::default(), 0);
        book.insert(Arc::new(Record::new(key, [0; 32], Balance::default())));
    }
    (book, ids)
}

fn claims(key: KeyId) -> Claims {
    Claims {
        request_id: "r".into(),
        key,
        price: Credits::whole(1),
        metered: true,
        max_choices: 1,
        max_attempts: 1,
        rules: Arc::new([RateRule { times: 5, seconds: 60 }]),
        attempts: None,
        concurrency: None,
        at_ms: 0,
    }
}

#[test]
fn what_idle_keys_held_in_memory_is_dropped_while_others_work() {
    let (book, ids) = book(5_000);
    let journal = Memory::journal();
    for id in &ids {
        book.admit(&claims(*id), Duration::from_secs(1), &journal).unwrap();
    }
    assert_eq!(book.in_use(), 5_000, "all windows still count");
    for id in ids.iter().cycle().take(5_000) {
        book.admit(&claims(*id), Duration::from_secs(100), &journal).unwrap();
    }
    assert!(book.in_use() <= 5_000, "a key in use is listed once");
    for round in 0..5 {
        let late = Duration::from_secs(1_000 + 100 * round);
        for id in ids.iter().take(1_000) {
            book.admit(&claims(*id), late, &journal).unwrap();
        }
    }
    assert!(book.in_use() < 1_500, "{} keys are still in use", book.in_use());
}

#[test]
fn a_refused_stranger_leaves_nothing_behind() {
    let (book, ids) = book(1);
    let mut dear = claims(ids[0]);
    dear.concurrency = Some(0);
    book.admit(&dear, Duration::ZERO, &Memory::journal()).unwrap_err();
    assert_eq!(book.in_use(), 0);
}

#[test]
fn a_record_is_small() {
    // With the key (88 bytes), a name, the set's slot and the store's own share a key stays below 300 bytes.
    assert_eq!(size_of::<Record>(), 96);
}
