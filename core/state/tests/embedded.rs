//! The behaviour suites on the store on sled.
#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::path::Path;
use std::sync::Arc;

use btvep_state::{Embedded, StateConfig};
use btvep_testkit::suite::{self, Store};
use parking_lot::Mutex;
use tempfile::TempDir;

fn open(path: &Path) -> Store {
    let config = StateConfig { path: path.to_owned(), ..StateConfig::default() };
    let store = Embedded::open(&config, None).unwrap();
    Store { keys: store.clone(), accounts: store }
}

/// Makes stores in directories of their own, which live as long as this does.
#[derive(Default)]
struct Directories(Mutex<Vec<TempDir>>);

impl Directories {
    fn store(&self) -> Store {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        self.0.lock().push(directory);
        store
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_keeps_keys() {
    let directories = Arc::new(Directories::default());
    suite::keys(|| directories.store()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_keeps_accounts() {
    let directories = Arc::new(Directories::default());
    suite::accounts(|| directories.store()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_survives_reopening() {
    let directory = tempfile::tempdir().unwrap();
    suite::reopening(|| open(directory.path())).await;
}
