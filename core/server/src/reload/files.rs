//! Which files a configuration is made of, and where to look for their changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Reloader, Running, Trigger};
use crate::config::{Fingerprint, Loaded, ReloadConfig};

/// Links followed from one path; more are a loop.
const HOPS: usize = 16;

/// The files of a configuration as they were when they were last read.
#[derive(Debug)]
pub(super) struct Seen {
    /// Each with its content; none when it could not be read.
    contents: BTreeMap<PathBuf, Option<Fingerprint>>,
    /// Those of the configuration that was last read, also when it was refused: what it lacks may come.
    named: Vec<PathBuf>,
}

impl Seen {
    /// Begins with what was read for a configuration that serves.
    pub(super) fn of(running: &Running) -> Self {
        let source = &running.loaded.source;
        let (text, _) = source.fingerprints();
        let read = running.files.iter().map(|(file, content)| (file.clone(), Some(*content)));
        let contents = read.chain([(source.file().to_owned(), Some(text))]).collect();
        let mut seen = Self { contents, named: Vec::new() };
        seen.look_at_new(running);
        seen
    }

    /// Remembers the content of every file that is watched.
    pub(super) fn look_again(&mut self, running: &Running) {
        self.contents.clear();
        self.look_at_new(running);
    }

    /// Remembers the content of files that are watched from now on, and forgets the others.
    pub(super) fn look_at_new(&mut self, running: &Running) {
        let watched: BTreeSet<_> = running.loaded.files().into_iter().chain(self.named.iter().cloned()).collect();
        self.contents.retain(|file, _| watched.contains(file));
        for file in watched {
            self.contents.entry(file).or_insert_with_key(|file| content(file));
        }
    }

    /// Watches the files of a configuration, too, whatever will come of it.
    pub(super) fn named(&mut self, loaded: &Loaded) {
        self.named = loaded.files();
    }

    fn is_changed(&self) -> bool {
        self.contents.iter().any(|(file, seen)| content(file) != *seen)
    }
}

/// What to watch, and how.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) config: ReloadConfig,
    /// Empty when nothing is to be watched.
    pub(super) folders: BTreeSet<PathBuf>,
}

impl Reloader {
    /// Returns what to watch now.
    pub(super) fn plan(&self) -> Plan {
        let config = self.running.lock().loaded.config.reload.clone();
        let seen = self.seen.lock();
        let folders = folders(seen.contents.keys().filter(|_| config.watch));
        Plan { config, folders }
    }

    /// Reloads when a file has another content than when it was last read; returns whether one had. Blocks.
    pub(super) fn reload_if_changed(&self) -> bool {
        let mut running = self.running.lock();
        let is_changed = self.seen.lock().is_changed();
        if is_changed {
            // The reason of a refusal is in log and status.
            let _ = self.reload_locked(&mut running, Trigger::Files);
        }
        is_changed
    }
}

/// Reads the content of a file.
pub(super) fn content(file: &Path) -> Option<Fingerprint> {
    std::fs::read(file).ok().map(|bytes| Fingerprint::of(&bytes))
}

/// Returns every folder in which a change can change what one of the files is: its own, and those of all links on the
/// way to it. A file itself is not watched: an editor, or Kubernetes, puts another one in its place.
fn folders<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for file in files {
        if let Ok(file) = std::path::absolute(file) {
            follow(&file, &mut folders);
        }
    }
    folders
}

fn follow(file: &Path, folders: &mut BTreeSet<PathBuf>) {
    let mut at = file.to_owned();
    for _ in 0..HOPS {
        folders.extend(at.parent().map(Path::to_owned));
        let Some((folder, next)) = resolve_one(&at) else { return };
        folders.insert(folder);
        at = next;
    }
}

/// Follows the last link within a path; returns the folder it lies in and where it leads.
fn resolve_one(path: &Path) -> Option<(PathBuf, PathBuf)> {
    path.ancestors().find_map(|part| {
        let target = std::fs::read_link(part).ok()?;
        let folder = part.parent()?;
        let rest = path.strip_prefix(part).ok()?;
        let next = folder.join(target);
        let next = if rest.as_os_str().is_empty() { next } else { next.join(rest) };
        Some((folder.to_owned(), next))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_folder_on_the_way_to_a_mounted_file_is_watched() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (mount, first) = (root.join("mount"), root.join("mount/..2026"));
        std::fs::create_dir_all(&first).unwrap();
        std::fs::write(first.join("b.toml"), "").unwrap();
        symlink("..2026", mount.join("..data")).unwrap();
        symlink("..data/b.toml", mount.join("b.toml")).unwrap();
        std::fs::create_dir(root.join("etc")).unwrap();
        symlink(mount.join("b.toml"), root.join("etc/b.toml")).unwrap();
        let found = folders(&[root.join("etc/b.toml")]);
        let wanted = [root.join("etc"), mount.clone(), mount.join("..data"), first];
        assert!(wanted.iter().all(|folder| found.contains(folder)), "{found:?}");
        assert!(found.len() <= wanted.len() + 1, "{found:?}");
    }

    #[test]
    fn links_in_a_circle_end() {
        let root = tempfile::tempdir().unwrap();
        symlink("b", root.path().join("a")).unwrap();
        symlink("a", root.path().join("b")).unwrap();
        assert!(folders(&[root.path().join("a")]).contains(root.path()));
    }

    #[test]
    fn a_file_that_is_gone_has_no_content() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("f");
        assert_eq!(content(&file), None);
        std::fs::write(&file, "abc").unwrap();
        assert_eq!(content(&file), Some(Fingerprint::of(b"abc")));
    }
}
