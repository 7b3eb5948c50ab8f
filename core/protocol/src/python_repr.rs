//! Python's `str()` and `repr()` of JSON values: axons hash these texts.
//!
//! Which characters `repr` shows depends on the Unicode tables of the miner's Python, so that the same prompt has several
//! right hashes; ordinary emoji are among the characters that differ.

mod tables;

use std::fmt::Write as _;

use serde_json::Value;

/// A Python whose Unicode tables are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Python {
    /// Unicode 13; as 3.9.
    V3_10,
    /// Unicode 14.
    V3_11,
    /// Unicode 15.0.
    V3_12,
    /// Unicode 15.1.
    V3_13,
}

impl Python {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::V3_10, Self::V3_11, Self::V3_12, Self::V3_13];
}

/// Returns whether the Python's `repr` shows the character as it is.
pub fn is_printable(c: char, python: Python) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    let hidden_until: &[&[u32]] = match python {
        Python::V3_13 => &[],
        Python::V3_12 => &[&tables::SHOWN_SINCE_3_13],
        Python::V3_11 => &[&tables::SHOWN_SINCE_3_12, &tables::SHOWN_SINCE_3_13],
        Python::V3_10 => &[&tables::SHOWN_SINCE_3_11, &tables::SHOWN_SINCE_3_12, &tables::SHOWN_SINCE_3_13],
    };
    !is_within(&tables::ESCAPED, c) && !hidden_until.iter().any(|table| is_within(table, c))
}

/// Returns whether the Pythons differ in showing a character of the text.
pub fn is_version_dependent(text: &str) -> bool {
    let changed = [&tables::SHOWN_SINCE_3_11[..], &tables::SHOWN_SINCE_3_12, &tables::SHOWN_SINCE_3_13];
    // All below was settled before.
    text.chars().any(|c| c >= '\u{61d}' && changed.iter().any(|table| is_within(table, c)))
}

/// Returns `str(value)`: a text itself, everything else its `repr`.
pub fn str_of(value: &Value, python: Python) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => {
            let mut out = String::new();
            write_repr(&mut out, value, python);
            out
        }
    }
}

/// Appends `repr(value)`. Objects keep their order.
pub fn write_repr(out: &mut String, value: &Value, python: Python) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => out.push_str(&float_repr(float)),
            None => out.push_str(&number.to_string()),
        },
        Value::String(text) => write_text_repr(out, text, python),
        Value::Array(items) => write_list_repr(out, items, |out, item| write_repr(out, item, python)),
        Value::Object(members) => {
            out.push('{');
            for (place, (name, value)) in members.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { ", " });
                write_text_repr(out, name, python);
                out.push_str(": ");
                write_repr(out, value, python);
            }
            out.push('}');
        }
    }
}

/// Appends the `repr` of a list, each item by the given function.
pub fn write_list_repr<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut String, T)) {
    out.push('[');
    for (place, item) in items.into_iter().enumerate() {
        out.push_str(if place == 0 { "" } else { ", " });
        each(out, item);
    }
    out.push(']');
}

/// Appends the `repr` of a text.
pub fn write_text_repr(out: &mut String, text: &str, python: Python) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.reserve(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c, python) => out.push(c),
            c => write_escape(out, u32::from(c)),
        }
    }
    out.push(quote);
}

/// Writing into memory cannot fail, so its results are not looked at.
fn write_escape(out: &mut String, code: u32) {
    let _ = match code {
        0..0x100 => write!(out, "\\x{code:02x}"),
        0x100..0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// Returns the `repr` of a float: the shortest digits that read back as the same number, in exponent form from 1e16 on
/// and below 1e-4.
pub fn float_repr(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        let fixed = number.to_string();
        if fixed.contains('.') { fixed } else { format!("{fixed}.0") }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
    }
}

/// Whether the character lies in one of the table's ranges: an odd number of boundaries is at or below it.
fn is_within(boundaries: &[u32], c: char) -> bool {
    boundaries.partition_point(|boundary| *boundary <= u32::from(c)) % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Recorded {
        pythons: Vec<Ranges>,
    }

    #[derive(Deserialize)]
    struct Ranges {
        python: String,
        ranges: Vec<(u32, u32)>,
    }

    #[test]
    fn the_tables_are_those_of_each_python() {
        let recorded: Recorded =
            serde_json::from_str(include_str!("../tests/vectors/python_nonprintable_ranges.json")).unwrap();
        let mut compared = 0;
        for table in &recorded.pythons {
            let python = match table.python.as_str() {
                "3.9" | "3.10" => Python::V3_10,
                "3.11" => Python::V3_11,
                "3.12" => Python::V3_12,
                "3.13" => Python::V3_13,
                other => panic!("no table for Python {other}"),
            };
            for c in '\0'..=char::MAX {
                let code = u32::from(c);
                let place = table.ranges.partition_point(|(_, last)| *last < code);
                let is_escaped = table.ranges.get(place).is_some_and(|(first, _)| *first <= code);
                assert_eq!(is_printable(c, python), !is_escaped, "{code:x} in {}", table.python);
            }
            compared += 1;
        }
        assert_eq!(compared, 5);
    }

    #[test]
    fn every_recorded_value_has_its_text() {
        let recorded: Value = serde_json::from_str(include_str!("../tests/vectors/body_hash.json")).unwrap();
        for value in recorded["values"].as_array().unwrap() {
            let json = match (value["type"].as_str().unwrap(), &value["json"]) {
                // JSON has neither, so they were written as texts.
                ("float", Value::String(name)) => {
                    assert_eq!(float_repr(name.parse().unwrap()), value["as_field_str"].as_str().unwrap());
                    continue;
                }
                (_, json) => json.clone(),
            };
            assert_eq!(str_of(&json, Python::V3_11), value["as_field_str"].as_str().unwrap());
            let item = Value::Array(vec![json]);
            assert_eq!(str_of(&item, Python::V3_11), value["as_list_item"].as_str().unwrap());
        }
    }

    #[test]
    fn new_emoji_are_version_dependent() {
        let melting = "\u{1fae0}";
        let pink_heart = "\u{1fa77}";
        assert!(is_version_dependent(melting) && is_version_dependent(pink_heart));
        assert!(!is_version_dependent("plain, café, 日本語, \u{1f600}, \u{200b}, \u{10ffff}"));
        let shown = |text: &str| Python::ALL.map(|python| str_of(&serde_json::json!([text]), python));
        let raw = |text: &str| format!("['{text}']");
        assert_eq!(shown(melting), ["['\\U0001fae0']".to_owned(), raw(melting), raw(melting), raw(melting)]);
        let escaped = "['\\U0001fa77']".to_owned();
        assert_eq!(shown(pink_heart), [escaped.clone(), escaped, raw(pink_heart), raw(pink_heart)]);
    }

    #[test]
    fn what_version_dependent_means_holds_for_every_character() {
        for c in '\0'..=char::MAX {
            let differs = Python::ALL.iter().any(|p| is_printable(c, *p) != is_printable(c, Python::V3_11));
            assert_eq!(is_version_dependent(c.encode_utf8(&mut [0; 4])), differs, "{:x}", u32::from(c));
        }
    }
}
