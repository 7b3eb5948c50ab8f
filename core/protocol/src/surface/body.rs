use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use btvep_domain::{Field, Kind, Rejection};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::LimitsConfig;

/// A body has at most so many top-level members: OpenAI's own list has about forty.
const MEMBERS: usize = 128;

/// A top-level member of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member<'a> {
    /// Its name, escapes resolved.
    pub(super) name: Cow<'a, str>,
    /// Its name as written, without quotes.
    written: &'a str,
    /// Its value, untouched.
    pub(super) json: &'a str,
    range: Range<usize>,
}

impl Member<'_> {
    /// Whether it is null, which means the same as absent.
    pub(super) fn is_null(&self) -> bool {
        self.json == "null"
    }

    /// Returns it as a field of a prompt.
    pub(super) fn field(&self) -> Field {
        Field { name: self.written.into(), value: self.range.clone() }
    }
}

/// Why a body is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the body is empty; send a JSON object")]
    Empty,
    #[error("the body is not UTF-8")]
    NotUtf8,
    #[error("the body is nested deeper than {0} levels")]
    TooDeep(usize),
    #[error("the body holds half of a surrogate pair at byte {0}")]
    LoneSurrogate(usize),
    #[error("the body is not valid JSON: {message}")]
    Syntax { message: String, at: usize },
    #[error("the body must be a JSON object")]
    NotAnObject,
    #[error("`{0}` stands twice in the body")]
    Twice(String),
    #[error("the body has more than {MEMBERS} members")]
    TooMany,
}

impl From<Malformed> for Rejection {
    fn from(malformed: Malformed) -> Self {
        let kind = match malformed {
            Malformed::Twice(_) | Malformed::TooMany => Kind::InvalidField,
            _ => Kind::MalformedBody,
        };
        let rejection = Self::new(kind, malformed.to_string());
        match malformed {
            Malformed::Twice(name) => rejection.about(name),
            _ => rejection,
        }
    }
}

/// Splits a body into its top-level members, in the received order, each name once.
///
/// All of the body is checked: UTF-8, syntax, depth, surrogate pairs. Nothing is copied but escaped names.
pub(super) fn members<'a>(body: &'a [u8], limits: &LimitsConfig) -> Result<Vec<Member<'a>>, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed::NotUtf8)?;
    if text.trim_ascii().is_empty() {
        return Err(Malformed::Empty);
    }
    scan(body, limits.json_depth)?;
    let Split { pairs, too_many } = serde_json::from_str(text).map_err(|error| syntax(text, &error))?;
    if too_many {
        return Err(Malformed::TooMany);
    }
    let mut members: Vec<Member<'a>> = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        let member = member(text, name.get(), value.get());
        if members.iter().any(|known| known.name == member.name) {
            return Err(Malformed::Twice(shorten(&member.name)));
        }
        members.push(member);
    }
    Ok(members)
}

fn member<'a>(text: &str, name: &'a str, json: &'a str) -> Member<'a> {
    let written = name.get(1..name.len().saturating_sub(1)).unwrap_or_default();
    let name = if written.contains('\\') {
        Cow::Owned(serde_json::from_str(name).unwrap_or_default())
    } else {
        Cow::Borrowed(written)
    };
    let start = json.as_ptr().addr() - text.as_ptr().addr();
    Member { name, written, json, range: start..start + json.len() }
}

fn syntax(text: &str, error: &serde_json::Error) -> Malformed {
    if error.classify() == Category::Data {
        return Malformed::NotAnObject;
    }
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    Malformed::Syntax { message: error.to_string(), at: before + error.column().saturating_sub(1) }
}

/// Returns a client's own word for a message: not longer than is useful.
pub(super) fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Finds nesting and lone surrogates without recursion; syntax is left to the parser.
fn scan(body: &[u8], limit: usize) -> Result<(), Malformed> {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(body, at)?,
            b'{' | b'[' => {
                depth += 1;
                if depth > limit {
                    return Err(Malformed::TooDeep(limit));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Returns where the string that begins at `at` has ended.
fn string_end(body: &[u8], mut at: usize) -> Result<usize, Malformed> {
    while let Some(found) = body.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if body.get(at - 1) == Some(&b'"') {
            return Ok(at);
        }
        at += match unit(body, at - 1) {
            Some(0xD800..0xDC00) if matches!(unit(body, at + 5), Some(0xDC00..0xE000)) => 11,
            Some(0xD800..0xE000) => return Err(Malformed::LoneSurrogate(at - 1)),
            _ => 1,
        };
    }
    Ok(body.len())
}

/// Returns the UTF-16 unit written as `\uXXXX` at `at`.
fn unit(body: &[u8], at: usize) -> Option<u16> {
    let hex = body.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

struct Split<'a> {
    pairs: Vec<(&'a RawValue, &'a RawValue)>,
    too_many: bool,
}

impl<'de> Deserialize<'de> for Split<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Split<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Split<'de>, A::Error> {
                let mut pairs = Vec::with_capacity(8);
                while pairs.len() < MEMBERS {
                    match map.next_entry()? {
                        Some(pair) => pairs.push(pair),
                        None => return Ok(Split { pairs, too_many: false }),
                    }
                }
                let mut too_many = false;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    too_many = true;
                }
                Ok(Split { pairs, too_many })
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(body: &str) -> Result<Vec<Member<'_>>, Malformed> {
        members(body.as_bytes(), &LimitsConfig { json_depth: 4, ..LimitsConfig::default() })
    }

    #[track_caller]
    fn refused(body: &str, expected: &Malformed) {
        assert_eq!(split(body).as_ref(), Err(expected), "{body}");
    }

    #[test]
    fn members_keep_order_and_bytes() {
        let body = r#" {"b": 1e400 , "\u0061":{"x": [-0]}} "#;
        let found = split(body).unwrap();
        let fields: Vec<_> = found.iter().map(|m| (&*m.name, &body[m.field().value])).collect();
        assert_eq!(fields, [("b", "1e400"), ("a", r#"{"x": [-0]}"#)]);
        assert_eq!(&*found[1].field().name, "\\u0061");
    }

    #[test]
    fn what_is_no_request_is_told() {
        refused("", &Malformed::Empty);
        refused(" \n", &Malformed::Empty);
        refused("[]", &Malformed::NotAnObject);
        refused("\"{}\"", &Malformed::NotAnObject);
        refused(r#"{"a":1,"\u0061":2}"#, &Malformed::Twice("a".into()));
        refused(r#"{"a":[[[[]]]]}"#, &Malformed::TooDeep(4));
        refused(r#"{"a":"\ud83d"}"#, &Malformed::LoneSurrogate(6));
        refused(r#"{"a":"\ud83dx\ude00"}"#, &Malformed::LoneSurrogate(6));
        refused(r#"{"a":"\ude00"}"#, &Malformed::LoneSurrogate(6));
        assert_eq!(members(b"{\"a\":\"\xff\"}", &LimitsConfig::default()), Err(Malformed::NotUtf8));
        let many: Vec<_> = (0..=MEMBERS).map(|i| format!("\"m{i}\":0")).collect();
        refused(&format!("{{{}}}", many.join(",")), &Malformed::TooMany);
    }

    #[test]
    fn brackets_and_escapes_inside_strings_do_not_count() {
        split(r#"{"a":"[[[[[[{{{{ \" ]\\"}"#).unwrap();
        split(r#"{"a":"\ud83d\ude00 \\ud83d"}"#).unwrap();
        split(r#"{"a":[[[1]]],"b":[[[2]]]}"#).unwrap();
    }

    #[test]
    fn every_truncation_is_refused_with_its_place() {
        let body = "{\"a\": [1,\n {\"b\": \"\\ud83d\\ude00\"}], \"c\": null}";
        for end in 1..body.len() {
            let malformed = split(&body[..end]).unwrap_err();
            let fine = match &malformed {
                Malformed::Syntax { at, .. } => *at <= end,
                Malformed::LoneSurrogate(at) => *at < end,
                _ => false,
            };
            assert!(fine, "{end}: {malformed:?}");
        }
    }

    #[test]
    fn very_deep_nesting_is_refused_without_recursion() {
        refused(&"[".repeat(1_000_000), &Malformed::TooDeep(4));
    }
}
