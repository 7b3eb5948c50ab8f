//! A bounded queue into one thread, emptied at once.

use std::mem;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Many put in, one thread takes everything there is: while it works, the next batch gathers by itself. The thread
/// is woken only when it sleeps, so a busy queue costs one short lock per item.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    inner: Mutex<Inner<T>>,
    filled: Condvar,
    emptied: Condvar,
    limit: usize,
}

#[derive(Debug)]
struct Inner<T> {
    items: Vec<T>,
    closed: bool,
    asleep: bool,
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
    pub(crate) const fn new(limit: usize) -> Self {
        let inner = Inner { items: Vec::new(), closed: false, asleep: false };
        Self { inner: Mutex::new(inner), filled: Condvar::new(), emptied: Condvar::new(), limit }
    }

    /// Puts an item in, if there is a place.
    pub(crate) fn push(&self, item: T) -> Result<(), Refused> {
        let mut inner = self.inner.lock();
        if inner.items.len() >= self.limit {
            return Err(Refused::Full);
        }
        self.put(&mut inner, item)
    }

    /// Puts an item in although no place is left: for items whose number is bounded elsewhere.
    pub(crate) fn push_over(&self, item: T) -> Result<(), Refused> {
        self.put(&mut self.inner.lock(), item)
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

    /// Appends everything there is to `into`, waiting for something at most until `deadline` (none: for ever).
    /// False once the mailbox is closed and empty.
    pub(crate) fn drain(&self, into: &mut Vec<T>, deadline: Option<Instant>) -> bool {
        let mut inner = self.inner.lock();
        while inner.items.is_empty() && !inner.closed {
            inner.asleep = true;
            let timed_out = deadline.is_some_and(|deadline| self.filled.wait_until(&mut inner, deadline).timed_out());
            if deadline.is_none() {
                self.filled.wait(&mut inner);
            }
            inner.asleep = false;
            if timed_out {
                break;
            }
        }
        if inner.items.len() >= self.limit {
            self.emptied.notify_all();
        }
        let more = !(inner.items.is_empty() && inner.closed);
        if into.is_empty() {
            mem::swap(into, &mut inner.items);
        } else {
            into.append(&mut inner.items);
        }
        more
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
        if inner.asleep {
            inner.asleep = false;
            self.filled.notify_one();
        }
        Ok(())
    }
}
