//! Notices changed files: at once where the file system tells, else at the next look.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tracing::{debug, warn};

use super::Reloader;

/// A change is taken over when nothing has happened for so long: editors write in several steps.
const QUIET: Duration = Duration::from_millis(100);

/// But at the latest after so long, however busy the folder is.
const BUSY: Duration = Duration::from_secs(1);

/// What the watching thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    /// Something in a watched folder is different.
    Changed,
    /// The process ends.
    Stop,
}

/// Watches as long as it lives.
#[derive(Debug)]
pub(crate) struct Watching {
    notes: SyncSender<Note>,
    thread: Option<JoinHandle<()>>,
}

impl Watching {
    /// Reloads whenever the content of a file that the configuration is made of has changed.
    ///
    /// # Errors
    ///
    /// No thread can be had.
    pub(crate) fn start(reloader: Arc<Reloader>) -> io::Result<Self> {
        // One note is as good as many.
        let (sender, notes) = sync_channel(1);
        let eyes = Eyes::open(sender.clone());
        let thread =
            std::thread::Builder::new().name("config".to_owned()).spawn(move || run(&reloader, &notes, eyes))?;
        Ok(Self { notes: sender, thread: Some(thread) })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It fails when the thread has ended.
        let _ = self.notes.send(Note::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(reloader: &Reloader, notes: &Receiver<Note>, mut eyes: Eyes) {
    loop {
        let plan = reloader.plan();
        eyes.look_at(plan.folders);
        if plan.config.watch && reloader.reload_if_changed() {
            // It may be made of other files now.
            continue;
        }
        match notes.recv_timeout(plan.config.poll) {
            Ok(Note::Changed) if !settle(notes, BUSY) => return,
            Ok(Note::Changed) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Note::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Waits until nothing is noted for a while, but no longer than `busy`; returns false when it is told to stop.
fn settle(notes: &Receiver<Note>, busy: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < busy {
        match notes.recv_timeout(QUIET) {
            Ok(Note::Changed) => {}
            Ok(Note::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    true
}

/// The system's own notice of changes.
#[derive(Debug)]
struct Eyes {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
}

impl Eyes {
    fn open(notes: SyncSender<Note>) -> Self {
        let on_event = move |event: notify::Result<Event>| {
            // Reading is no change; we do it ourselves.
            if !matches!(event, Ok(Event { kind: EventKind::Access(_), .. })) {
                // A note that waits already stands for this one, too.
                let _ = notes.try_send(Note::Changed);
            }
        };
        let watcher = notify::recommended_watcher(on_event);
        let watcher = watcher.inspect_err(|error| {
            warn!(error = %error, "the system tells of no changes; the configuration is looked at from time to time");
        });
        Self { watcher: watcher.ok(), folders: BTreeSet::new() }
    }

    /// Watches these folders and no others. Asked again for one it watches already: that one may have been deleted
    /// and made anew.
    fn look_at(&mut self, folders: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.folders.difference(&folders) {
            // It fails when the folder is no more, which is just as well.
            let _ = watcher.unwatch(gone);
        }
        for folder in &folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                debug!(folder = %folder.display(), error = %error, "a folder is not watched");
            }
        }
        self.folders = folders;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_changes_are_one() {
        let (sender, notes) = sync_channel(8);
        for _ in 0..8 {
            sender.send(Note::Changed).unwrap();
        }
        assert!(settle(&notes, BUSY));
        assert_eq!(notes.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout), "all were taken");
    }

    #[test]
    fn a_folder_that_never_rests_does_not_hold_a_change_back() {
        let (sender, notes) = sync_channel(1);
        let restless = std::thread::spawn(move || while sender.send(Note::Changed).is_ok() {});
        assert!(settle(&notes, QUIET * 2));
        drop(notes);
        restless.join().unwrap();
    }

    #[test]
    fn the_end_is_not_waited_for() {
        let (sender, notes) = sync_channel(2);
        sender.send(Note::Changed).unwrap();
        sender.send(Note::Stop).unwrap();
        assert!(!settle(&notes, BUSY));
    }
}
