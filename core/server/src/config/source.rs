//! A configuration file as text, what `--set` puts over it, and where each key stands.

use std::fmt;
use std::path::{Path, PathBuf};

use btvep_domain::ConfigError;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml_edit::{Document, Item, TableLike};

use super::{Fingerprint, misfit, shape, syntax};

/// A configuration cannot be used: where, which key, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{place}{}{path}{}{message}", if path.is_empty() { "" } else { ": " }, ": ")]
pub struct LoadError {
    /// The file and line, or the `--set` that did it.
    pub place: Place,
    /// The key's path, such as `model.0.subnet`; empty when the file is no TOML at all.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Where a key was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File {
        /// As named by the operator.
        file: PathBuf,
        /// From 1; none when the file cannot be read.
        line: Option<usize>,
    },
    /// On the command line.
    Set,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line: Some(line) } => write!(f, "{}:{line}", file.display()),
            Self::File { file, line: None } => write!(f, "{}", file.display()),
            Self::Set => f.write_str("--set"),
        }
    }
}

/// One `path.to.key=VALUE`.
#[derive(Clone, Debug)]
pub(super) struct Override {
    pub(super) path: Vec<String>,
    pub(super) value: toml::Value,
}

/// The text of a configuration, parsed, with the overrides of the command line.
#[derive(Debug)]
pub struct Source {
    file: PathBuf,
    document: Document<String>,
    sets: Vec<String>,
    overrides: Vec<Override>,
}

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, is no TOML, or a `--set` is no `path.to.key=VALUE`.
    pub fn read(file: &Path, sets: &[String]) -> Result<Self, LoadError> {
        Self::parse(file, &Self::read_text(file)?, sets)
    }

    /// Returns the text of a file.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn read_text(file: &Path) -> Result<String, LoadError> {
        std::fs::read_to_string(file).map_err(|error| LoadError {
            place: Place::File { file: file.to_owned(), line: None },
            path: String::new(),
            message: format!("cannot be read: {error}; name a file that is there"),
        })
    }

    /// Takes a text as the content of `file`.
    ///
    /// # Errors
    ///
    /// It is no TOML, or a `--set` is no `path.to.key=VALUE`.
    pub fn parse(file: &Path, text: &str, sets: &[String]) -> Result<Self, LoadError> {
        let document = Document::parse(text.to_owned()).map_err(|error| {
            let at = error.span().map_or(text.len(), |span| span.start);
            // A list that does not end is noticed only where something else begins.
            let within = if error.message().contains("array") {
                text.get(..at).map_or(at, |before| before.trim_end().len())
            } else {
                at
            };
            LoadError {
                place: Place::File { file: file.to_owned(), line: Some(line_of(text, at)) },
                path: syntax::path_at(text, within),
                message: syntax::message(&error),
            }
        })?;
        let overrides = sets.iter().map(|set| parse_set(set)).collect::<Result<_, _>>()?;
        Ok(Self { file: file.to_owned(), document, sets: sets.to_vec(), overrides })
    }

    /// Returns the file, as named by the operator.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the file's text.
    pub fn text(&self) -> &str {
        self.document.raw()
    }

    /// Returns the fingerprint of each part: the text, then every `--set`.
    pub fn fingerprints(&self) -> (Fingerprint, impl Iterator<Item = Fingerprint>) {
        let sets = self.sets.iter().map(|set| Fingerprint::of(format!("--set {set}").as_bytes()));
        (Fingerprint::of(self.text().as_bytes()), sets)
    }

    /// Returns the folder that relative paths of this configuration are relative to.
    pub fn folder(&self) -> PathBuf {
        Self::folder_of(&self.file)
    }

    /// Returns the folder of a configuration file.
    pub(super) fn folder_of(file: &Path) -> PathBuf {
        match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    /// Returns file and overrides as one table.
    ///
    /// # Errors
    ///
    /// An override goes through a value that is no table.
    pub fn merged(&self) -> Result<toml::Value, LoadError> {
        let table: toml::Table =
            toml::from_str(self.document.raw()).map_err(|error| self.error("", error.message()))?;
        let mut root = toml::Value::Table(table);
        for set in &self.overrides {
            place_at(&mut root, &set.path, set.value.clone()).map_err(|message| LoadError {
                place: Place::Set,
                path: set.path.join("."),
                message,
            })?;
        }
        Ok(root)
    }

    /// Reads the whole as `T`.
    ///
    /// # Errors
    ///
    /// An unknown key, a wrong type or a missing key, with its place and a suggestion.
    pub fn read_as<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, LoadError> {
        let merged = self.merged()?;
        serde_path_to_error::deserialize(merged.clone()).map_err(|error| {
            let keys = shape::keys::<T>();
            let path = path_text(error.path());
            let misfit = merged.as_table().and_then(|table| misfit::in_table("", table, &keys));
            let misfit = misfit.unwrap_or_else(|| {
                let message = misfit::form_at(&path, &keys).unwrap_or_else(|| error.inner().message().to_owned());
                ConfigError::new(path, message)
            });
            self.refuse(&misfit)
        })
    }

    /// Puts the place of a key before what is wrong with it.
    pub fn error(&self, path: &str, message: impl Into<String>) -> LoadError {
        LoadError { place: self.place(path), path: path.to_owned(), message: message.into() }
    }

    /// Puts the place of a key before what a component says of its configuration.
    pub fn refuse(&self, error: &ConfigError) -> LoadError {
        self.error(&error.path, error.message.clone())
    }

    /// Returns where a key, or the nearest table around it, was written.
    fn place(&self, path: &str) -> Place {
        let keys: Vec<&str> = path.split('.').filter(|key| !key.is_empty()).collect();
        let set = |o: &&Override| o.path.len() >= keys.len() && o.path.iter().zip(&keys).all(|(a, b)| a == b);
        // An override within the refused key, or around it.
        let around = |o: &&Override| !o.path.is_empty() && o.path.iter().zip(&keys).all(|(a, b)| a == b);
        if self.overrides.iter().any(|o| !keys.is_empty() && (set(&o) || around(&o))) {
            return Place::Set;
        }
        let text = self.document.raw();
        let exists = keys.first().is_some_and(|key| self.document.contains_key(key));
        let at = if exists { span_of(self.document.as_item(), &keys) } else { None };
        // What stands nowhere could be added at the end.
        let line = line_of(text, at.unwrap_or_else(|| text.trim_end().len()));
        Place::File { file: self.file.clone(), line: Some(line) }
    }
}

/// Splits `path.to.key=VALUE`; a value that is no TOML is a string.
pub(super) fn parse_set(set: &str) -> Result<Override, LoadError> {
    let refuse = |message: &str| LoadError { place: Place::Set, path: set.to_owned(), message: message.to_owned() };
    let (path, value) = set.split_once('=').ok_or_else(|| refuse("expected path.to.key=VALUE"))?;
    let path: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        return Err(refuse("expected path.to.key=VALUE, with a name between the dots"));
    }
    Ok(Override { path, value: parse_value(value) })
}

/// Reads a value as TOML, else as the string it is.
pub(super) fn parse_value(text: &str) -> toml::Value {
    // Only a value may stand there: a line break would let more keys in.
    let table = if text.contains('\n') { None } else { toml::from_str::<toml::Table>(&format!("v = {text}")).ok() };
    match table.and_then(|mut table| if table.len() == 1 { table.remove("v") } else { None }) {
        Some(value) => value,
        None => toml::Value::String(text.to_owned()),
    }
}

pub(super) fn place_at(at: &mut toml::Value, path: &[String], value: toml::Value) -> Result<(), String> {
    let Some((key, rest)) = path.split_first() else {
        *at = value;
        return Ok(());
    };
    match at {
        toml::Value::Table(table) => {
            let next = table.entry(key.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            place_at(next, rest, value)
        }
        toml::Value::Array(list) => {
            let count = list.len();
            let next = key.parse::<usize>().ok().and_then(|index| list.get_mut(index));
            let next = next.ok_or_else(|| format!("`{key}` is no place in a list of {count}; they count from 0"))?;
            place_at(next, rest, value)
        }
        // What stands there is no table: the key replaces it, and the types say whether that is right.
        _ => {
            *at = toml::Value::Table(toml::Table::new());
            place_at(at, path, value)
        }
    }
}

fn path_text(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let parts = path.iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(key.clone()),
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    parts.collect::<Vec<_>>().join(".")
}

/// Returns where the deepest part of the path that exists begins.
fn span_of(item: &Item, keys: &[&str]) -> Option<usize> {
    let own = item.span().map(|span| span.start);
    let Some((key, rest)) = keys.split_first() else {
        return own;
    };
    if let Some(table) = item.as_table_like() {
        return in_table(table, key, rest).or(own);
    }
    let index = key.parse::<usize>().ok()?;
    if let Some(tables) = item.as_array_of_tables() {
        let table = tables.get(index)?;
        let own = table.span().map(|span| span.start);
        let inner = rest.split_first().and_then(|(key, rest)| in_table(table, key, rest));
        return inner.or(own);
    }
    item.as_array()?.get(index).and_then(toml_edit::Value::span).map(|span| span.start).or(own)
}

fn in_table(table: &dyn TableLike, key: &str, rest: &[&str]) -> Option<usize> {
    let (name, item) = table.get_key_value(key)?;
    let name = name.span().map(|span| span.start);
    if rest.is_empty() { name } else { span_of(item, rest).or(name) }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
