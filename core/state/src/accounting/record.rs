use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use btvep_domain::{Account, Claims, Credits, Key, KeyId, Refusal};
use parking_lot::Mutex;

use super::live::{Live, Taken, Watcher};
use super::settle::Balance;

/// The keyed hash of a key's secret.
pub(crate) type Digest = [u8; 32];

/// A key and its account, resident as long as the key exists. A million of them must stay small: what a key needs
/// only while it is in use is in [`Live`].
#[derive(Debug)]
pub(crate) struct Record {
    id: KeyId,
    gone: AtomicBool,
    /// Whether somebody has asked already that the counters be written.
    noted: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    key: Arc<Key>,
    digest: Digest,
    credits: Packed,
    api_request_count: u64,
    request_count: u64,
    live: Option<Box<Live>>,
}

/// An optional amount in eight bytes; no balance is ever as low as the least number.
#[derive(Clone, Copy, Debug)]
struct Packed(i64);

/// What a commit changes in an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// The balance after it.
    pub(crate) credits: Option<Credits>,
    /// Miners asked in it.
    pub(crate) attempts: u32,
}

impl Record {
    pub(crate) fn new(key: Arc<Key>, digest: Digest, balance: Balance) -> Self {
        let state = State {
            digest,
            credits: Packed::new(balance.credits),
            api_request_count: balance.api_request_count,
            request_count: balance.request_count,
            live: None,
            key,
        };
        Self { id: state.key.id, gone: AtomicBool::new(false), noted: AtomicBool::new(false), state: Mutex::new(state) }
    }

    pub(crate) const fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn key(&self) -> Arc<Key> {
        Arc::clone(&self.state.lock().key)
    }

    /// Returns the key and the hash its secret must have.
    pub(crate) fn credentials(&self) -> (Arc<Key>, Digest) {
        let state = self.state.lock();
        (Arc::clone(&state.key), state.digest)
    }

    pub(crate) fn balance(&self) -> Balance {
        let state = self.state.lock();
        Balance {
            credits: state.credits.get(),
            api_request_count: state.api_request_count,
            request_count: state.request_count,
        }
    }

    pub(crate) fn account(&self) -> Account {
        let state = self.state.lock();
        Account {
            credits: state.credits.get(),
            held: state.live.as_ref().map(|live| live.held).unwrap_or_default(),
            api_request_count: state.api_request_count,
            request_count: state.request_count,
        }
    }

    /// Whether the key was deleted; its open holds still end in order.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn delete(&self) {
        let mut state = self.state.lock();
        self.gone.store(true, Ordering::Release);
        state.tell(None);
    }

    /// Tells `watcher` once the key is no longer `known`; also tells whether the key was not in use before.
    pub(crate) fn watch(&self, known: &Arc<Key>, watcher: Watcher) -> bool {
        let mut state = self.state.lock();
        if self.is_gone() || !Arc::ptr_eq(&state.key, known) {
            // Whoever has gone meanwhile has no ear.
            let _ = watcher.send((!self.is_gone()).then(|| Arc::clone(&state.key)));
            return false;
        }
        let fresh = state.live.is_none();
        state.live.get_or_insert_default().watch(watcher);
        fresh
    }

    /// Takes all claims or none; also tells whether the key was not in use before.
    pub(crate) fn admit(&self, claims: &Claims, now: Duration) -> Result<(Taken, bool), Refusal> {
        let mut state = self.state.lock();
        if self.is_gone() {
            return Err(Refusal::UnknownAccount);
        }
        let fresh = state.live.is_none();
        let credits = state.credits.get();
        let taken = state.live.get_or_insert_default().admit(claims, now, credits);
        match taken {
            Ok(taken) => {
                state.api_request_count = state.api_request_count.saturating_add(1);
                Ok((taken, fresh))
            }
            Err(refusal) => {
                if fresh {
                    state.live = None;
                }
                Err(refusal)
            }
        }
    }

    /// Ends a hold without a charge.
    pub(crate) fn release(&self, taken: &Taken, asked: Option<u32>) {
        if let Some(live) = &mut self.state.lock().live {
            live.release(taken, asked);
        }
    }

    /// Ends a request that nothing meters and returns what is left to spend.
    pub(crate) fn end(&self, taken: &Taken, asked: u32) -> Option<Credits> {
        let mut state = self.state.lock();
        state.request_count = state.request_count.saturating_add(u64::from(asked));
        let mut held = Credits::ZERO;
        if let Some(live) = &mut state.live {
            live.release(taken, Some(asked));
            held = live.held;
        }
        state.credits.get().map(|credits| credits.minus(held))
    }

    /// Notes that the counters have to be written; false when that was noted before.
    pub(crate) fn note(&self) -> bool {
        !self.noted.swap(true, Ordering::AcqRel)
    }

    /// Ends what was noted: the counters are about to be written as they are now.
    pub(crate) fn unnote(&self) {
        self.noted.store(false, Ordering::Release);
    }

    /// Ends a hold with a charge and returns what is left to spend. Both happen under one lock: in between, the
    /// account would look richer or poorer than it is.
    pub(crate) fn settle(&self, taken: &Taken, change: Change, asked: Option<u32>) -> Option<Credits> {
        let mut state = self.state.lock();
        state.credits = Packed::new(change.credits);
        state.request_count = state.request_count.saturating_add(u64::from(change.attempts));
        let mut held = Credits::ZERO;
        if let Some(live) = &mut state.live {
            live.release(taken, asked);
            held = live.held;
        }
        change.credits.map(|credits| credits.minus(held))
    }

    /// Replaces the key and its balance.
    pub(crate) fn replace(&self, key: Arc<Key>, credits: Option<Credits>) {
        let mut state = self.state.lock();
        state.credits = Packed::new(credits);
        state.change(key);
    }

    /// Takes over what the disk says, after it was in doubt. Counters never go back.
    pub(crate) fn reread(&self, other: &Self) {
        let (from, mut state) = (other.state.lock(), self.state.lock());
        state.change(Arc::clone(&from.key));
        state.digest = from.digest;
        state.credits = from.credits;
        state.api_request_count = state.api_request_count.max(from.api_request_count);
        state.request_count = state.request_count.max(from.request_count);
    }

    /// Drops what is over; returns whether the key is no longer in use.
    pub(crate) fn sweep(&self, now: Duration) -> bool {
        let mut state = self.state.lock();
        let idle = state.live.as_mut().is_none_or(|live| live.sweep(now));
        if idle {
            state.live = None;
        }
        idle
    }
}

impl State {
    fn change(&mut self, key: Arc<Key>) {
        let changed = self.key != key;
        self.key = key;
        if changed {
            self.tell(Some(&Arc::clone(&self.key)));
        }
    }

    fn tell(&mut self, key: Option<&Arc<Key>>) {
        if let Some(live) = &mut self.live {
            live.tell(key);
        }
    }
}

impl Packed {
    const UNLIMITED: i64 = i64::MIN;

    fn new(credits: Option<Credits>) -> Self {
        Self(credits.map_or(Self::UNLIMITED, |credits| credits.0.max(Self::UNLIMITED + 1)))
    }

    fn get(self) -> Option<Credits> {
        (self.0 != Self::UNLIMITED).then_some(Credits(self.0))
    }
}

/// A record in a set, found by its id: eight bytes each instead of id and pointer.
#[derive(Debug)]
pub(super) struct Resident(pub(super) Arc<Record>);

impl Borrow<KeyId> for Resident {
    fn borrow(&self) -> &KeyId {
        &self.0.id
    }
}

impl Hash for Resident {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for Resident {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Resident {}
