//! Server-sent events, cut out of a byte stream that may be split anywhere.
//!
//! Source: WHATWG HTML, "Server-sent events".

/// The longest event that is kept: data lines and the line being read together.
const MOST: usize = 1 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An event is longer than a mebibyte.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EventTooLong;

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event<'a> {
    /// Its data lines, joined by line feeds.
    pub(super) data: &'a [u8],
    /// Whether it is named `error`.
    pub(super) is_error: bool,
}

/// Cuts events out of bytes.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// Data lines of the event being read, each ended by a line feed.
    data: Vec<u8>,
    is_error: bool,
    /// The last line ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    begun: bool,
}

impl Events {
    /// Takes bytes and calls back for each event that they complete, until a call fails.
    ///
    /// # Errors
    ///
    /// What the call says, or that an event is too long.
    pub(super) fn push<E: From<EventTooLong>>(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                bytes = bytes.get(1..).unwrap_or_default();
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.fits(bytes.len())?;
                self.line.extend_from_slice(bytes);
                break;
            };
            let (line, rest) = bytes.split_at(end);
            self.after_return = rest.first() == Some(&b'\r');
            bytes = rest.get(1..).unwrap_or_default();
            self.fits(line.len())?;
            if self.line.is_empty() {
                self.end_line(line, &mut each)?;
            } else {
                self.line.extend_from_slice(line);
                self.end_kept_line(&mut each)?;
            }
        }
        Ok(())
    }

    /// Ends the stream: an event without its blank line still counts, for servers forget it behind the last one.
    ///
    /// # Errors
    ///
    /// What the call says.
    pub(super) fn finish<E>(&mut self, mut each: impl FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        self.end_kept_line(&mut each)?;
        self.end_line(b"", &mut each)
    }

    fn fits(&self, more: usize) -> Result<(), EventTooLong> {
        if self.line.len() + self.data.len() + more > MOST { Err(EventTooLong) } else { Ok(()) }
    }

    fn end_kept_line<E>(&mut self, each: &mut impl FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return Ok(());
        }
        let ended = self.end_line(&line, each);
        line.clear();
        self.line = line;
        ended
    }

    fn end_line<E>(&mut self, line: &[u8], each: &mut impl FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(line) if !self.begun => line,
            _ => line,
        };
        self.begun = true;
        if line.is_empty() {
            return self.end_event(each);
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default()),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => self.is_error = value == b"error",
            // Comments have no name; `id` and `retry` mean nothing here.
            _ => {}
        }
        Ok(())
    }

    fn end_event<E>(&mut self, each: &mut impl FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        let is_error = std::mem::take(&mut self.is_error);
        let ended = self.data.strip_suffix(b"\n").map_or(Ok(()), |data| each(Event { data, is_error }));
        self.data.clear();
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct TooLong;

    impl From<EventTooLong> for TooLong {
        fn from(_: EventTooLong) -> Self {
            Self
        }
    }

    fn events(pieces: &[&[u8]]) -> Result<Vec<String>, TooLong> {
        let mut events = Events::default();
        let mut all = Vec::new();
        let mut each = |event: Event<'_>| {
            let mark = if event.is_error { "!" } else { "" };
            all.push(format!("{mark}{}", String::from_utf8_lossy(event.data)));
            Ok::<(), TooLong>(())
        };
        for piece in pieces {
            events.push(piece, &mut each)?;
        }
        events.finish(&mut each)?;
        Ok(all)
    }

    fn check(text: &str, expected: &[&str]) {
        for at in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(at);
            assert_eq!(events(&[head, tail]).unwrap(), expected, "{text:?} split at {at}");
        }
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(events(&single).unwrap(), expected, "{text:?} byte by byte");
    }

    #[test]
    fn lines_may_end_in_any_way() {
        check("data: a\n\ndata: b\n\n", &["a", "b"]);
        check("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]);
        check("data: a\r\rdata: b\r\r", &["a", "b"]);
    }

    #[test]
    fn data_lines_of_one_event_are_joined() {
        check("data: {\ndata:  \"a\"\ndata\ndata:}\n\n", &["{\n \"a\"\n\n}"]);
    }

    #[test]
    fn comments_and_other_fields_are_skipped() {
        check("\u{feff}: ping\n\nid: 7\nretry: 1\ndatum: x\ndata:a\n\n\n\n", &["a"]);
        check("event: error\ndata: x\n\ndata: y\n\n", &["!x", "y"]);
    }

    #[test]
    fn the_last_event_needs_no_blank_line() {
        check("data: a\n\ndata: [DONE]", &["a", "[DONE]"]);
        check("data: a\n", &["a"]);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let line = vec![b'x'; 1 << 16];
        let endless: Vec<&[u8]> = std::iter::once(&b"data: "[..]).chain(std::iter::repeat_n(&line[..], 17)).collect();
        assert_eq!(events(&endless), Err(TooLong));
        let lines = b"data: 0123456789\n".repeat(1 << 17);
        assert_eq!(events(&[&lines]), Err(TooLong));
    }
}
