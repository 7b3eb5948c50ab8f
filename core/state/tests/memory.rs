//! The behaviour suites on the store in memory.

use std::sync::Arc;

use btvep_state::Memory;
use btvep_testkit::suite::{self, Store};

fn store() -> Store {
    let memory = Arc::new(Memory::new());
    Store { keys: memory.clone(), accounts: memory }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_keys() {
    suite::keys(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_accounts() {
    suite::accounts(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_logs() {
    suite::logs(|| Arc::new(Memory::new())).await;
}
