//! BIP39 phrases by Substrate's rule.

use bip39::{Language, Mnemonic};
use hmac::Hmac;
use schnorrkel::MiniSecretKey;
use sha2::Sha512;
use zeroize::Zeroizing;

const ROUNDS: u32 = 2048;
const MINI_SECRET: usize = 32;

/// What is wrong with the words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MnemonicError {
    /// Too few, too many, or a number in between.
    #[error("a mnemonic has 12, 15, 18, 21 or 24 words, this one has {0}; look for a word that is missing or doubled")]
    WordCount(usize),
    /// A word of no list; counted from 1.
    #[error("word {0} of the mnemonic is not in the English BIP39 list; check its spelling (small letters, no commas)")]
    UnknownWord(usize),
    /// All words are known, but not in this order.
    #[error("the mnemonic's checksum is wrong; check the order of its words, and each word for one that looks like it")]
    Checksum,
}

/// Returns the mini secret of a phrase and its password.
///
/// Substrate stretches the *entropy* behind the words, where plain BIP39 stretches their text.
pub(super) fn mini_secret(phrase: &str, password: &str) -> Result<MiniSecretKey, MnemonicError> {
    let words = Zeroizing::new(phrase.split_whitespace().collect::<Vec<_>>().join(" "));
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, &words).map_err(|error| match error {
        bip39::Error::UnknownWord(place) => MnemonicError::UnknownWord(place + 1),
        bip39::Error::InvalidChecksum => MnemonicError::Checksum,
        _ => MnemonicError::WordCount(phrase.split_whitespace().count()),
    })?;
    let entropy = Zeroizing::new(mnemonic.to_entropy());
    let salt = Zeroizing::new(format!("mnemonic{password}"));
    let mut seed = Zeroizing::new([0_u8; 64]);
    let stretched = pbkdf2::pbkdf2::<Hmac<Sha512>>(&entropy, salt.as_bytes(), ROUNDS, seed.as_mut());
    let mini = seed.first_chunk::<MINI_SECRET>().filter(|_| stretched.is_ok());
    mini.and_then(|bytes| MiniSecretKey::from_bytes(bytes).ok()).ok_or(MnemonicError::Checksum)
}
