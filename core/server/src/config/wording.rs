//! The operator's words for what was expected, and for what was probably meant.

use std::fmt::Display;

use serde_json::Value;

use super::shape::Shape;

impl Shape {
    /// Returns what it is, with its article.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Flag => "true or false".to_owned(),
            Self::Whole { least, most } => format!("a whole number{}", between(*least, *most)),
            Self::Number { least, most } => format!("a number{}", between(*least, *most)),
            Self::Text => "a text in quotes".to_owned(),
            Self::Written { words, .. } => words.clone(),
            Self::List(items) => match &**items {
                Self::Table(_) => "a list of tables".to_owned(),
                Self::Text => "a list of texts in quotes".to_owned(),
                items => format!("a list, each {}", items.words()),
            },
            Self::Table(keys) if (1..=4).contains(&keys.len()) => {
                let keys: Vec<String> = keys.iter().map(|key| format!("{} = …", key.name)).collect();
                format!("a table, {{ {} }}", keys.join(", "))
            }
            Self::Table(_) => "a table".to_owned(),
            Self::Tagged { tag, variants } => {
                format!("a table whose `{tag}` is {}", one_of(variants.iter().map(|variant| variant.name.as_str())))
            }
            Self::Choice(variants) => either(variants.iter().map(|variant| match variant.keys {
                None => format!("\"{}\"", variant.name),
                Some(_) => format!("{{ {} = … }}", variant.name),
            })),
            Self::Any => "anything".to_owned(),
        }
    }
}

/// Returns bounds in words, with what joins them to a noun.
fn between(least: Option<impl Display>, most: Option<impl Display>) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    }
}

/// Returns texts as they are written, with "or" before the last.
pub(super) fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    either(names.map(|name| format!("\"{name}\"")))
}

fn either(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.collect();
    match words.pop() {
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
        None => String::new(),
    }
}

/// Returns a value as it is written in the file.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Array(list) => format!("[{}]", list.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Object(table) => {
            let keys: Vec<String> = table.iter().map(|(key, value)| format!("{key} = {}", written(value))).collect();
            format!("{{ {} }}", keys.join(", "))
        }
        number_or_flag => number_or_flag.to_string(),
    }
}

/// Returns the known name that a misspelt one was meant to be, if one is near enough.
pub(super) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |name: &&str| strsim::jaro_winkler(&found.to_lowercase(), &name.to_lowercase());
    let scored = known.into_iter().map(|name| (score(&name), name));
    scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// Returns `; did you mean ...?`, or the known names, for a name that leads nowhere.
pub(crate) fn suggestion<'a>(found: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let list = known.clone().into_iter().collect::<Vec<_>>().join(", ");
    match nearest(found, known) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => format!("; there are: {list}"),
    }
}
