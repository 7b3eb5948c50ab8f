use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value that borrows its text from the body, with every object in the received order.
///
/// Where the exact type decides what a client is told, a value is read into this first and looked at then.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Loose<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Also integers beyond `i64`.
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Loose<'a>>),
    Map(Vec<(Cow<'a, str>, Loose<'a>)>),
}

/// A member stands twice in an object, so that two readers could see two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Twice;

impl<'a> Loose<'a> {
    /// Reads a value that is known to be JSON; none when it holds a number beyond all bounds.
    pub(super) fn read(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Returns a member of an object; none also for null and for what is no object.
    pub(super) fn get(&self, name: &str) -> Result<Option<&Loose<'a>>, Twice> {
        let Self::Map(members) = self else { return Ok(None) };
        let mut found = members.iter().filter(|(member, _)| member == name).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Twice),
            (Some(Self::Null) | None, None) => Ok(None),
            (Some(value), None) => Ok(Some(value)),
        }
    }

    /// Whether an object has the member, null or not.
    pub(super) fn has(&self, name: &str) -> bool {
        matches!(self, Self::Map(members) if members.iter().any(|(member, _)| member == name))
    }
}

struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Loose<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Loose<'de>, E> {
        Ok(Loose::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Loose<'de>, E> {
        Ok(Loose::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Loose<'de>, E> {
        Ok(Loose::Int(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "an integer beyond i64 is refused wherever one is expected")]
    fn visit_u64<E>(self, value: u64) -> Result<Loose<'de>, E> {
        Ok(i64::try_from(value).map_or(Loose::Float(value as f64), Loose::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Loose<'de>, E> {
        Ok(Loose::Float(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Loose<'de>, E> {
        Ok(Loose::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Loose<'de>, E> {
        Ok(Loose::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Loose<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element()? {
            list.push(value);
        }
        Ok(Loose::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Loose::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_borrowed() {
        let value = Loose::read(r#"{"a":["x","\u00e9"],"b":null,"c":18446744073709551615}"#).unwrap();
        let Ok(Some(Loose::List(list))) = value.get("a") else { panic!("{value:?}") };
        assert!(matches!(&list[0], Loose::Text(Cow::Borrowed("x"))));
        assert!(matches!(&list[1], Loose::Text(Cow::Owned(text)) if text == "é"));
        assert_eq!(value.get("b"), Ok(None));
        assert!(value.has("b") && !value.has("d"));
        assert!(matches!(value.get("c"), Ok(Some(Loose::Float(_)))));
    }

    #[test]
    fn a_member_that_stands_twice_is_found() {
        assert_eq!(Loose::read(r#"{"role":"user","role":"system"}"#).unwrap().get("role"), Err(Twice));
    }
}
