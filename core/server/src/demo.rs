//! The demo key of a development server.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use btvep_domain::{AuthFailure, NewKey, Secret, StoreError};

use crate::store::Store;

/// Name of its file within the state folder.
const FILE: &str = "demo.key";

/// A key to try the server with.
#[derive(Debug)]
pub(crate) struct DemoKey {
    /// Where it is kept, mode 0600; absolute, so that a pasted line finds it.
    pub(crate) file: PathBuf,
    /// The key itself when it has just been made; it is shown once.
    pub(crate) made: Option<Secret>,
}

/// The demo key cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// The store cannot keep it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its file cannot be used.
    #[error("{} cannot be used: {cause}", file.display())]
    File {
        /// Where.
        file: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Returns the demo key of a state folder; makes it when there is none that the store knows.
pub(crate) async fn demo_key(store: &Store, state: &Path, now: i64) -> Result<DemoKey, DemoError> {
    let file = fs::canonicalize(state).unwrap_or_else(|_| state.to_owned()).join(FILE);
    if let Ok(kept) = fs::read_to_string(&file) {
        match store.keys.authenticate(&Secret::new(kept.trim()), now).await {
            Err(AuthFailure::Unknown) => {}
            Err(AuthFailure::Store(error)) => return Err(error.into()),
            // One that the operator disabled stays disabled.
            Ok(_) | Err(AuthFailure::Disabled | AuthFailure::Expired { .. }) => {
                return Ok(DemoKey { file, made: None });
            }
        }
    }
    let new = NewKey { name: Some("demo".to_owned()), ..NewKey::default() };
    let (_, secret) = store.keys.create(new, now).await?;
    write(&file, &secret).map_err(|cause| DemoError::File { file: file.clone(), cause })?;
    Ok(DemoKey { file, made: Some(secret) })
}

fn write(file: &Path, secret: &Secret) -> io::Result<()> {
    // A new file each time: the mode of an old one would stay as somebody made it.
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(new, "{}", secret.expose())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn it_is_made_once_and_again_when_the_store_has_forgotten_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_memory();
        let first = demo_key(&store, folder.path(), 1).await.unwrap();
        let secret = first.made.unwrap();
        assert_eq!(fs::metadata(&first.file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&first.file).unwrap().trim(), secret.expose());
        assert!(demo_key(&store, folder.path(), 2).await.unwrap().made.is_none());
        assert!(demo_key(&Store::in_memory(), folder.path(), 3).await.unwrap().made.is_some());
    }
}
