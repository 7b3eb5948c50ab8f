//! Resolves references to secrets; the only place that reads them.

use std::path::{Path, PathBuf};

use btvep_domain::{Secret, SecretRef};

/// The most bytes of a secret's file that are read.
const LIMIT: u64 = 64 * 1024;

/// Reads secrets, and makes paths relative to the configuration's folder absolute.
#[derive(Clone, Debug)]
pub struct Resolver {
    folder: PathBuf,
}

impl Resolver {
    /// Takes the folder of the configuration file.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Returns a path of the configuration as seen from the working directory; `~/` is the home folder.
    pub fn path(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), std::env::var_os("HOME")) {
            (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => self.folder.join(path),
        }
    }

    /// Returns the secret.
    ///
    /// # Errors
    ///
    /// What is missing and how to provide it; never any of the secret.
    pub fn secret(&self, reference: &SecretRef) -> Result<Secret, String> {
        let text = match reference {
            SecretRef::Env(name) => std::env::var(name)
                .map_err(|_| format!("the environment variable `{name}` is not set (or is no text); set it"))?,
            SecretRef::File(path) => {
                let bytes = self.read(path)?;
                String::from_utf8(bytes).map_err(|_| format!("the file {} is no text", self.path(path).display()))?
            }
        };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(format!("the secret `{reference}` is empty; put it there"));
        }
        Ok(Secret::new(trimmed))
    }

    /// Returns a file's content.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        use std::io::Read;
        let path = self.path(path);
        let refuse = |error: std::io::Error| {
            format!(
                "the file {} cannot be read: {error}; relative paths begin at the configuration's folder",
                path.display()
            )
        };
        let mut bytes = Vec::new();
        std::fs::File::open(&path).map_err(refuse)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(refuse)?;
        match u64::try_from(bytes.len()) {
            Ok(length) if length <= LIMIT => Ok(bytes),
            _ => Err(format!("the file {} is larger than {LIMIT} bytes; it is no secret", path.display())),
        }
    }
}
