//! Keys, accounts and logs, in memory and on sled.
//!
//! The accounting (`accounting`) is in memory in both and the same; they differ in what a closing waits for.

mod accounting;
mod api_key;
mod config;
mod embedded;
mod logs;
mod mailbox;
mod memory;

pub use config::{Durability, LogsConfig, StateConfig, WhenFull};
pub use embedded::{Embedded, OpenError};
pub use memory::Memory;

use std::sync::Arc;

use btvep_domain::{Key, KeyId, NewKey};

/// Returns the key that a request for a new one describes; its credits are no part of it.
fn new_key(id: KeyId, new: NewKey, now: i64) -> Arc<Key> {
    Arc::new(Key {
        id,
        name: new.name.map(Into::into),
        enabled: !new.disabled,
        valid_until: new.valid_until,
        created_at: now,
        updated_at: now,
        policy: accounting::boxed(new.policy),
    })
}

/// Where a page of the ledger begins, as the caller carries it.
mod cursor {
    use btvep_domain::StoreError;

    pub(crate) fn write(place: u64) -> Vec<u8> {
        place.to_be_bytes().to_vec()
    }

    pub(crate) fn read(cursor: Option<Vec<u8>>) -> Result<u64, StoreError> {
        let Some(bytes) = cursor else { return Ok(0) };
        let bytes = <[u8; 8]>::try_from(bytes)
            .map_err(|_| StoreError::Corrupt("this is not where a page of the ledger begins".to_owned()))?;
        Ok(u64::from_be_bytes(bytes))
    }
}
