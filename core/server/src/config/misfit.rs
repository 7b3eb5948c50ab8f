//! Finds what in a configuration does not fit the types, exactly and in the operator's words.
//!
//! Serde is the judge; its own words name no place within a tagged table, and mean Rust's types. So when it refuses,
//! the values are walked beside the schema. A text is never repeated: it may be a secret in a wrong place.

use btvep_domain::ConfigError;
use schemars::JsonSchema;
use toml::{Table, Value};

use super::shape::{Key, Shape, Variant};
use super::wording::{nearest, one_of, written};

/// Returns the first thing within a table that does not fit; none when the schema cannot tell.
pub(super) fn in_table(path: &str, table: &Table, keys: &[Key]) -> Option<ConfigError> {
    let known = |name: &str| keys.iter().find(|key| key.name == name);
    if let Some(name) = table.keys().find(|name| known(name).is_none()) {
        let names = keys.iter().map(|key| key.name.as_str());
        return Some(unknown(&below(path, name), "unknown key", name, names, "keys here"));
    }
    let inner = table.iter().find_map(|(name, value)| within(&below(path, name), value, &known(name)?.shape));
    inner.or_else(|| {
        let missing = keys.iter().find(|key| key.is_required && !table.contains_key(&key.name))?;
        let such = missing.examples.first().map(|example| format!(", such as `{}`", written(example)));
        let message = format!("is missing; write {}{}", missing.shape.words(), such.unwrap_or_default());
        Some(ConfigError::new(below(path, &missing.name), message))
    })
}

/// Returns the words for what is expected at a path, where it has a form of its own.
pub(super) fn form_at(path: &str, keys: &[Key]) -> Option<String> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let mut shape = &keys.iter().find(|key| key.name == first)?.shape;
    let mut rest = rest;
    while let Shape::List(items) = shape {
        shape = items;
        rest = rest.split_once('.').map_or("", |(_, rest)| rest);
    }
    match shape {
        Shape::Table(keys) => form_at(rest, keys),
        Shape::Tagged { variants, .. } => variants.iter().find_map(|kind| form_at(rest, kind.keys.as_deref()?)),
        Shape::Written { .. } => Some(format!("expected {}", shape.words())),
        _ => None,
    }
}

/// Returns why a value is none of a type; none when the schema cannot tell.
pub(crate) fn refusal_of<T: JsonSchema>(value: &Value) -> Option<String> {
    within("", value, &Shape::new::<T>()).map(|misfit| misfit.message)
}

fn within(path: &str, value: &Value, shape: &Shape) -> Option<ConfigError> {
    match (shape, value) {
        // Serde takes a date as the text that it is written with.
        (Shape::Any, _) | (Shape::Flag, Value::Boolean(_)) | (Shape::Text, Value::String(_) | Value::Datetime(_)) => {
            None
        }
        (Shape::Whole { least, most }, Value::Integer(number)) if lies_between(*number, *least, *most) => None,
        (Shape::Number { least, most }, Value::Float(number)) if lies_between(*number, *least, *most) => None,
        // No whole number that a person writes here is too large for a float.
        #[expect(clippy::cast_precision_loss, reason = "bounds of such numbers are small")]
        (Shape::Number { least, most }, Value::Integer(number)) if lies_between(*number as f64, *least, *most) => None,
        (Shape::Written { types, .. }, value) if types.iter().any(|name| name == json_type(value)) => None,
        (Shape::List(items), Value::Array(list)) => {
            list.iter().enumerate().find_map(|(at, value)| within(&below(path, &at.to_string()), value, items))
        }
        (Shape::List(items), Value::Table(_)) if matches!(**items, Shape::Table(_)) => {
            let message = format!("expected a list of tables, found a table; write [[{path}]] instead of [{path}]");
            Some(ConfigError::new(path, message))
        }
        (Shape::Table(keys), Value::Table(table)) => in_table(path, table, keys),
        (Shape::Tagged { tag, variants }, Value::Table(table)) => in_tagged(path, table, tag, variants),
        (Shape::Choice(variants), Value::String(name)) => {
            let named = variants.iter().find(|variant| variant.name == *name);
            let texts = variants.iter().filter(|variant| variant.keys.is_none()).map(|variant| variant.name.as_str());
            match named {
                Some(Variant { keys: None, .. }) => None,
                Some(_) => Some(mismatch(path, value, shape)),
                None => Some(unknown(path, "unknown value", name, texts, "values")),
            }
        }
        (Shape::Choice(variants), Value::Table(table)) => in_choice(path, value, table, variants, shape),
        _ => Some(mismatch(path, value, shape)),
    }
}

fn in_tagged(path: &str, table: &Table, tag: &str, variants: &[Variant]) -> Option<ConfigError> {
    let names = variants.iter().map(|variant| variant.name.as_str());
    let path_of_tag = below(path, tag);
    let name = match table.get(tag) {
        Some(Value::String(name)) => name,
        Some(other) => {
            let message = format!("expected {}, found {}", one_of(names), found_in_words(other));
            return Some(ConfigError::new(path_of_tag, message));
        }
        None => return Some(ConfigError::new(path_of_tag, format!("is missing; write {}", one_of(names)))),
    };
    let Some(kind) = variants.iter().find(|variant| variant.name == *name) else {
        return Some(unknown(&path_of_tag, "unknown value", name, names, "values"));
    };
    in_table(path, table, kind.keys.as_deref().unwrap_or_default())
}

fn in_choice(path: &str, value: &Value, table: &Table, variants: &[Variant], shape: &Shape) -> Option<ConfigError> {
    let mut keys = table.iter();
    let (Some((name, inner)), None) = (keys.next(), keys.next()) else {
        return Some(mismatch(path, value, shape));
    };
    let path = below(path, name);
    match (variants.iter().find(|variant| variant.name == *name).map(|variant| &variant.keys), inner) {
        (Some(Some(keys)), Value::Table(inner)) => in_table(&path, inner, keys),
        (Some(Some(keys)), inner) => Some(mismatch(&path, inner, &Shape::Table(keys.clone()))),
        (Some(None), _) => Some(ConfigError::new(path, format!("holds nothing; write \"{name}\" alone"))),
        (None, _) => {
            let names = variants.iter().filter(|variant| variant.keys.is_some()).map(|variant| variant.name.as_str());
            Some(unknown(&path, "unknown key", name, names, "keys here"))
        }
    }
}

fn lies_between<T: PartialOrd + Copy>(number: T, least: Option<T>, most: Option<T>) -> bool {
    least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most)
}

fn mismatch(path: &str, value: &Value, shape: &Shape) -> ConfigError {
    ConfigError::new(path, format!("expected {}, found {}", shape.words(), found_in_words(value)))
}

fn unknown<'a>(
    path: &str,
    what: &str,
    found: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    list: &str,
) -> ConfigError {
    let near = nearest(found, known.clone()).map(|near| format!(" did you mean `{near}`?")).unwrap_or_default();
    let known = known.collect::<Vec<_>>().join(", ");
    ConfigError::new(path, format!("{what} `{found}`;{near} {list}: {known}"))
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::String(_) | Value::Datetime(_) => "string",
        Value::Integer(_) | Value::Float(_) => "number",
        Value::Boolean(_) => "boolean",
        Value::Array(_) => "array",
        Value::Table(_) => "object",
    }
}

fn found_in_words(value: &Value) -> String {
    match value {
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        Value::Datetime(_) => "a date without quotes".to_owned(),
        number_or_flag => format!("`{number_or_flag}`"),
    }
}
