//! A bounded queue into one thread, emptied at once.

use std::mem;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Many put in, one thread takes everything there is. Whoever comes to a sleeping thread is taken at once; from then on
/// the next batch gathers for a moment, so that a busy queue costs one short lock per item and one wake-up per batch.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    inner: Mutex<Inner<T>>,
    filled: Condvar,
    emptied: Condvar,
    limit: usize,
    /// The least time from one batch to the next.
    gather: Duration,
}

#[derive(Debug)]
struct Inner<T> {
    items: Vec<T>,
    /// Taken with the next batch; they wake nobody.
    later: Vec<T>,
    closed: bool,
    waiting: Waiting,
    /// Somebody waits for the batch that gathers.
    urgent: bool,
    drained: Option<Instant>,
}

/// What the taking thread sleeps for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// It works.
    Not,
    /// The first item.
    Any,
    /// More items, of which it has some.
    More,
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many wait as may.
    Full,
    /// Nobody takes items any more.
    Closed,
}

impl<T> Mailbox<T> {
    pub(crate) const fn new(limit: usize, gather: Duration) -> Self {
        let inner = Inner {
            items: Vec::new(),
            later: Vec::new(),
            closed: false,
            waiting: Waiting::Not,
            urgent: false,
            drained: None,
        };
        Self { inner: Mutex::new(inner), filled: Condvar::new(), emptied: Condvar::new(), limit, gather }
    }

    /// Puts an item in, if there is a place.
    pub(crate) fn push(&self, item: T) -> Result<(), Refused> {
        let mut inner = self.inner.lock();
        if inner.items.len() >= self.limit {
            return Err(Refused::Full);
        }
        self.put(&mut inner, item)
    }

    /// Puts an item in although no place is left, and ends the gathering: for items whose number is bounded elsewhere.
    pub(crate) fn push_over(&self, item: T) -> Result<(), Refused> {
        let mut inner = self.inner.lock();
        inner.urgent = true;
        self.put(&mut inner, item)
    }

    /// Lets the next item end the gathering.
    pub(crate) fn hurry(&self) {
        self.inner.lock().urgent = true;
    }

    /// Puts an item in that may wait for the next batch, or for the deadline of the taking thread. Its number is bounded
    /// elsewhere.
    pub(crate) fn push_later(&self, item: T) -> Result<(), Refused> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(Refused::Closed);
        }
        inner.later.push(item);
        Ok(())
    }

    /// Puts an item in, waiting for a place at most so long.
    pub(crate) fn push_within(&self, item: T, patience: Duration) -> Result<(), Refused> {
        let deadline = Instant::now() + patience;
        let mut inner = self.inner.lock();
        while inner.items.len() >= self.limit && !inner.closed {
            if self.emptied.wait_until(&mut inner, deadline).timed_out() {
                return Err(Refused::Full);
            }
        }
        self.put(&mut inner, item)
    }

    /// Appends everything there is to `into`, waiting for something at most until `deadline`. False once the mailbox is closed and empty.
    pub(crate) fn drain(&self, into: &mut Vec<T>, deadline: Instant) -> bool {
        let mut inner = self.inner.lock();
        while inner.items.is_empty() && !inner.closed {
            if !self.sleep(&mut inner, Waiting::Any, deadline) {
                break;
            }
        }
        self.let_gather(&mut inner);
        if inner.items.len() >= self.limit {
            self.emptied.notify_all();
        }
        inner.urgent = false;
        inner.drained = Some(Instant::now());
        let more = !(inner.items.is_empty() && inner.later.is_empty() && inner.closed);
        if into.is_empty() {
            mem::swap(into, &mut inner.items);
        } else {
            into.append(&mut inner.items);
        }
        into.append(&mut inner.later);
        more
    }

    /// Waits while the last batch is not long ago and there is room for more.
    fn let_gather(&self, inner: &mut MutexGuard<'_, Inner<T>>) {
        let Some(until) = inner.drained.map(|drained| drained + self.gather) else { return };
        while !inner.items.is_empty() && inner.items.len() < self.limit / 2 && !inner.urgent && !inner.closed {
            if !self.sleep(inner, Waiting::More, until) {
                return;
            }
        }
    }

    /// Sleeps until it is woken; false when the deadline was reached.
    fn sleep(&self, inner: &mut MutexGuard<'_, Inner<T>>, waiting: Waiting, deadline: Instant) -> bool {
        inner.waiting = waiting;
        let timed_out = self.filled.wait_until(inner, deadline).timed_out();
        inner.waiting = Waiting::Not;
        !timed_out
    }

    /// Takes no more items; those inside are still taken out.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
        self.filled.notify_all();
        self.emptied.notify_all();
    }

    fn put(&self, inner: &mut Inner<T>, item: T) -> Result<(), Refused> {
        if inner.closed {
            return Err(Refused::Closed);
        }
        inner.items.push(item);
        let wakes = match inner.waiting {
            Waiting::Not => false,
            Waiting::Any => true,
            Waiting::More => inner.urgent || inner.items.len() >= self.limit / 2,
        };
        if wakes {
            inner.waiting = Waiting::Not;
            self.filled.notify_one();
        }
        Ok(())
    }
}
