use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use btvep_domain::KeyId;

use super::share::give_back;
use super::{Held, Load, OverloadConfig, Shed};

/// A request's place among those in flight. The last owner's drop frees it, with all the memory counted on it.
pub struct Place {
    load: Arc<Load>,
    held: Arc<Held>,
    who: Option<KeyId>,
    /// Those of the configuration that the request began with.
    limits: OverloadConfig,
    bytes: AtomicUsize,
}

/// Memory counted on a place, given back when dropped.
#[derive(Debug, Default)]
pub struct Taken {
    place: Option<Arc<Place>>,
    bytes: usize,
}

impl Place {
    /// Takes over a request and its bytes, which are counted already.
    pub(super) fn new(
        load: Arc<Load>,
        (who, held): (Option<KeyId>, Arc<Held>),
        bytes: usize,
        limits: OverloadConfig,
    ) -> Arc<Self> {
        Arc::new(Self { load, held, who, limits, bytes: AtomicUsize::new(bytes) })
    }

    /// Begins to count memory; nothing yet.
    pub fn account(self: &Arc<Self>) -> Taken {
        Taken { place: Some(Arc::clone(self)), bytes: 0 }
    }

    /// Counts memory that is about to be used.
    ///
    /// # Errors
    ///
    /// The server, or the request's key, has too much already.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Result<Taken, Shed> {
        let mut taken = self.account();
        taken.grow(bytes)?;
        Ok(taken)
    }
}

impl Taken {
    /// Counts more.
    ///
    /// # Errors
    ///
    /// The server, or the request's key, has too much already; then what was counted before still is.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Shed> {
        let Some(place) = self.place.as_ref().filter(|_| bytes > 0) else { return Ok(()) };
        place.load.grow(place.who, &place.held, bytes, &place.limits)?;
        place.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        Ok(())
    }

    /// Counts so much more that `bytes` are counted in all; less than before changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::grow`].
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Shed> {
        self.grow(bytes.saturating_sub(self.bytes))
    }

    /// Gives back what was counted so far.
    pub fn clear(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if let Some(place) = self.place.as_ref().filter(|_| bytes > 0) {
            place.bytes.fetch_sub(bytes, Ordering::Relaxed);
            give_back(bytes, &place.load.bytes, &place.held.bytes);
        }
    }

    /// Leaves it counted until the place is freed.
    pub fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        give_back(*self.bytes.get_mut(), &self.load.bytes, &self.held.bytes);
        give_back(1, &self.load.requests, &self.held.requests);
        self.load.forget(self.who, &self.held);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("who", &self.who).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
