use btvep_domain::{Credits, KeyEdit, Settlement};

use super::{AT_MS, Store, claims, closing, secs};

pub(super) async fn run(make: &impl Fn() -> Store) {
    the_ledger_is_in_order_and_sums_to_the_balance(&make()).await;
    a_page_begins_where_the_last_one_ended(&make()).await;
}

async fn the_ledger_is_in_order_and_sums_to_the_balance(store: &Store) {
    let key = store.key(Some(50)).await;
    for place in 0..30 {
        let hold = store.accounts.admit(claims(&format!("line-{place}"), key), secs(place)).await.unwrap().hold;
        hold.close(closing(u32::from(place % 3 != 0))).await.unwrap();
    }
    let grant = KeyEdit { credits: Some(Some(Credits::whole(100))), ..KeyEdit::default() };
    store.keys.edit(key, grant, AT_MS / 1000 + 60).await.unwrap();
    let ledger = store.ledger().await;
    let ids: Vec<_> =
        ledger.iter().filter(|line| line.settlement == Settlement::Closed).map(|line| &*line.request_id).collect();
    let expected: Vec<_> = (0..30).map(|place| format!("line-{place}")).collect();
    assert_eq!(ids, expected);
    let last = ledger.last().unwrap();
    assert_eq!((last.settlement, last.charged), (Settlement::Adjusted, Credits::whole(30 - 100)));
    assert_eq!(last.balance, Some(Credits::whole(100)));
    let spent: Credits = ledger.iter().map(|line| line.charged).sum();
    assert_eq!(Credits::ZERO.minus(spent), Credits::whole(100));
    store.keys.delete(key).await.unwrap();
    assert_eq!(store.ledger().await, ledger, "deleting a key altered the ledger");
}

async fn a_page_begins_where_the_last_one_ended(store: &Store) {
    let key = store.key(None).await;
    for place in 0..5 {
        let hold = store.accounts.admit(claims(&format!("page-{place}"), key), secs(1)).await.unwrap().hold;
        hold.close(closing(1)).await.unwrap();
    }
    let first = store.accounts.ledger(None, 2).await.unwrap();
    let second = store.accounts.ledger(first.next.clone(), 2).await.unwrap();
    let again = store.accounts.ledger(first.next, 2).await.unwrap();
    assert_eq!(second.records, again.records);
    assert_eq!(&*second.records[0].request_id, "page-2");
    let end = store.accounts.ledger(second.next, 2).await.unwrap();
    assert_eq!((end.records.len(), end.next), (1, None));
    assert!(store.accounts.ledger(Some(vec![1, 2, 3]), 2).await.is_err());
}
