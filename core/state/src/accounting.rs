//! The accounting that both stores share: who has which key, what is held, what is owed.
//!
//! All of it is in memory and the authority while the process runs. A [`Journal`] decides what a mark and a closing
//! wait for.

mod book;
mod hold;
mod live;
mod recent;
mod record;
mod settle;
mod window;

#[cfg(test)]
mod tests;

pub(crate) use book::Book;
pub(crate) use hold::{Journal, Stage, Taking};
pub(crate) use recent::{REMEMBERED, RecentIds};
pub(crate) use record::{Change, Digest, Record};
pub(crate) use settle::{Balance, Debt, Ending, adjust};

use std::sync::Arc;

use btvep_domain::{Key, KeyEdit, KeyPolicy};

/// Returns the key as an edit leaves it, but for its credits, which are no part of the key.
pub(crate) fn edited(key: &Key, edit: &KeyEdit, now: i64) -> Arc<Key> {
    let mut key = key.clone();
    if let Some(name) = &edit.name {
        key.name = name.as_deref().map(Into::into);
    }
    if let Some(valid_until) = edit.valid_until {
        key.valid_until = valid_until;
    }
    if let Some(enabled) = edit.enabled {
        key.enabled = enabled;
    }
    if let Some(policy) = &edit.policy {
        key.policy = boxed(policy.clone());
    }
    key.updated_at = now;
    Arc::new(key)
}

/// Returns the policy, none if it says nothing: most keys have none, and a million of them must stay small.
pub(crate) fn boxed(policy: KeyPolicy) -> Option<Box<KeyPolicy>> {
    (policy != KeyPolicy::default()).then(|| Box::new(policy))
}
