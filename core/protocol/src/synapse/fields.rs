//! A class's own fields: their values for a prompt, on the wire and in the hash.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use btvep_domain::{EncodeError, Message, Prompt, Role};
use serde_json::{Map, Value, json};

use super::config::{Mapping, SynapseConfig};
use crate::openai_body::plain_name;
use crate::python_repr::{Python, str_of, write_list_repr, write_text_repr};

/// The settings of a synapse contradict one another.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SynapseError {
    /// A name that Python does not allow.
    #[error("`{name}` is no name of a Python class or field; use letters, digits and `_`")]
    Name {
        /// The setting that names it.
        key: &'static str,
        /// The name.
        name: String,
    },
    /// A field has two values.
    #[error("the field `{0}` stands in both `mapping` and `extra_fields`; keep one")]
    Twice(String),
    /// A field that has no value.
    #[error("`{list}` names `{field}`, which has no value; known fields: {}", known.join(", "))]
    Unknown {
        /// Where it is named.
        list: &'static str,
        /// The field.
        field: String,
        /// The fields that have one.
        known: Vec<String>,
    },
}

impl SynapseError {
    /// Returns the setting that is wrong.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Name { key, .. } => key,
            Self::Twice(_) => "extra_fields",
            Self::Unknown { list, .. } => list,
        }
    }
}

/// The class as it is spoken to: settings with the preset's gaps filled, and checked.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) class: String,
    pub(super) answer: String,
    pub(super) streams: bool,
    mapping: Mapping,
    extra: Map<String, Value>,
    hashed: Vec<String>,
    required: Vec<String>,
}

impl Fields {
    pub(super) fn new(config: &SynapseConfig) -> Result<Self, SynapseError> {
        let preset = config.preset.settings();
        let or = |own: &Option<Vec<String>>, preset: Option<Vec<String>>| own.clone().or(preset).unwrap_or_default();
        let mapping = config.mapping.clone().or(preset.mapping);
        let fields = Self {
            class: config.class.clone().or(preset.class).unwrap_or_default(),
            answer: config.answer_field.clone().or(preset.answer_field).unwrap_or_default(),
            streams: config.streaming.or(preset.streaming).unwrap_or_default(),
            mapping: mapping.unwrap_or_else(|| Mapping::Objects { messages: "messages".to_owned() }),
            extra: config.extra_fields.clone().or(preset.extra_fields).unwrap_or_default(),
            hashed: or(&config.hash_fields, preset.hash_fields),
            required: or(&config.required_fields, preset.required_fields),
        };
        fields.check()?;
        Ok(fields)
    }

    fn check(&self) -> Result<(), SynapseError> {
        let mapped = self.mapping.fields();
        let known: Vec<String> =
            mapped.iter().map(|name| (*name).to_owned()).chain(self.extra.keys().cloned()).collect();
        let named = [("class", &self.class), ("answer_field", &self.answer)].map(|(key, name)| (key, name.as_str()));
        let mapping = mapped.iter().map(|name| ("mapping", *name));
        let extra = self.extra.keys().map(|name| ("extra_fields", name.as_str()));
        if let Some((key, name)) = named.into_iter().chain(mapping).chain(extra).find(|(_, name)| !is_name(name)) {
            return Err(SynapseError::Name { key, name: name.to_owned() });
        }
        if let Some(name) = mapped.iter().find(|name| self.extra.contains_key(**name)) {
            return Err(SynapseError::Twice((*name).to_owned()));
        }
        for (list, fields) in [("hash_fields", &self.hashed), ("required_fields", &self.required)] {
            if let Some(field) = fields.iter().find(|field| !known.contains(field)) {
                return Err(SynapseError::Unknown { list, field: field.clone(), known });
            }
        }
        Ok(())
    }

    /// Returns the required fields, each with the encoded JSON of an empty instance of its type.
    pub(super) fn required_headers(&self) -> impl Iterator<Item = (&str, String)> {
        self.required.iter().map(|field| {
            let empty = match self.extra.get(field) {
                Some(Value::String(_)) => "\"\"",
                Some(Value::Number(number)) if number.is_f64() => "0.0",
                Some(Value::Number(_)) => "0",
                Some(Value::Bool(_)) => "false",
                Some(Value::Object(_)) => "{}",
                Some(Value::Null) => "null",
                None if matches!(self.mapping, Mapping::Json { .. }) => "\"\"",
                Some(Value::Array(_)) | None => "[]",
            };
            (field.as_str(), STANDARD.encode(empty))
        })
    }

    /// Returns Python's `str()` of each hashed field, in order.
    pub(super) fn hashed(&self, prompt: &Prompt, python: Python) -> impl Iterator<Item = String> {
        self.hashed.iter().map(move |field| match self.extra.get(field) {
            Some(value) => str_of(value, python),
            None => self.mapping.text(field, &prompt.messages, python),
        })
    }

    /// Appends the fields as JSON members, a comma before each.
    pub(super) fn write(&self, body: &mut Vec<u8>, prompt: &Prompt) {
        for field in self.mapping.fields() {
            write_member(body, field, &self.mapping.value(field, &prompt.messages));
        }
        for (field, value) in &self.extra {
            write_member(body, field, value);
        }
    }
}

impl Mapping {
    /// Returns the fields that it fills, in the usual order of a class.
    fn fields(&self) -> Vec<&str> {
        match self {
            Self::Lists { roles, messages } => vec![roles, messages],
            Self::Objects { messages } | Self::Json { messages } => vec![messages],
        }
    }

    /// Returns a field's value.
    fn value(&self, field: &str, messages: &[Message]) -> Value {
        match self {
            Self::Lists { roles, .. } if field == roles => messages.iter().map(role).collect(),
            Self::Lists { .. } => messages.iter().map(|message| message.text.as_str()).collect(),
            Self::Objects { .. } => messages.iter().map(object).collect(),
            Self::Json { .. } => Value::String(messages.iter().map(object).collect::<Value>().to_string()),
        }
    }

    /// Returns Python's `str()` of a field's value; that of the texts without a copy of them.
    fn text(&self, field: &str, messages: &[Message], python: Python) -> String {
        match self {
            Self::Lists { messages: name, .. } if field == name => {
                let mut text = String::new();
                write_list_repr(&mut text, messages, |out, message| write_text_repr(out, &message.text, python));
                text
            }
            _ => str_of(&self.value(field, messages), python),
        }
    }
}

fn object(message: &Message) -> Value {
    json!({"role": role(message), "content": message.text})
}

/// Miners of that time know these roles only.
const fn role(message: &Message) -> &'static str {
    match message.role {
        Role::Developer => Role::System.as_str(),
        role => role.as_str(),
    }
}

/// Writing into memory cannot fail.
fn write_member(body: &mut Vec<u8>, field: &str, value: &Value) {
    body.extend_from_slice(b",\"");
    body.extend_from_slice(field.as_bytes());
    body.extend_from_slice(b"\":");
    let _ = serde_json::to_writer(body, value);
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Refuses a request that sets a parameter which a synapse has no field for.
pub(super) fn refuse_parameters(prompt: &Prompt) -> Result<(), EncodeError> {
    // The last ones do not alter an answer.
    let known =
        ["messages", "model", "stream", "stream_options", "n", "user", "metadata", "store", "safety_identifier"];
    if prompt.n > 1 {
        return Err(EncodeError::Unsupported("n".to_owned()));
    }
    for field in &prompt.fields {
        let name = plain_name(&field.name);
        let value = prompt.body.get(field.value.clone()).unwrap_or_default();
        let is_unset = matches!(value, b"" | b"null" | b"[]" | b"{}");
        if !is_unset && !known.contains(&name.as_ref()) {
            return Err(EncodeError::Unsupported(name.chars().take(64).collect()));
        }
    }
    Ok(())
}
