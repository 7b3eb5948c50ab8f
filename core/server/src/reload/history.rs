//! The configurations that served last, as plain files below `state.path`; those that were refused are never among
//! them.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use btvep_control::ConfigVersion;

/// Name of the folder.
const FOLDER: &str = "config-history";

/// The most configurations that are kept.
const KEPT: usize = 20;

/// The most bytes of all that are kept; a larger one is not kept at all.
const BYTES: u64 = 4 << 20;

/// The history of one server.
#[derive(Clone, Debug)]
pub(crate) struct History {
    folder: PathBuf,
}

/// A version cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    /// There is none of that number.
    #[error("there is no configuration number {0}; `btvep config history` shows those that are kept")]
    Unknown(u64),
    /// The files cannot be read.
    #[error("the history in {} cannot be read: {cause}", folder.display())]
    Unreadable {
        /// Where.
        folder: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl History {
    /// Takes the folder of the store.
    pub(crate) fn new(state: &Path) -> Self {
        Self { folder: state.join(FOLDER) }
    }

    /// Returns what is kept, oldest first.
    ///
    /// # Errors
    ///
    /// The folder cannot be read; one that is missing is empty.
    pub(crate) fn list(&self) -> Result<Vec<ConfigVersion>, HistoryError> {
        let unreadable = |cause| HistoryError::Unreadable { folder: self.folder.clone(), cause };
        self.versions().map_err(unreadable)
    }

    /// Returns a version and its text.
    ///
    /// # Errors
    ///
    /// There is none of that number, or it cannot be read.
    pub(crate) fn read(&self, number: u64) -> Result<(ConfigVersion, String), HistoryError> {
        let version = self.list()?.into_iter().find(|version| version.number == number);
        let version = version.ok_or(HistoryError::Unknown(number))?;
        let text = fs::read_to_string(self.path(&version));
        let text = text.map_err(|cause| HistoryError::Unreadable { folder: self.folder.clone(), cause })?;
        Ok((version, text))
    }

    /// Keeps a configuration that serves now, unless it is the newest already; the oldest make room.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(crate) fn add(&self, text: &str, hash: &str, at_ms: i64) -> io::Result<()> {
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let mut versions = self.versions()?;
        let newest = versions.last();
        let is_newest = |version| fs::read_to_string(self.path(version)).is_ok_and(|kept| kept == text);
        if bytes > BYTES || newest.is_some_and(is_newest) {
            return Ok(());
        }
        let number = newest.map_or(1, |version| version.number.saturating_add(1));
        let version = ConfigVersion { number, at_ms, hash: hash.to_owned(), bytes };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.write(&version, text)?;
        versions.push(version);
        self.make_room(&versions)
    }

    fn write(&self, version: &ConfigVersion, text: &str) -> io::Result<()> {
        let (path, beside) = (self.path(version), self.folder.join("new"));
        // Left behind by a crash; its mode would stay.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&beside, path)
    }

    fn make_room(&self, versions: &[ConfigVersion]) -> io::Result<()> {
        let mut total: u64 = versions.iter().map(|version| version.bytes).sum();
        for (nth, version) in versions.iter().enumerate() {
            if versions.len() - nth <= KEPT && total <= BYTES {
                break;
            }
            fs::remove_file(self.path(version))?;
            total = total.saturating_sub(version.bytes);
        }
        Ok(())
    }

    fn versions(&self) -> io::Result<Vec<ConfigVersion>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut versions = Vec::new();
        for entry in entries {
            let entry = entry?;
            let bytes = entry.metadata()?.len();
            versions.extend(entry.file_name().to_str().and_then(|name| version(name, bytes)));
        }
        versions.sort_by_key(|version| version.number);
        Ok(versions)
    }

    fn path(&self, ConfigVersion { number, at_ms, hash, .. }: &ConfigVersion) -> PathBuf {
        self.folder.join(format!("{number:06}-{at_ms}-{hash}.toml"))
    }
}

/// Reads what a file's name says; none when it is no version.
fn version(name: &str, bytes: u64) -> Option<ConfigVersion> {
    let mut parts = name.strip_suffix(".toml")?.splitn(3, '-');
    let number = parts.next()?.parse().ok()?;
    let at_ms = parts.next()?.parse().ok()?;
    Some(ConfigVersion { number, at_ms, hash: parts.next()?.to_owned(), bytes })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn numbers(history: &History) -> Vec<u64> {
        history.list().unwrap().iter().map(|version| version.number).collect()
    }

    #[test]
    fn what_served_is_kept_for_its_owner_alone() {
        let state = tempfile::tempdir().unwrap();
        let history = History::new(state.path());
        assert!(history.list().unwrap().is_empty());
        history.add("a = 1\n", "aaaaaaaaaaaa", 17).unwrap();
        history.add("a = 2\n", "bbbbbbbbbbbb", 18).unwrap();
        history.add("a = 2\n", "cccccccccccc", 19).unwrap();
        let again = History::new(state.path());
        assert_eq!(numbers(&again), [1, 2], "the newest is not kept twice");
        let (version, text) = again.read(1).unwrap();
        assert_eq!((version.at_ms, version.hash.as_str(), text.as_str()), (17, "aaaaaaaaaaaa", "a = 1\n"));
        assert!(matches!(again.read(3), Err(HistoryError::Unknown(3))));
        for entry in fs::read_dir(state.path().join(FOLDER)).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn it_is_bounded_by_number() {
        let state = tempfile::tempdir().unwrap();
        let history = History::new(state.path());
        for n in 1..=50 {
            history.add(&format!("a = {n}\n"), "aaaaaaaaaaaa", n).unwrap();
        }
        assert_eq!(numbers(&history), (31..=50).collect::<Vec<_>>());
    }

    #[test]
    fn it_is_bounded_by_bytes() {
        let state = tempfile::tempdir().unwrap();
        let history = History::new(state.path());
        let large = |n: usize| format!("# {}\n", n.to_string().repeat(usize::try_from(BYTES / 3).unwrap()));
        for n in 1..=4 {
            history.add(&large(n), "aaaaaaaaaaaa", 1).unwrap();
        }
        assert_eq!(numbers(&history), [3, 4], "three do not fit");
        history.add(&"x".repeat(usize::try_from(BYTES).unwrap() + 1), "aaaaaaaaaaaa", 1).unwrap();
        assert_eq!(numbers(&history), [3, 4], "one that is too large is not kept");
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let state = tempfile::tempdir().unwrap();
        let history = History::new(state.path());
        history.add("a = 1\n", "aaaaaaaaaaaa", 1).unwrap();
        fs::write(state.path().join(FOLDER).join("notes.txt"), "x").unwrap();
        assert_eq!(numbers(&history), [1]);
    }
}
