//! The redo log in front of sled: a commit is one write and one sync of a file of our own, and sled follows in memory.
//!
//! A batch of sled costs two writes and wakes all its threads twice; ours costs one write and one sync. The file has a fixed size and is
//! written over from its beginning when it is full, after sled has been made durable. A frame is its length, the CRC of
//! all that follows, its number, and rows; frames count up without a gap, so whatever is torn or left from an earlier
//! round ends the log.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use sled::IVec;

use super::rows::{Bytes, put_bytes};

/// Bytes of the file. It is filled with zeros once: a sync of a file that does not grow needs no journal of the disk's.
const BYTES: u64 = 8 << 20;

/// Length (u32), CRC-32 (u32), number (u64).
const HEAD: usize = 16;

/// Rows that are written all or not at all.
#[derive(Debug)]
pub(super) struct Batch {
    frame: Vec<u8>,
    rows: Vec<(IVec, Option<IVec>)>,
}

/// The file, and where its next frame goes.
#[derive(Debug)]
pub(super) struct RedoLog {
    file: File,
    at: u64,
    next: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self { frame: vec![0; HEAD], rows: Vec::new() }
    }
}

impl Batch {
    /// Writes a row over whatever it was.
    pub(super) fn insert(&mut self, row: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.put(row.as_ref(), Some(value.as_ref()));
    }

    /// Removes a row.
    pub(super) fn remove(&mut self, row: impl AsRef<[u8]>) {
        self.put(row.as_ref(), None);
    }

    fn put(&mut self, row: &[u8], value: Option<&[u8]>) {
        put_bytes(&mut self.frame, Some(row));
        self.frame.push(u8::from(value.is_some()));
        put_bytes(&mut self.frame, value);
        self.rows.push((row.into(), value.map(IVec::from)));
    }

    /// Returns the rows of a frame; none when it is damaged.
    fn of_frame(rows: &[u8]) -> Option<Self> {
        let (mut bytes, mut batch) = (Bytes(rows), Self::default());
        while !bytes.is_empty() {
            let row = bytes.counted()?;
            match bytes.array()? {
                [0] => batch.remove(row),
                [1] => batch.insert(row, bytes.counted()?),
                _ => return None,
            }
        }
        Some(batch)
    }

    /// Returns the rows in the order in which they were written; a removed one has no value.
    pub(super) fn into_rows(self) -> Vec<(IVec, Option<IVec>)> {
        self.rows
    }

    /// Completes the frame with its head.
    fn seal(&mut self, number: u64) -> &[u8] {
        let length = u32::try_from(self.frame.len() - HEAD).unwrap_or(u32::MAX);
        fill(&mut self.frame, 0, &length.to_le_bytes());
        fill(&mut self.frame, 8, &number.to_le_bytes());
        let crc = crc32fast::hash(self.frame.get(8..).unwrap_or_default());
        fill(&mut self.frame, 4, &crc.to_le_bytes());
        &self.frame
    }
}

fn fill(frame: &mut [u8], from: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(from..from + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

impl RedoLog {
    /// Opens the log, or makes it, and returns the frames it holds by number, oldest first. Nothing may be appended
    /// before [`Self::restart`].
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<(u64, Batch)>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let frames = frames(BufReader::new(&file))?;
        let missing = BYTES.saturating_sub(file.metadata()?.len());
        if missing > 0 {
            file.seek(io::SeekFrom::End(0))?;
            io::copy(&mut io::repeat(0).take(missing), &mut file)?;
            file.sync_all()?;
        }
        Ok((Self { file, at: BYTES, next: 0 }, frames))
    }

    /// Begins at the front again: what was appended is durable elsewhere. The next frame has number `next`.
    pub(super) fn restart(&mut self, next: u64) {
        (self.at, self.next) = (0, next);
    }

    /// Returns the number of the next frame.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Whether there is room for a batch before the end of the file.
    pub(super) fn has_room(&self, batch: &Batch) -> bool {
        self.at.saturating_add(batch.frame.len() as u64) <= BYTES
    }

    /// Appends a batch; durable only after the file is synced.
    pub(super) fn append(&mut self, batch: &mut Batch) -> io::Result<()> {
        let frame = batch.seal(self.next);
        self.file.write_all_at(frame, self.at)?;
        self.at += frame.len() as u64;
        self.next += 1;
        Ok(())
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }
}

fn frames(mut from: impl Read) -> io::Result<Vec<(u64, Batch)>> {
    let mut frames = Vec::<(u64, Batch)>::new();
    while let Some((number, batch)) = next_frame(&mut from)? {
        if frames.last().is_some_and(|(last, _)| number != last + 1) {
            break;
        }
        frames.push((number, batch));
    }
    Ok(frames)
}

/// Reads one frame; none when what comes is no whole one.
fn next_frame(from: &mut impl Read) -> io::Result<Option<(u64, Batch)>> {
    let mut head = Vec::with_capacity(HEAD);
    from.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    let mut bytes = Bytes(&head);
    let (Some(length), Some(crc), Some(number)) = (bytes.u32(), bytes.u32(), bytes.u64()) else { return Ok(None) };
    if u64::from(length) > BYTES {
        return Ok(None);
    }
    let mut rows = Vec::new();
    from.by_ref().take(length.into()).read_to_end(&mut rows)?;
    let mut hash = crc32fast::Hasher::new();
    hash.update(&number.to_le_bytes());
    hash.update(&rows);
    let is_whole = rows.len() as u64 == u64::from(length) && hash.finalize() == crc;
    Ok(if is_whole { Batch::of_frame(&rows).map(|batch| (number, batch)) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(row: &str, value: Option<&str>) -> Batch {
        let mut batch = Batch::default();
        match value {
            Some(value) => batch.insert(row, value),
            None => batch.remove(row),
        }
        batch
    }

    fn numbers(path: &Path) -> Vec<u64> {
        RedoLog::open(path).unwrap().1.into_iter().map(|(number, _)| number).collect()
    }

    /// A log with frames 5 to 9, and the bytes of their ends.
    fn written(path: &Path) -> Vec<usize> {
        let (mut log, found) = RedoLog::open(path).unwrap();
        assert!(found.is_empty());
        log.restart(5);
        let append = |place: u64| {
            log.append(&mut batch(&format!("row {place}"), (place != 7).then_some("a value"))).unwrap();
            usize::try_from(log.at).unwrap()
        };
        (5..10).map(append).collect()
    }

    #[test]
    fn frames_come_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("redo");
        written(&path);
        let frames = RedoLog::open(&path).unwrap().1;
        assert_eq!(frames.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
        for (number, mut found) in frames {
            let mut again = batch(&format!("row {number}"), (number != 7).then_some("a value"));
            assert_eq!(found.seal(number), again.seal(number));
        }
    }

    #[test]
    fn torn_at_any_byte_the_frames_before_stand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("redo");
        let ends = written(&path);
        let whole = std::fs::read(&path).unwrap();
        let used = *ends.last().unwrap();
        for cut in 0..used {
            let mut zeroed = whole[..used].to_vec();
            zeroed[cut..].fill(0);
            let mut flipped = whole[..used].to_vec();
            flipped[cut] ^= 0x40;
            for damaged in [&whole[..cut], &zeroed, &flipped] {
                // Zeros may be what stood there.
                let untouched = ends.iter().filter(|end| damaged.get(..**end) == whole.get(..**end)).count();
                assert_eq!(frames(damaged).unwrap().len(), untouched, "damaged at {cut}");
            }
        }
    }

    #[test]
    fn what_an_earlier_round_left_behind_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("redo");
        written(&path);
        let (mut log, _) = RedoLog::open(&path).unwrap();
        log.restart(10);
        log.append(&mut batch("row 5", Some("a newer"))).unwrap();
        assert_eq!(numbers(&path), [10]);
    }

    #[test]
    fn a_full_log_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = RedoLog::open(&folder.path().join("redo")).unwrap();
        let large = batch("row", Some(&"x".repeat(3 << 20)));
        assert!(!log.has_room(&large), "not before it is restarted");
        log.restart(1);
        log.append(&mut batch("row", Some(&"x".repeat(6 << 20)))).unwrap();
        assert!(!log.has_room(&large));
        log.restart(log.next());
        assert!(log.has_room(&large));
    }
}
