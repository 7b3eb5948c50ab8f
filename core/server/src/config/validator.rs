//! `[validator]`: the hotkey that signs prompts.

use std::fmt;
use std::path::PathBuf;

use btvep_domain::{SecretRef, written};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// `[validator]`: who asks the miners.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidatorConfig {
    /// The hotkey that signs every prompt: exactly one of `mnemonic`, `wallet`, `uri`.
    pub hotkey: HotkeyConfig,
    /// Tells apart several processes that sign with the same hotkey, so that they never make the same nonce.
    #[serde(default)]
    #[schemars(range(max = 1023))]
    pub node_id: u16,
}

/// `validator.hotkey`: where the hotkey's secret is found.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HotkeyConfig {
    /// A BIP39 mnemonic of 12 to 24 words.
    #[schemars(example = &"env:HOTKEY_MNEMONIC")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mnemonic: Option<SecretRef>,
    /// A hotkey of the Bittensor wallet, `WALLET/HOTKEY`. Its key file must be plain, not encrypted.
    #[schemars(example = &"default/default")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wallet: Option<String>,
    /// The folder of the wallets; `~/.bittensor/wallets` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "written::path", example = &"/srv/wallets")]
    pub wallet_path: Option<PathBuf>,
    /// A development key, which everybody knows. Allowed only with `dev = true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = &"//Alice")]
    pub uri: Option<DevUri>,
}

/// A key URI, `//NAME` or `PHRASE//NAME`; shown only when it holds no phrase.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DevUri(pub(crate) String);

impl fmt::Display for DevUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.starts_with("//") && !self.0.contains("///") { &self.0 } else { "***" })
    }
}

impl fmt::Debug for DevUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for DevUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
