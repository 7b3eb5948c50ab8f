//! A hotkey's secret: where it comes from, and the signatures it makes.

mod keyfile;
mod mnemonic;
mod uri;

use std::fmt;
use std::sync::LazyLock;

use btvep_domain::Hotkey;
use schnorrkel::context::SigningContext;
use schnorrkel::{Keypair, MiniSecretKey, PublicKey, Signature};

pub use mnemonic::MnemonicError;

/// Bytes of a signature.
pub const SIGNATURE_LENGTH: usize = 64;

/// Built once: making it hashes the context's name, a tenth of the cost of a signature.
static SUBSTRATE: LazyLock<SigningContext> = LazyLock::new(|| schnorrkel::signing_context(b"substrate"));

/// Why a secret cannot be used. Never repeats any of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The words are not a mnemonic.
    #[error(transparent)]
    Mnemonic(#[from] MnemonicError),
    /// A secret in hex has another size, or is no hex.
    #[error("`{field}` must be `0x` and {digits} hexadecimal digits")]
    Hex {
        /// Which one.
        field: &'static str,
        /// How many digits it has when it is right.
        digits: usize,
    },
    /// The bytes are no sr25519 secret.
    #[error("`{0}` is no sr25519 secret; the file is damaged, restore it from its mnemonic")]
    NotASecret(&'static str),
    /// The key file is encrypted.
    #[error(
        "the key file is encrypted ({0}); a hotkey that signs unattended must be plain: decrypt it with the bittensor \
         wallet (`wallet.hotkey_file.decrypt()`), or configure its mnemonic as a secret"
    )]
    Encrypted(&'static str),
    /// The key file is not the wallet's JSON.
    #[error(
        "the key file is not the JSON of a bittensor wallet (line {line}, column {column}); \
         expected ~/.bittensor/wallets/WALLET/hotkeys/HOTKEY"
    )]
    NotAKeyfile {
        /// Where it stops being one.
        line: usize,
        /// Where it stops being one.
        column: usize,
    },
    /// The key file holds no secret.
    #[error("the key file holds an address only; signing needs its `secretPhrase`, `secretSeed` or `privateKey`")]
    AddressOnly,
    /// The key file's secret is of another kind.
    #[error("the key file's `cryptoType` is {0}; hotkeys that sign for miners are sr25519 (1)")]
    NotSr25519(u64),
    /// The key file's address is that of another key.
    #[error("the key file's `{0}` is not that of its secret; the file is damaged or was edited by hand")]
    OtherKey(&'static str),
    /// The URI has no phrase and no path.
    #[error("a key URI is `PHRASE//hard/soft///PASSWORD`, or `//NAME` for a development key")]
    NotAUri,
}

/// Signs for one hotkey with sr25519, in the signing context `substrate`. Wiped when dropped.
pub struct Signer {
    pair: Keypair,
    address: Box<str>,
}

impl Signer {
    /// Makes the signer of a BIP39 mnemonic by Substrate's rule, without a password.
    ///
    /// # Errors
    ///
    /// The words are no mnemonic.
    pub fn from_mnemonic(phrase: &str) -> Result<Self, SignerError> {
        let mini = mnemonic::mini_secret(phrase, "")?;
        Ok(Self::from_mini_secret(&mini))
    }

    /// Makes the signer of a hotkey file as the bittensor wallet writes it.
    ///
    /// # Errors
    ///
    /// The file is encrypted, damaged, or holds no sr25519 secret.
    pub fn from_keyfile(content: &[u8]) -> Result<Self, SignerError> {
        keyfile::read(content)
    }

    /// Makes the signer of `phrase//hard/soft///password`; `//Alice` alone is the well-known development key.
    ///
    /// # Errors
    ///
    /// The phrase is no mnemonic, or there is none and no path either.
    pub fn from_uri(uri: &str) -> Result<Self, SignerError> {
        uri::derive(uri).map(Self::from_pair)
    }

    /// Makes the signer of a mini secret (`secretSeed`).
    pub(crate) fn from_mini_secret(mini: &MiniSecretKey) -> Self {
        Self::from_pair(mini.expand_to_keypair(MiniSecretKey::ED25519_MODE))
    }

    fn from_pair(pair: Keypair) -> Self {
        let address = Hotkey(pair.public.to_bytes()).to_string().into_boxed_str();
        Self { pair, address }
    }

    /// Returns the public key.
    pub fn hotkey(&self) -> Hotkey {
        Hotkey(self.pair.public.to_bytes())
    }

    /// Returns the hotkey as ss58, made once.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns a signature over the message; each one differs, for sr25519 draws randomness.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.pair.sign(SUBSTRATE.bytes(message)).to_bytes()
    }

    /// Returns a signature over the message as protocols write it: `0x` and 128 hexadecimal digits.
    pub fn sign_hex(&self, message: &[u8]) -> String {
        let mut text = vec![b'0'; 2 + 2 * SIGNATURE_LENGTH];
        if let Some((head, digits)) = text.split_at_mut_checked(2) {
            head.copy_from_slice(b"0x");
            // The slice has exactly the digits' length, so this cannot fail.
            let _ = hex::encode_to_slice(self.sign(message), digits);
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("hotkey", &self.address).finish_non_exhaustive()
    }
}

/// Returns whether the signature is the hotkey's over the message.
pub fn verify(hotkey: &Hotkey, message: &[u8], signature: &[u8; SIGNATURE_LENGTH]) -> bool {
    let (Ok(key), Ok(signature)) = (PublicKey::from_bytes(&hotkey.0), Signature::from_bytes(signature)) else {
        return false;
    };
    key.verify(SUBSTRATE.bytes(message), &signature).is_ok()
}

#[cfg(test)]
mod tests;
