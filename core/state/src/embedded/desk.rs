//! Tells those who wait for a commit: one wake-up for each of their runtimes, however many of its tasks wait.
//!
//! A commit ends many requests at once. Waking each across threads would cost a system call each, and on a busy core
//! two switches; the desk of a runtime is woken once and tells its own tasks, which costs neither.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;

use btvep_domain::{Closed, StoreError};
use parking_lot::Mutex;
use tokio::runtime::{Handle, Id};
use tokio::sync::{Notify, oneshot};

/// Where one waits for a commit.
pub(super) type Sender<T> = oneshot::Sender<Result<T, StoreError>>;

/// Who waits for a closing.
#[derive(Debug)]
pub(super) struct Waiting {
    sender: Sender<Closed>,
    /// None outside of any runtime.
    desk: Option<Arc<Desk>>,
}

/// One runtime's place to be told.
#[derive(Debug, Default)]
struct Desk {
    inbox: Mutex<Inbox>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Inbox {
    told: Vec<Told>,
    /// The runtime has ended and nobody reads any more.
    shut: bool,
}

/// What one commit has to tell, by desk; there are as many of them as runtimes.
#[derive(Debug, Default)]
pub(super) struct Round(Vec<(Arc<Desk>, Vec<Told>)>);

type Told = (Sender<Closed>, Closed);

thread_local! {
    static HERE: RefCell<Option<(Id, Arc<Desk>)>> = const { RefCell::new(None) };
}

impl Waiting {
    /// Makes a place to wait at, told by the runtime that this is called in.
    pub(super) fn here(sender: Sender<Closed>) -> Self {
        let desk = Handle::try_current().ok().map(|runtime| desk_of(&runtime));
        Self { sender, desk }
    }

    /// Refuses at once.
    pub(super) fn refuse(self, error: StoreError) {
        // Whoever stopped waiting has no ear.
        let _ = self.sender.send(Err(error));
    }
}

fn desk_of(runtime: &Handle) -> Arc<Desk> {
    HERE.with_borrow_mut(|here| {
        if let Some((id, desk)) = here
            && *id == runtime.id()
            && !desk.inbox.lock().shut
        {
            return Arc::clone(desk);
        }
        let desk = Arc::new(Desk::default());
        runtime.spawn(serve(Reader(Arc::clone(&desk))));
        *here = Some((runtime.id(), Arc::clone(&desk)));
        desk
    })
}

/// Reads a desk's inbox for as long as its runtime lives.
struct Reader(Arc<Desk>);

async fn serve(reader: Reader) {
    loop {
        reader.0.filled.notified().await;
        tell(mem::take(&mut reader.0.inbox.lock().told));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut inbox = self.0.inbox.lock();
        inbox.shut = true;
        tell(mem::take(&mut inbox.told));
    }
}

impl Round {
    /// Adds a closing that is durable.
    pub(super) fn add(&mut self, waiting: Waiting, closed: Closed) {
        let told = (waiting.sender, closed);
        let Some(desk) = waiting.desk else { return tell([told]) };
        match self.0.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &desk)) {
            Some((_, all)) => all.push(told),
            None => self.0.push((desk, vec![told])),
        }
    }

    /// Tells everybody.
    pub(super) fn tell(self) {
        for (desk, told) in self.0 {
            let mut inbox = desk.inbox.lock();
            if inbox.shut {
                drop(inbox);
                tell(told);
                continue;
            }
            inbox.told.extend(told);
            drop(inbox);
            desk.filled.notify_one();
        }
    }
}

fn tell(told: impl IntoIterator<Item = Told>) {
    for (sender, closed) in told {
        // Whoever stopped waiting has no ear; the charge stands all the same.
        let _ = sender.send(Ok(closed));
    }
}
