//! A store that an earlier version wrote is opened by this one.
//!
//! `fixtures/store-1.tar.gz` was written by layout 1. It is never written again: a changed layout adds a fixture of its
//! own and a migration. `BTVEP_WRITE_FIXTURE=FOLDER cargo test -p btvep-state --test fixture` writes one.
#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{
    Account, Accounts, AuthFailure, Claims, Closing, Credits, KeyEdit, KeyPolicy, Keys, NewKey, Secret, Settlement,
};
use btvep_state::{Embedded, StateConfig};

/// Keys of the fixture; its pepper lies beside it, so they open nothing else.
const LIMITED: &str = "btvep_6UxAtolPF6wf_99wQnZD0Pz1L1dVciX0DcSzyYf9izNheAO9LzlzHoHl";
const DISABLED: &str = "btvep_XugYy7A9Q6ri_1UVvhhHNzBSpW7v7CWDhNVjqhJILMpQXg6OrZYW0H2S";
const WRITTEN_AT: i64 = 1_790_000_000;

fn config(path: &Path) -> StateConfig {
    StateConfig { path: path.to_owned(), ..StateConfig::default() }
}

fn policy() -> KeyPolicy {
    KeyPolicy { max_top_n: Some(3), models: Some(vec!["sn1".into()]), ..KeyPolicy::default() }
}

fn open(path: &Path) -> Arc<Embedded> {
    Embedded::open(&config(path), None).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_layout_1_opens() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-1.tar.gz");
    let unpacked = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()).status().unwrap();
    assert!(unpacked.success());
    for _ in 0..2 {
        let store = open(folder.path());
        let key = store.authenticate(&Secret::new(LIMITED), WRITTEN_AT).await.unwrap();
        assert_eq!((key.name.as_deref(), key.policy.as_deref()), (Some("limited"), Some(&policy())));
        let expired = store.authenticate(&Secret::new(LIMITED), WRITTEN_AT + 1_000).await.unwrap_err();
        assert!(matches!(expired, AuthFailure::Expired { at } if at == WRITTEN_AT + 1_000), "{expired:?}");
        let disabled = store.authenticate(&Secret::new(DISABLED), WRITTEN_AT).await.unwrap_err();
        assert!(matches!(disabled, AuthFailure::Disabled), "{disabled:?}");
        // 100 granted, two choices at 1.5, and the mark of one that was cut off.
        let account = store.account(key.id).await.unwrap().unwrap();
        let credits = Some(Credits(95_500_000));
        assert_eq!(
            account,
            Account { credits, held: Credits::ZERO, api_request_count: account.api_request_count, request_count: 2 }
        );
        let records = store.ledger(None, 100).await.unwrap().records;
        let told: Vec<_> =
            records.iter().map(|record| (&*record.request_id, record.charged.0, record.settlement)).collect();
        assert_eq!(
            told[1..],
            [
                ("req_closed", 3_000_000, Settlement::Closed),
                ("req_unlimited", 1_500_000, Settlement::Closed),
                ("req_cut_off", 1_500_000, Settlement::Recovered),
            ]
        );
        assert_eq!((told.len(), told[0].1, told[0].2), (4, -100_000_000, Settlement::Adjusted));
        store.close();
    }
}

/// Does nothing unless it is told where to write.
#[tokio::test(flavor = "multi_thread")]
async fn writes_a_fixture() {
    let Ok(folder) = std::env::var("BTVEP_WRITE_FIXTURE") else { return };
    let store = open(Path::new(&folder));
    let new = NewKey {
        name: Some("limited".to_owned()),
        credits: Some(Credits::whole(100)),
        valid_until: Some(WRITTEN_AT + 1_000),
        policy: policy(),
        ..NewKey::default()
    };
    let (limited, secret) = store.create(new, WRITTEN_AT).await.unwrap();
    println!("LIMITED {}", secret.expose());
    let (disabled, secret) = store.create(NewKey::default(), WRITTEN_AT).await.unwrap();
    println!("DISABLED {}", secret.expose());
    let claims = |request_id: &str, key| Claims {
        request_id: request_id.into(),
        key,
        price: Credits(1_500_000),
        metered: true,
        max_choices: 2,
        max_attempts: 2,
        rules: Arc::new([]),
        attempts: None,
        concurrency: None,
        at_ms: WRITTEN_AT * 1_000,
    };
    let closing = |choices| Closing { choices, attempts: choices, at_ms: WRITTEN_AT * 1_000 + 200 };
    let now = Duration::from_secs(1);
    store.admit(claims("req_closed", limited.id), now).await.unwrap().hold.close(closing(2)).await.unwrap();
    store.admit(claims("req_unlimited", disabled.id), now).await.unwrap().hold.close(closing(1)).await.unwrap();
    let mut cut_off = store.admit(claims("req_cut_off", limited.id), now).await.unwrap().hold;
    cut_off.mark().await.unwrap();
    store.edit(disabled.id, KeyEdit { enabled: Some(false), ..KeyEdit::default() }, WRITTEN_AT).await.unwrap();
    store.close();
}
