//! Changes a configuration file in place: comments and order stay, and only a valid result is written.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml_edit::{DocumentMut, InlineTable, Item, Value};

use super::{LoadError, Loaded, source};

/// A configuration file cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It would not be valid any more, or is not now; nothing was written.
    #[error("{0}; nothing was changed")]
    Invalid(#[from] LoadError),
    /// The path leads through a value that holds no keys.
    #[error("`{0}` is no key of a table; nothing was changed")]
    NoTable(String),
    /// The list has no such element.
    #[error("`{path}` has no element {index}, counted from 0; nothing was changed")]
    NoElement {
        /// The list.
        path: String,
        /// As asked.
        index: usize,
    },
    /// The file cannot be written.
    #[error("the configuration cannot be written: {0}; nothing was changed")]
    Write(#[from] std::io::Error),
}

/// A configuration file being changed.
#[derive(Debug)]
pub struct Edits {
    document: DocumentMut,
}

impl Edits {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// It cannot be read or is not valid now.
    pub fn read(file: &Path) -> Result<Self, EditError> {
        let loaded = Loaded::read(file, &[])?;
        let text = loaded.source.text().to_owned();
        let document = text.parse().map_err(|error: toml_edit::TomlError| loaded.source.error("", error.message()))?;
        Ok(Self { document })
    }

    /// Sets a key; the value is TOML, else a string. Missing tables are made.
    ///
    /// # Errors
    ///
    /// The path leads through a value that holds no keys.
    pub fn set(&mut self, path: &str, value: &str) -> Result<(), EditError> {
        let value = to_edit(&source::parse_value(value));
        self.put(path, value)
    }

    /// Sets a key to a value.
    ///
    /// # Errors
    ///
    /// As [`Self::set`].
    pub fn put(&mut self, path: &str, mut value: Value) -> Result<(), EditError> {
        let slot = self.slot(path)?;
        // The comment behind a value stays with it.
        if let Some(old) = slot.as_value() {
            *value.decor_mut() = old.decor().clone();
        }
        *slot = Item::Value(value);
        Ok(())
    }

    /// Appends a table of numbers to a list; a missing list is made.
    ///
    /// # Errors
    ///
    /// There is something else than a list.
    pub fn push(&mut self, path: &str, entries: &[(&str, i64)]) -> Result<(), EditError> {
        match self.list(path)? {
            Item::ArrayOfTables(tables) => {
                let table: toml_edit::Table = entries.iter().map(|(key, value)| (*key, Value::from(*value))).collect();
                tables.push(table);
            }
            Item::Value(Value::Array(list)) => {
                let table: InlineTable = entries.iter().map(|(key, value)| (*key, Value::from(*value))).collect();
                list.push(table);
            }
            _ => return Err(EditError::NoTable(path.to_owned())),
        }
        Ok(())
    }

    /// Removes the element of a list.
    ///
    /// # Errors
    ///
    /// There is no such element.
    pub fn remove(&mut self, path: &str, index: usize) -> Result<(), EditError> {
        let gone = match self.list(path)? {
            Item::ArrayOfTables(tables) if index < tables.len() => {
                tables.remove(index);
                true
            }
            Item::Value(Value::Array(list)) if index < list.len() => {
                list.remove(index);
                true
            }
            _ => false,
        };
        if gone { Ok(()) } else { Err(EditError::NoElement { path: path.to_owned(), index }) }
    }

    /// Returns the slot of a list, with an empty one in it when there was nothing.
    fn list(&mut self, path: &str) -> Result<&mut Item, EditError> {
        let slot = self.slot(path)?;
        if slot.is_none() {
            *slot = Item::Value(Value::Array(toml_edit::Array::new()));
        }
        Ok(slot)
    }

    fn slot(&mut self, path: &str) -> Result<&mut Item, EditError> {
        let refuse = || EditError::NoTable(path.to_owned());
        let (table, key) = path.rsplit_once('.').map_or((None, path), |(table, key)| (Some(table), key));
        let mut at = self.document.as_item_mut();
        for part in table.into_iter().flat_map(|table| table.split('.')) {
            at = descend(at, part).ok_or_else(refuse)?;
        }
        descend_last(at, key).ok_or_else(refuse)
    }

    /// Writes the file whole: checked first, then put in its place in one step.
    ///
    /// # Errors
    ///
    /// The result is not valid, or cannot be written.
    pub fn write(self, file: &Path) -> Result<(), EditError> {
        let text = self.document.to_string();
        Loaded::from_text(file, &text, &[])?;
        replace(file, text.as_bytes())?;
        Ok(())
    }
}

/// Returns the item of a table or the element of a list; makes a missing table.
fn descend<'a>(at: &'a mut Item, part: &str) -> Option<&'a mut Item> {
    let slot = descend_last(at, part)?;
    if slot.is_none() {
        let mut table = toml_edit::Table::new();
        table.set_implicit(false);
        *slot = Item::Table(table);
    }
    Some(slot)
}

fn descend_last<'a>(at: &'a mut Item, part: &str) -> Option<&'a mut Item> {
    if part.is_empty() || !(at.is_table_like() || part.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    if at.is_table_like() {
        return Some(at.as_table_like_mut()?.entry(part).or_insert(Item::None));
    }
    at.get_mut(part.parse::<usize>().ok()?)
}

/// Returns the value as it stands in a file.
fn to_edit(value: &toml::Value) -> Value {
    value.to_string().parse().unwrap_or_else(|_| Value::from(value.to_string()))
}

/// Puts new content in a file's place in one step; its mode stays. A file that is gone is made again.
///
/// # Errors
///
/// It cannot be written; the file is as it was.
pub(crate) fn replace(file: &Path, content: &[u8]) -> std::io::Result<()> {
    // Through a link, the file itself is replaced and the link stays.
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let mode = std::fs::metadata(&file).map_or(Permissions::from_mode(0o600), |old| old.permissions());
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = file.with_file_name(name);
    let written = (|| {
        let mut new = std::fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
        new.set_permissions(mode)?;
        new.write_all(content)?;
        new.sync_all()?;
        std::fs::rename(&beside, &file)
    })();
    if written.is_err() {
        // Best effort: the original is untouched either way.
        let _ = std::fs::remove_file(&beside);
    }
    written
}
