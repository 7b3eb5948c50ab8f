//! What pydantic 1 makes of a JSON value where another type is expected.

use std::borrow::Cow;

use btvep_domain::FieldError;

use crate::surface::loose::{Loose, Twice};

/// What is wrong with a value: the message and its kind, in pydantic's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault(pub(super) Cow<'static, str>, pub(super) &'static str);

pub(super) const MISSING: Fault = Fault(Cow::Borrowed("field required"), "value_error.missing");
pub(super) const NONE: Fault = Fault(Cow::Borrowed("none is not an allowed value"), "type_error.none.not_allowed");
pub(super) const DICT: Fault = Fault(Cow::Borrowed("value is not a valid dict"), "type_error.dict");
pub(super) const LIST: Fault = Fault(Cow::Borrowed("value is not a valid list"), "type_error.list");
const INTEGER: Fault = Fault(Cow::Borrowed("value is not a valid integer"), "type_error.integer");
const BOOLEAN: Fault = Fault(Cow::Borrowed("value could not be parsed to a boolean"), "type_error.bool");
const TEXT: Fault = Fault(Cow::Borrowed("str type expected"), "type_error.str");

impl Fault {
    /// Returns it as the error of the field at `path`.
    pub(super) fn at(self, path: &[&str]) -> FieldError {
        let path = path.iter().map(|&part| part.to_owned()).collect();
        FieldError { path, message: self.0.into_owned(), kind: self.1 }
    }
}

impl From<Twice> for Fault {
    fn from(_: Twice) -> Self {
        Self("a member stands twice in an object".into(), "value_error.duplicate")
    }
}

/// `true` is 1, `"1"` is 1, `2.7` is 2.
pub(super) fn integer(value: &Loose<'_>) -> Result<i64, Fault> {
    match value {
        Loose::Int(number) => Ok(*number),
        Loose::Bool(flag) => Ok(i64::from(*flag)),
        #[expect(clippy::cast_possible_truncation, reason = "truncation is what int() does; the rest saturates")]
        Loose::Float(number) => Ok(number.trunc() as i64),
        Loose::Text(text) => python_int(text).ok_or(INTEGER),
        Loose::Null => Err(NONE),
        Loose::List(_) | Loose::Map(_) => Err(INTEGER),
    }
}

/// Python's `int(text)`: blanks around, a sign, single underscores between digits. Saturates.
fn python_int(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let groups = digits.split('_');
    if !groups.clone().all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let fold = |number: i64, digit: u8| number.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    let number = groups.flat_map(str::bytes).fold(0, fold);
    Some(if negative { -number } else { number })
}

/// `1`, `"on"`, `"t"`, `"true"`, `"y"`, `"yes"` and their opposites.
pub(super) fn boolean(value: &Loose<'_>) -> Result<bool, Fault> {
    match value {
        Loose::Bool(flag) => Ok(*flag),
        Loose::Int(0) => Ok(false),
        Loose::Int(1) => Ok(true),
        Loose::Float(number) if *number == 0.0 => Ok(false),
        Loose::Float(number) if (*number - 1.0).abs() < f64::EPSILON => Ok(true),
        Loose::Text(text) => match text.to_lowercase().as_str() {
            "1" | "on" | "t" | "true" | "y" | "yes" => Ok(true),
            "0" | "off" | "f" | "false" | "n" | "no" => Ok(false),
            _ => Err(BOOLEAN),
        },
        _ => Err(BOOLEAN),
    }
}

/// Numbers become their text; a boolean is a number to Python.
pub(super) fn text(value: &Loose<'_>) -> Result<String, Fault> {
    match value {
        Loose::Text(text) => Ok(text.to_string()),
        Loose::Int(number) => Ok(number.to_string()),
        Loose::Float(number) => Ok(format!("{number:?}")),
        Loose::Bool(true) => Ok("True".to_owned()),
        Loose::Bool(false) => Ok("False".to_owned()),
        Loose::Null => Err(NONE),
        Loose::List(_) | Loose::Map(_) => Err(TEXT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Loose<'_> {
        Loose::read(json).unwrap()
    }

    #[test]
    fn integers_are_read_as_pydantic_reads_them() {
        for (json, expected) in [
            ("1", 1),
            ("-7", -7),
            ("2.7", 2),
            ("-2.7", -2),
            ("true", 1),
            ("\"1\"", 1),
            ("\" +12 \"", 12),
            ("\"1_000\"", 1000),
            ("\"-99999999999999999999\"", -i64::MAX),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(integer(&read(json)), Ok(expected), "{json}");
        }
        for json in ["\"2.7\"", "\"\"", "\"x\"", "\"1__0\"", "\"_1\"", "\"-\"", "[]", "{}"] {
            assert_eq!(integer(&read(json)), Err(INTEGER), "{json}");
        }
        assert_eq!(integer(&Loose::Null), Err(NONE));
    }

    #[test]
    fn booleans_are_read_as_pydantic_reads_them() {
        for json in ["true", "1", "1.0", "\"1\"", "\"ON\"", "\"t\"", "\"True\"", "\"y\"", "\"yes\""] {
            assert_eq!(boolean(&read(json)), Ok(true), "{json}");
        }
        for json in ["false", "0", "0.0", "\"0\"", "\"off\"", "\"F\"", "\"false\"", "\"n\"", "\"no\""] {
            assert_eq!(boolean(&read(json)), Ok(false), "{json}");
        }
        for json in ["2", "1.5", "\"\"", "\"maybe\"", "[]", "{}", "null"] {
            assert_eq!(boolean(&read(json)), Err(BOOLEAN), "{json}");
        }
    }

    #[test]
    fn texts_are_read_as_pydantic_reads_them() {
        for (json, expected) in [("\"a\"", "a"), ("5", "5"), ("2.0", "2.0"), ("true", "True")] {
            assert_eq!(text(&read(json)).as_deref(), Ok(expected), "{json}");
        }
        assert_eq!(text(&read("[]")), Err(TEXT));
    }
}
