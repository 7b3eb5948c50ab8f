//! What happens when a commit fails.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use btvep_domain::{ChargeRecord, Closing, Credits, Settlement};

use super::*;

/// A store whose disk can be made to fail.
struct Faulty {
    store: Arc<Embedded>,
    broken: Arc<AtomicBool>,
}

fn config(path: &Path) -> StateConfig {
    StateConfig { path: path.to_owned(), ..StateConfig::default() }
}

impl Faulty {
    fn open(path: &Path) -> Self {
        let broken = Arc::new(AtomicBool::new(false));
        let sync: SyncFile = {
            let broken = Arc::clone(&broken);
            Arc::new(move |_| if broken.load(Ordering::Acquire) { Err(io::Error::other("disk full")) } else { Ok(()) })
        };
        Self { store: Embedded::open_with(&config(path), None, sync).unwrap(), broken }
    }

    async fn key(&self) -> KeyId {
        let new = NewKey { credits: Some(Credits::whole(10)), ..NewKey::default() };
        self.store.create(new, 0).await.unwrap().0.id
    }

    async fn admit(&self, request_id: &str, key: KeyId) -> Result<Admission, Refusal> {
        let claims = Claims {
            request_id: request_id.into(),
            key,
            price: Credits::whole(1),
            metered: true,
            max_choices: 2,
            max_attempts: 1,
            rules: Arc::new([]),
            attempts: None,
            concurrency: None,
            at_ms: 0,
        };
        self.store.admit(claims, Duration::from_secs(1)).await
    }

    /// Repairs the disk and waits until the store has noticed.
    async fn repair(&self) {
        self.broken.store(false, Ordering::Release);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.store.health().is_err() {
            assert!(Instant::now() < deadline, "the store has not come back");
            tokio::task::yield_now().await;
        }
    }

    async fn account(&self, key: KeyId) -> Account {
        self.store.account(key).await.unwrap().unwrap()
    }

    async fn records(&self) -> Vec<ChargeRecord> {
        self.store.ledger(None, 1_000).await.unwrap().records
    }
}

const fn closing(choices: u32) -> Closing {
    Closing { choices, attempts: 1, at_ms: 1 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_withholds_the_answer_and_charges_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let faulty = Faulty::open(directory.path());
    let key = faulty.key().await;
    let acknowledged = faulty.admit("before", key).await.unwrap().hold.close(closing(1)).await.unwrap();
    assert_eq!(acknowledged.charged, Credits::whole(1));
    let (failing, open) = (faulty.admit("failing", key).await.unwrap(), faulty.admit("open", key).await.unwrap());
    faulty.broken.store(true, Ordering::Release);
    let refused = failing.hold.close(closing(1)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(faulty.store.health().is_err());
    let refused = faulty.admit("shut", key).await;
    assert!(matches!(refused, Err(Refusal::Store(StoreError::Unavailable(_)))), "{refused:?}");
    faulty.repair().await;
    // The hold that was open all the time ends in order.
    assert_eq!(open.hold.close(closing(2)).await.unwrap().charged, Credits::whole(2));
    let account = faulty.account(key).await;
    assert_eq!((account.credits, account.held), (Some(Credits::whole(7)), Credits::ZERO));
    let records = faulty.records().await;
    let charged: Credits = records.iter().map(|record| record.charged).sum();
    assert_eq!(charged, Credits::whole(-7), "{records:?}");
    assert!(records.iter().any(|record| &*record.request_id == "before"), "what was acknowledged is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_outlives_a_failed_closing() {
    let directory = tempfile::tempdir().unwrap();
    let faulty = Faulty::open(directory.path());
    let key = faulty.key().await;
    let (mut failing, mut open) =
        (faulty.admit("failing", key).await.unwrap().hold, faulty.admit("open", key).await.unwrap().hold);
    failing.mark().await.unwrap();
    open.mark().await.unwrap();
    // The commit in which it is noticed belongs to somebody else, so that the closing is never written.
    faulty.broken.store(true, Ordering::Release);
    faulty.store.edit(key, KeyEdit::default(), 1).await.unwrap_err();
    failing.close(closing(2)).await.unwrap_err();
    faulty.repair().await;
    let recovered: Vec<_> =
        faulty.records().await.into_iter().filter(|record| record.settlement == Settlement::Recovered).collect();
    assert_eq!(recovered.len(), 1, "{recovered:?}");
    assert_eq!((&*recovered[0].request_id, recovered[0].charged), ("failing", Credits::whole(1)));
    assert_eq!(open.close(closing(1)).await.unwrap().charged, Credits::whole(1));
    assert_eq!(faulty.account(key).await.credits, Some(Credits::whole(8)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_nobody_saw_is_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let faulty = Faulty::open(directory.path());
    let key = faulty.key().await;
    let mut hold = faulty.admit("unseen", key).await.unwrap().hold;
    faulty.broken.store(true, Ordering::Release);
    hold.mark().await.unwrap_err();
    drop(hold);
    faulty.repair().await;
    let account = faulty.account(key).await;
    assert_eq!((account.credits, account.held), (Some(Credits::whole(10)), Credits::ZERO));
    faulty.store.close();
    let store = Embedded::open(&config(directory.path()), None).unwrap();
    assert_eq!(store.account(key).await.unwrap().unwrap().credits, Some(Credits::whole(10)));
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_of_a_closed_store_are_settled_once() {
    let directory = tempfile::tempdir().unwrap();
    let faulty = Faulty::open(directory.path());
    let key = faulty.key().await;
    let mut marked = faulty.admit("marked", key).await.unwrap().hold;
    marked.mark().await.unwrap();
    let held = faulty.admit("held", key).await.unwrap().hold;
    faulty.store.close();
    marked.close(closing(1)).await.unwrap_err();
    drop(held);
    for _ in 0..2 {
        let store = Embedded::open(&config(directory.path()), None).unwrap();
        let account = store.account(key).await.unwrap().unwrap();
        assert_eq!((account.credits, account.held), (Some(Credits::whole(9)), Credits::ZERO));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sled_has_forgotten_is_redone() {
    let (now, before) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let faulty = Faulty::open(now.path());
    let key = faulty.key().await;
    faulty.admit("before", key).await.unwrap().hold.close(closing(1)).await.unwrap();
    faulty.store.close();
    fs::create_dir(before.path().join("store")).unwrap();
    for entry in fs::read_dir(now.path().join("store")).unwrap().map(Result::unwrap).filter(|e| e.path().is_file()) {
        fs::copy(entry.path(), before.path().join("store").join(entry.file_name())).unwrap();
    }
    fs::copy(now.path().join("pepper"), before.path().join("pepper")).unwrap();
    let faulty = Faulty::open(now.path());
    for name in ["one", "two", "three"] {
        faulty.admit(name, key).await.unwrap().hold.close(closing(2)).await.unwrap();
    }
    let (account, records) = (faulty.account(key).await, faulty.records().await);
    faulty.store.close();
    fs::copy(now.path().join("store/redo"), before.path().join("store/redo")).unwrap();
    for _ in 0..2 {
        let faulty = Faulty::open(before.path());
        assert_eq!((faulty.account(key).await, faulty.records().await), (account, records.clone()));
        faulty.store.close();
    }
    // The log was begun anew; with one of an earlier time nothing goes back.
    fs::copy(now.path().join("store/redo"), before.path().join("store/redo")).unwrap();
    let faulty = Faulty::open(before.path());
    assert_eq!(faulty.account(key).await, account);
}

#[test]
fn a_store_in_use_is_locked_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let first = Embedded::open(&config(directory.path()), None).unwrap();
    let second = Embedded::open(&config(directory.path()), None);
    assert!(matches!(second, Err(OpenError::Store(StoreError::Locked(_)))), "{second:?}");
    first.close();
    Embedded::open(&config(directory.path()), None).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_foreign_pepper_refuses_to_open() {
    let directory = tempfile::tempdir().unwrap();
    let pepper = directory.path().join("pepper");
    let store = Embedded::open(&config(directory.path()), None).unwrap();
    let (_, secret) = store.create(NewKey::default(), 0).await.unwrap();
    drop(store);
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&pepper).unwrap()) & 0o777, 0o600);
    let text = fs::read_to_string(&pepper).unwrap();
    fs::remove_file(&pepper).unwrap();
    let missing = Embedded::open(&config(directory.path()), None);
    assert!(matches!(missing, Err(OpenError::PepperMissing(_))), "{missing:?}");
    assert!(!pepper.exists(), "a new pepper was made although there are keys");
    let foreign = Embedded::open(&config(directory.path()), Some(&Secret::new("another")));
    assert!(matches!(foreign, Err(OpenError::PepperDiffers)), "{foreign:?}");
    let store = Embedded::open(&config(directory.path()), Some(&Secret::new(text))).unwrap();
    store.authenticate(&secret, 0).await.unwrap();
}

#[test]
fn foreign_files_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    drop(Embedded::open(&config(directory.path()), None).unwrap());
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["logs", "notes.txt", "pepper", "store"]);
    assert_eq!(fs::read_to_string(directory.path().join("notes.txt")).unwrap(), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn relaxed_writes_everything_when_it_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let relaxed = StateConfig { durability: Durability::Relaxed, ..config(directory.path()) };
    let store = Embedded::open(&relaxed, None).unwrap();
    let (key, _) = store.create(NewKey::default(), 0).await.unwrap();
    drop(store);
    let store = Embedded::open(&relaxed, None).unwrap();
    assert!(store.get(key.id).await.unwrap().is_some());
}
