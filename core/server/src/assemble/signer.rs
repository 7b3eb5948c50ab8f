//! Reads the hotkey that signs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use btvep_protocol::signer::Signer;

use crate::config::{LoadError, Loaded, ValidatorConfig, wallet_parts};

/// Where the Bittensor wallet keeps its folders.
const WALLETS: &str = "~/.bittensor/wallets";

/// Returns the validator's signer; none when there is no `[validator]`.
///
/// # Errors
///
/// Its secret cannot be read or is none; never any of it.
pub(super) fn read(loaded: &Loaded) -> Result<Option<Arc<Signer>>, LoadError> {
    let Some(ValidatorConfig { hotkey, .. }) = &loaded.config.validator else {
        return Ok(None);
    };
    let resolver = loaded.resolver();
    let refuse = |key: &str, message: String| loaded.source.error(&format!("validator.hotkey.{key}"), message);
    let signer = if let Some(reference) = &hotkey.mnemonic {
        let words = resolver.secret(reference).map_err(|message| refuse("mnemonic", message))?;
        Signer::from_mnemonic(words.expose()).map_err(|error| refuse("mnemonic", error.to_string()))?
    } else if let Some((wallet, name)) = hotkey.wallet.as_deref().and_then(wallet_parts) {
        let wallets = hotkey.wallet_path.clone().unwrap_or_else(|| PathBuf::from(WALLETS));
        let file = wallets.join(wallet).join("hotkeys").join(name);
        let content = zeroize::Zeroizing::new(resolver.read(&file).map_err(|message| refuse("wallet", message))?);
        Signer::from_keyfile(&content).map_err(|error| refuse("wallet", said(&file, &error)))?
    } else if let Some(uri) = &hotkey.uri {
        Signer::from_uri(&uri.0).map_err(|error| refuse("uri", error.to_string()))?
    } else {
        return Ok(None);
    };
    Ok(Some(Arc::new(signer)))
}

fn said(file: &Path, error: &impl std::fmt::Display) -> String {
    format!("{}: {error}", file.display())
}
