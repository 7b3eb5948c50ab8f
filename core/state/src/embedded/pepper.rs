//! Where the pepper comes from.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use btvep_domain::Secret;

use super::db::Db;
use super::error::OpenError;
use super::redo::Batch;
use super::rows::{KEYS, PEPPER_ROW};
use crate::api_key::Pepper;

/// Returns the pepper that the store's keys were hashed with, or a new one when it has no keys.
pub(super) fn find(db: &Db, given: Option<&Secret>, file: &Path) -> Result<Pepper, OpenError> {
    let has_keys = db.scan(KEYS).next().is_some();
    let pepper = match given {
        Some(secret) => Pepper::new(secret.expose().trim().as_bytes()),
        None => Pepper::new(read_or_make(file, has_keys)?.trim().as_bytes()),
    };
    let known = db.get(PEPPER_ROW)?;
    let differs = known.as_deref().is_some_and(|id| id != pepper.id().as_bytes());
    if has_keys && differs {
        return Err(OpenError::PepperDiffers);
    }
    if known.is_none() || differs {
        let mut batch = Batch::default();
        batch.insert(PEPPER_ROW, pepper.id());
        db.append(batch).and_then(|()| db.flush()).map_err(|error| OpenError::write(&error))?;
    }
    Ok(pepper)
}

fn read_or_make(file: &Path, has_keys: bool) -> Result<String, OpenError> {
    match fs::read_to_string(file) {
        Ok(text) if !text.trim().is_empty() => Ok(text),
        Ok(_) if has_keys => Err(OpenError::PepperMissing(file.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound && has_keys => {
            Err(OpenError::PepperMissing(file.to_owned()))
        }
        Ok(_) => make(file).map_err(|source| OpenError::io(file, source)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(file).map_err(|source| OpenError::io(file, source))
        }
        Err(source) => Err(OpenError::io(file, source)),
    }
}

/// Writes a new pepper beside its place and moves it there, so that a crash leaves none or a whole one.
fn make(file: &Path) -> io::Result<String> {
    let text = hex::encode(rand::random::<[u8; 32]>());
    let beside = file.with_extension("new");
    let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    writeln!(new, "{text}")?;
    new.sync_all()?;
    fs::rename(&beside, file)?;
    if let Some(directory) = file.parent() {
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(text)
}
