//! What a command prints: tables for people, exactly one value as JSON.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

use super::failure::Failure;

/// Where results go. Everything else is written to standard error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a value: as JSON, or as the text that people read.
    pub(super) fn value<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        if self.json {
            return self.json_value(value);
        }
        let mut text = text(value);
        text.push('\n');
        self.raw(text.as_bytes())
    }

    /// Prints a value as JSON whatever was asked for.
    pub(super) fn json_value(self, value: &impl Serialize) -> Result<(), Failure> {
        let mut text = if self.json { serde_json::to_vec(value)? } else { serde_json::to_vec_pretty(value)? };
        text.push(b'\n');
        self.raw(&text)
    }

    /// Whether JSON was asked for.
    pub(super) const fn is_json(self) -> bool {
        self.json
    }

    /// Writes bytes as they are; a reader who has seen enough is no failure.
    #[expect(clippy::unused_self, reason = "standard output is written through here only")]
    pub(super) fn raw(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Tells a person something beside the result.
    #[expect(clippy::unused_self, reason = "standard error is written through here only")]
    pub(super) fn note(self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Says why the command failed; as JSON the one value is the failure.
    pub(super) fn failure(self, failure: &Failure) {
        self.note(&format!("btvep: {failure}"));
        if self.json {
            let _ = self.json_value(&serde_json::json!({ "error": failure.to_string() }));
        }
    }
}

/// Returns a table with a head line.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    for row in rows {
        table.add_row(row);
    }
    table.trim_fmt()
}

/// Returns a value or a dash.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
