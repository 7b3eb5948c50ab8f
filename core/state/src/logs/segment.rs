//! The files of the log: their names, their order, their ends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

const EXTENSION: &str = ".jsonl";

/// One file: the `number`th of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    pub(super) day: Date,
    pub(super) number: u32,
}

impl Segment {
    pub(super) fn path(self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.{:03}{EXTENSION}", self.day, self.number))
    }

    /// Opens it for appending; readable by its owner only, for it may hold prompts.
    pub(super) fn open(self, directory: &Path) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.path(directory))
    }

    fn parse(name: &str) -> Option<Self> {
        let (day, number) = name.strip_suffix(EXTENSION)?.split_once('.')?;
        let all_digits = number.len() >= 3 && number.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self { day: day.parse().ok()?, number: number.parse().ok().filter(|_| all_digits)? })
            .filter(|segment: &Self| segment.day.to_string() == day)
    }
}

/// Returns the files, oldest first; what is not ours is not among them.
pub(super) fn list(directory: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        segments.extend(entry?.file_name().to_str().and_then(Segment::parse));
    }
    segments.sort_unstable();
    Ok(segments)
}

/// Returns the day (UTC) of a unix millisecond.
pub(super) fn day(at_ms: i64) -> Date {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(TimeZone::UTC).date()
}

/// Returns the unix millisecond at which a day begins.
pub(super) fn begin_ms(day: Date) -> i64 {
    day.to_zoned(TimeZone::UTC).map_or(i64::MIN, |begin| begin.timestamp().as_millisecond())
}

/// Returns the day so many days later (negative: earlier).
pub(super) fn days_after(day: Date, days: i64) -> Date {
    day.saturating_add(days.clamp(-1_000_000, 1_000_000).days())
}

/// Cuts off a last line that was not written whole and returns the file's size.
pub(super) fn repair(path: &Path) -> io::Result<u64> {
    const BLOCK: u64 = 64 * 1024;
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let size = file.metadata()?.len();
    let (mut end, mut block) = (size, Vec::new());
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(begin))?;
        block.clear();
        (&file).take(end - begin).read_to_end(&mut block)?;
        if let Some(newline) = memchr::memrchr(b'\n', &block) {
            end = begin + newline as u64 + 1;
            break;
        }
        end = begin;
    }
    if end < size {
        tracing::warn!(file = %path.display(), bytes = size - end, "a torn row was cut off the request log");
        file.set_len(end)?;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_day_and_number_and_strangers_are_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let names = ["2026-11-25.001.jsonl", "2026-11-24.1000.jsonl", "2026-11-24.002.jsonl"];
        for name in names.into_iter().chain(["2026-11-24.jsonl", "notes.txt", "2026-13-01.000.jsonl", "x.000.jsonl"]) {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let found: Vec<_> = list(directory.path()).unwrap().iter().map(|s| s.path(Path::new(""))).collect();
        let expected = ["2026-11-24.002.jsonl", "2026-11-24.1000.jsonl", "2026-11-25.001.jsonl"].map(PathBuf::from);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        let morning = day(1_700_000_000_000);
        assert_eq!(morning.to_string(), "2023-11-14");
        assert_eq!(begin_ms(morning), 1_699_920_000_000);
        assert_eq!(day(begin_ms(morning) - 1), days_after(morning, -1));
    }

    #[test]
    fn only_the_torn_line_is_cut_off() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let long = "x".repeat(200_000);
        for (text, kept) in [
            ("", 0),
            ("a\nb\n", 4),
            ("a\nb", 2),
            ("torn", 0),
            (&*format!("a\n{long}"), 2),
            (&*format!("{long}\nb"), 200_001),
        ] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(repair(file.path()).unwrap(), kept);
            assert_eq!(fs::metadata(file.path()).unwrap().len(), kept);
        }
    }
}
