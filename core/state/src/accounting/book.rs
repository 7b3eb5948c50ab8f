use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{Admission, AuthFailure, Claims, Key, KeyId, KeyWatch, Refusal, Secret, StoreError};
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use super::hold::{Journal, OpenHold, Taking};
use super::record::{Record, Resident};
use super::settle::Debt;
use crate::api_key::{Pepper, Presented};

const SHARDS: usize = 64;
/// Keys in use that each admission looks at, to drop what has become idle.
const SWEPT: usize = 2;

/// All keys and accounts.
#[derive(Debug)]
pub(crate) struct Book {
    shards: Box<[Shard]>,
    hasher: ahash::RandomState,
    /// Why paid work is shut, if it is.
    shut: RwLock<Option<String>>,
}

#[derive(Debug)]
struct Shard {
    records: RwLock<HashSet<Resident, ahash::RandomState>>,
    in_use: Mutex<VecDeque<Arc<Record>>>,
}

impl Default for Book {
    fn default() -> Self {
        let hasher = ahash::RandomState::new();
        let shard = || Shard {
            records: RwLock::new(HashSet::with_hasher(hasher.clone())),
            in_use: Mutex::new(VecDeque::new()),
        };
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher: hasher.clone(), shut: RwLock::new(None) }
    }
}

impl Book {
    pub(crate) fn find(&self, id: KeyId) -> Option<Arc<Record>> {
        self.shard(id).records.read().get(&id).map(|resident| Arc::clone(&resident.0))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.records.read().is_empty())
    }

    pub(crate) fn insert(&self, record: Arc<Record>) {
        self.shard(record.id()).records.write().insert(Resident(record));
    }

    /// Removes a key and its account.
    pub(crate) fn remove(&self, id: KeyId) {
        if let Some(Resident(record)) = self.shard(id).records.write().take(&id) {
            record.delete();
        }
    }

    /// Removes every key for which `keep` is false.
    pub(crate) fn retain(&self, keep: impl Fn(KeyId) -> bool) {
        for shard in &self.shards {
            shard.records.write().retain(|Resident(record)| {
                let kept = keep(record.id());
                if !kept {
                    record.delete();
                }
                kept
            });
        }
    }

    /// Returns up to `limit` keys in the order of their ids, after `after`.
    pub(crate) fn list(&self, after: Option<KeyId>, limit: usize) -> Vec<Arc<Key>> {
        let mut first: BinaryHeap<KeyId> = BinaryHeap::new();
        for shard in &self.shards {
            for Resident(record) in shard.records.read().iter() {
                if after.is_some_and(|after| record.id() <= after) {
                    continue;
                }
                first.push(record.id());
                if first.len() > limit {
                    first.pop();
                }
            }
        }
        let found = first.into_sorted_vec();
        found.into_iter().filter_map(|id| self.find(id)).map(|record| record.key()).collect()
    }

    /// Returns the key that was presented. A stranger's id costs one look-up and leaves nothing behind.
    pub(crate) fn authenticate(&self, pepper: &Pepper, presented: &Secret, now: i64) -> Result<Arc<Key>, AuthFailure> {
        let presented = Presented::parse(presented.expose()).ok_or(AuthFailure::Unknown)?;
        let (key, digest) = self.find(presented.id()).ok_or(AuthFailure::Unknown)?.credentials();
        if !pepper.matches(&presented, &digest) {
            return Err(AuthFailure::Unknown);
        }
        key.check(now)?;
        Ok(key)
    }

    /// Returns what tells of the next change of a key.
    pub(crate) fn watch(&self, key: &Arc<Key>) -> KeyWatch {
        let Some(record) = self.find(key.id) else { return Box::pin(std::future::ready(None)) };
        let (watcher, changed) = oneshot::channel();
        if record.watch(key, watcher) {
            self.shard(key.id).in_use.lock().push_back(record);
        }
        Box::pin(async {
            match changed.await {
                Ok(key) => key,
                // The store was closed: from now on nothing changes any more.
                Err(_) => std::future::pending().await,
            }
        })
    }

    /// Takes all claims or none.
    pub(crate) fn admit(
        &self,
        claims: &Claims,
        now: Duration,
        journal: &Arc<dyn Journal>,
    ) -> Result<Admission, Refusal> {
        self.health()?;
        let record = self.find(claims.key).ok_or(Refusal::UnknownAccount)?;
        let (taken, fresh) = record.admit(claims, now)?;
        self.sweep(&record, fresh, now);
        let debt = Debt {
            request_id: Arc::clone(&claims.request_id),
            key: claims.key,
            price: claims.price,
            max_choices: claims.max_choices,
            held: taken.held,
            at_ms: claims.at_ms,
        };
        let hold = OpenHold::new(Taking { debt, record, taken }, claims.metered, Arc::clone(journal));
        Ok(Admission { hold: Box::new(hold), rate: taken.rate })
    }

    /// Refuses paid work from now on, and says why.
    pub(crate) fn shut(&self, reason: &str) {
        *self.shut.write() = Some(reason.to_owned());
    }

    /// Takes paid work again.
    pub(crate) fn reopen(&self) {
        *self.shut.write() = None;
    }

    pub(crate) fn health(&self) -> Result<(), StoreError> {
        self.shut.read().as_ref().map_or(Ok(()), |reason| Err(StoreError::Unavailable(reason.clone())))
    }

    fn shard(&self, id: KeyId) -> &Shard {
        let place = usize::try_from(self.hasher.hash_one(id) >> 58).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "six bits name one of the 64 shards")]
        &self.shards[place]
    }

    /// Looks at the keys that have been in use longest and drops what they no longer need.
    fn sweep(&self, record: &Arc<Record>, fresh: bool, now: Duration) {
        let mut in_use = self.shard(record.id()).in_use.lock();
        for _ in 0..SWEPT {
            let Some(oldest) = in_use.pop_front() else { break };
            if !oldest.sweep(now) {
                in_use.push_back(oldest);
            }
        }
        if fresh {
            in_use.push_back(Arc::clone(record));
        }
        if in_use.capacity() > 64 && in_use.len() < in_use.capacity() / 4 {
            in_use.shrink_to_fit();
        }
    }

    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        self.shards.iter().map(|shard| shard.in_use.lock().len()).sum()
    }
}
