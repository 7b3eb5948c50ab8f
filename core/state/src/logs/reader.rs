//! Reading rows, newest first, without ever holding a file in memory.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;

use btvep_domain::{LogQuery, LogRow};
use memchr::memmem;

use super::filter::{Filter, max_lines};
use super::segment::{self, Segment};

const BLOCK: usize = 64 * 1024;
/// A longer line is no row of ours.
const MAX_LINE: usize = 64 << 20;

/// Returns the rows for which every condition holds, the last written first.
pub(super) fn query(directory: &Path, query: &LogQuery) -> io::Result<Vec<LogRow>> {
    let mut search = Search::new(query);
    for segment in segment::list(directory)?.into_iter().rev() {
        if !within(segment, query) {
            continue;
        }
        match File::open(segment.path(directory)) {
            Ok(file) => {
                if lines_backwards(&file, &mut |line| search.visit(line))?.is_break() {
                    break;
                }
            }
            // It was too old and has just been deleted.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(search.found)
}

/// Whether a file may hold rows of the time asked for. A row received before midnight may stand in the next day's file.
fn within(segment: Segment, query: &LogQuery) -> bool {
    let starts_in_time = query.end_ms.is_none_or(|end| segment::begin_ms(segment::days_after(segment.day, -1)) < end);
    let ends_in_time =
        query.start_ms.is_none_or(|start| segment::begin_ms(segment::days_after(segment.day, 1)) > start);
    starts_in_time && ends_in_time
}

struct Search<'a> {
    filter: Filter<'a>,
    /// Every line that matches contains these: looking for them is cheaper than reading the line.
    needles: Vec<memmem::Finder<'static>>,
    found: Vec<LogRow>,
    wanted: usize,
}

impl<'a> Search<'a> {
    fn new(query: &'a LogQuery) -> Self {
        let id = query.request_id.as_deref().and_then(|id| serde_json::to_string(id).ok());
        let key = query.key.map(|key| key.to_string());
        let hotkey = query.responder_hotkey.map(|hotkey| hotkey.to_string());
        let needles = [id, key, hotkey].into_iter().flatten();
        Self {
            filter: Filter::new(query),
            needles: needles.map(|needle| memmem::Finder::new(needle.as_bytes()).into_owned()).collect(),
            found: Vec::new(),
            wanted: max_lines(query),
        }
    }

    fn visit(&mut self, line: &[u8]) -> ControlFlow<()> {
        if self.found.len() >= self.wanted {
            return ControlFlow::Break(());
        }
        if self.needles.iter().all(|needle| needle.find(line).is_some())
            // A line that cannot be read is one that a crash or a full disk has torn.
            && let Ok(row) = serde_json::from_slice::<LogRow>(line)
            && self.filter.matches(&row)
        {
            self.found.push(row);
        }
        ControlFlow::Continue(())
    }
}

/// Visits the lines of a file from the last to the first, reading it in blocks.
fn lines_backwards(file: &File, visit: &mut impl FnMut(&[u8]) -> ControlFlow<()>) -> io::Result<ControlFlow<()>> {
    let mut end = file.metadata()?.len();
    let mut block = vec![0; BLOCK];
    let mut line = Pieces::default();
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let length = usize::try_from(end - begin).unwrap_or(BLOCK);
        let read = block.get_mut(..length).unwrap_or_default();
        file.read_exact_at(read, begin)?;
        let mut rest: &[u8] = read;
        while let Some((before, after)) = memchr::memrchr(b'\n', rest).and_then(|newline| {
            let (before, after) = rest.split_at_checked(newline)?;
            Some((before, after.get(1..)?))
        }) {
            if line.finish(after, visit).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            rest = before;
        }
        line.push(rest);
        end = begin;
    }
    Ok(line.finish(&[], visit))
}

/// The end of a line whose beginning stands in an earlier block; last piece first.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pieces {
    fn push(&mut self, piece: &[u8]) {
        self.bytes = self.bytes.saturating_add(piece.len());
        if self.bytes > MAX_LINE {
            self.pieces.clear();
        } else if !piece.is_empty() {
            self.pieces.push(piece.to_vec());
        }
    }

    fn finish(&mut self, first: &[u8], visit: &mut impl FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
        let bytes = std::mem::take(&mut self.bytes);
        if self.pieces.is_empty() && bytes == 0 {
            return if first.is_empty() { ControlFlow::Continue(()) } else { visit(first) };
        }
        let mut line = first.to_vec();
        for piece in self.pieces.drain(..).rev() {
            line.extend(piece);
        }
        if bytes > MAX_LINE { ControlFlow::Continue(()) } else { visit(&line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut lines = Vec::new();
        let visited = lines_backwards(file.as_file(), &mut |line| {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
            ControlFlow::Continue(())
        });
        assert!(visited.unwrap().is_continue());
        let expected: Vec<_> = text.split('\n').rev().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn lines_come_from_the_last_to_the_first_whatever_their_length() {
        check("");
        check("a\n");
        check("a\nb");
        check("a\n\nb\n\n");
        for length in [BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let long = "x".repeat(length);
            check(&format!("a\n{long}\nb\n"));
            check(&format!("{long}\n{long}"));
        }
    }
}
