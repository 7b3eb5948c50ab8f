use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Bytes of a body that are remembered.
const BODY_KEPT: usize = 64 * 1024;

/// How a request to a miner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The answer is still to come, or is on its way.
    Open,
    /// The whole answer was handed to the connection.
    Answered,
    /// The caller's connection was gone before the answer was whole.
    Cancelled,
    /// The miner dropped the connection itself, as its behaviour says.
    Cut,
}

/// A request as a miner saw it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its number on this miner, from 0.
    pub number: u64,
    /// Path and query.
    pub target: String,
    /// The body, its first 64 KiB.
    pub body: Bytes,
    /// The status of the answer; none while there is none.
    pub status: Option<u16>,
    /// Pieces of the answer's body that were sent.
    pub pieces: usize,
    /// How it stands.
    pub ending: Ending,
}

/// What one miner was asked, the newest requests only.
#[derive(Debug)]
pub(crate) struct Record {
    kept: usize,
    asked: Mutex<Requests>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Requests {
    next: u64,
    newest: VecDeque<Asked>,
}

/// One request's line in the record. Dropped before [`Entry::ends`], it was cancelled.
#[derive(Debug)]
pub(crate) struct Entry {
    record: Arc<Record>,
    number: u64,
}

impl Record {
    pub(crate) fn new(kept: u16) -> Self {
        Self { kept: usize::from(kept), asked: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// Opens a line.
    pub(crate) fn open(self: &Arc<Self>, target: String, body: &Bytes) -> Entry {
        let mut asked = self.asked.lock();
        let number = asked.next;
        asked.next += 1;
        if self.kept > 0 {
            if asked.newest.len() == self.kept {
                asked.newest.pop_front();
            }
            // A slice would keep the whole body alive.
            let body = Bytes::copy_from_slice(body.get(..BODY_KEPT).unwrap_or(body));
            asked.newest.push_back(Asked { number, target, body, status: None, pieces: 0, ending: Ending::Open });
        }
        drop(asked);
        self.changed();
        Entry { record: Arc::clone(self), number }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().newest.iter().cloned().collect()
    }

    /// Returns how many requests there were, ever.
    pub(crate) fn count(&self) -> u64 {
        self.asked.lock().next
    }

    /// Waits until the record is as wanted, and returns it; none when it is not by the deadline.
    pub(crate) async fn until(&self, wanted: impl Fn(&[Asked]) -> bool, deadline: Duration) -> Option<Vec<Asked>> {
        let mut changes = self.changes.subscribe();
        let reached = async {
            loop {
                let asked = self.asked();
                if wanted(&asked) {
                    return Some(asked);
                }
                changes.changed().await.ok()?;
            }
        };
        tokio::time::timeout(deadline, reached).await.ok().flatten()
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }
}

impl Entry {
    pub(crate) fn status(&self, status: u16) {
        self.change(|asked| asked.status = Some(status));
    }

    pub(crate) fn piece(&self) {
        self.change(|asked| asked.pieces += 1);
    }

    /// Ends the line; only the first ending counts.
    pub(crate) fn ends(&self, ending: Ending) {
        self.change(|asked| {
            if asked.ending == Ending::Open {
                asked.ending = ending;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Asked)) {
        if self.record.kept == 0 {
            return;
        }
        if let Some(asked) = self.record.asked.lock().newest.iter_mut().find(|asked| asked.number == self.number) {
            change(asked);
        }
        self.record.changed();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.ends(Ending::Cancelled);
    }
}
