//! The members of OpenAI's JSON that we read; everything else stays raw.

use std::borrow::Cow;
use std::fmt;

use btvep_domain::{Delta, Extra, MinerFailure, Usage};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The members of an object in their order, values raw.
#[derive(Debug, Default)]
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

/// What a message and a delta have in common.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    content: String,
    extras: Vec<Extra>,
}

/// A completion or a chunk of one.
#[derive(Debug, Deserialize)]
pub(super) struct Completion<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

/// One choice; `message` in a completion, `delta` in a chunk.
#[derive(Debug, Deserialize)]
pub(super) struct Choice<'a> {
    pub(super) index: Option<u32>,
    #[serde(default)]
    message: Option<Fragment>,
    #[serde(default)]
    delta: Option<Fragment>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
    #[serde(default)]
    finish_reason: Option<Box<str>>,
}

impl<'a> Completion<'a> {
    /// Reads a completion or chunk.
    ///
    /// # Errors
    ///
    /// It is not one, or tells of an error.
    pub(super) fn read(json: &'a [u8]) -> Result<Self, MinerFailure> {
        let completion: Self = serde_json::from_slice(json).map_err(|error| super::unreadable(&error))?;
        match completion.error {
            Some(error) if is_truthy(error) => {
                Err(MinerFailure::new(btvep_domain::FailureKind::Status, crate::error_answer::message(json)))
            }
            _ => Ok(completion),
        }
    }

    /// Returns the token counts, if they are there and readable; they are not worth failing an answer for.
    pub(super) fn usage(&self) -> Option<Usage> {
        serde_json::from_str(self.usage?.get()).ok()
    }
}

impl Choice<'_> {
    /// Returns the choice's fragment.
    pub(super) fn into_delta(self, choice: u32) -> Delta {
        let Fragment { content, extras } = self.message.or(self.delta).unwrap_or_default();
        Delta {
            choice,
            content,
            extras,
            logprobs: self.logprobs.map(ToOwned::to_owned),
            finish_reason: self.finish_reason.filter(|reason| !reason.is_empty()),
        }
    }
}

/// Whether clients would take it for an error; some servers put an empty one into every answer.
fn is_truthy(error: &RawValue) -> bool {
    !matches!(error.get(), "{}" | "[]" | "\"\"" | "false" | "0")
}

/// Whether a member says nothing: OpenAI's own answers hold `"refusal":null` and `"annotations":[]`, and an answer
/// with nothing else is empty.
fn says_nothing(value: &RawValue) -> bool {
    matches!(value.get(), "null" | "[]" | "{}" | "\"\"")
}

impl<'de> Deserialize<'de> for Fragment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FragmentVisitor)
    }
}

struct FragmentVisitor;

impl<'de> Visitor<'de> for FragmentVisitor {
    type Value = Fragment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Fragment, A::Error> {
        let mut fragment = Fragment::default();
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            match name.as_ref() {
                "content" => fragment.content = members.next_value::<Option<String>>()?.unwrap_or_default(),
                // Surfaces write the role themselves.
                "role" => {
                    members.next_value::<serde::de::IgnoredAny>()?;
                }
                _ => {
                    let value: Box<RawValue> = members.next_value()?;
                    if !says_nothing(&value) {
                        fragment.extras.push((name.into(), value));
                    }
                }
            }
        }
        Ok(fragment)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Members)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(member) = members.next_entry()? {
            all.push(member);
        }
        Ok(all)
    }
}
