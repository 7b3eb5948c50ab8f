//! Hotkey files of the bittensor wallet: one JSON object, any of its secrets may be missing.

use schnorrkel::{MiniSecretKey, SecretKey};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Signer, SignerError, mnemonic};

const SR25519: u64 = 1;

/// How encrypted files begin.
const ENCRYPTED: [(&str, &str); 3] =
    [("$NACL", "NaCl"), ("$ANSIBLE_VAULT", "Ansible Vault"), ("gAAAAA", "Fernet, written by an old wallet")];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keyfile {
    secret_phrase: Option<Zeroizing<String>>,
    secret_seed: Option<Zeroizing<String>>,
    private_key: Option<Zeroizing<String>>,
    ss58_address: Option<String>,
    public_key: Option<String>,
    // Absent in files of wallets before 4.0, which knew sr25519 only.
    crypto_type: Option<u64>,
}

/// Reads a key file; the first secret in the reference reader's order counts.
pub(super) fn read(content: &[u8]) -> Result<Signer, SignerError> {
    let content = content.trim_ascii();
    if let Some((_, kind)) = ENCRYPTED.iter().find(|(mark, _)| content.starts_with(mark.as_bytes())) {
        return Err(SignerError::Encrypted(kind));
    }
    // The parser's own message may repeat what it read, so only the place is kept.
    let file: Keyfile = serde_json::from_slice(content)
        .map_err(|error| SignerError::NotAKeyfile { line: error.line(), column: error.column() })?;
    if let Some(kind) = file.crypto_type.filter(|kind| *kind != SR25519) {
        return Err(SignerError::NotSr25519(kind));
    }
    let signer = file.signer()?;
    file.check(&signer)?;
    Ok(signer)
}

impl Keyfile {
    fn signer(&self) -> Result<Signer, SignerError> {
        let given = |secret: &Option<Zeroizing<String>>| secret.clone().filter(|text| !text.trim().is_empty());
        if let Some(phrase) = given(&self.secret_phrase) {
            return Ok(Signer::from_mini_secret(&mnemonic::mini_secret(&phrase, "")?));
        }
        let private_key = given(&self.private_key);
        if let Some(text) = given(&self.secret_seed) {
            match (seed("secretSeed", &text), &private_key) {
                (Ok(mini), _) => return Ok(Signer::from_mini_secret(&mini)),
                // Wallet 4.1 writes the seed of a key made from a seed as raw bytes, not as hex.
                (Err(_), Some(_)) => {}
                (Err(error), None) => return Err(error),
            }
        }
        let text = private_key.ok_or(SignerError::AddressOnly)?;
        let bytes = from_hex::<64>("privateKey", &text)?;
        let secret = SecretKey::from_bytes(bytes.as_ref()).map_err(|_| SignerError::NotASecret("privateKey"))?;
        Ok(Signer::from_pair(secret.to_keypair()))
    }

    /// A file whose address is not its secret's would sign as somebody its owner does not expect.
    fn check(&self, signer: &Signer) -> Result<(), SignerError> {
        if self.ss58_address.as_deref().is_some_and(|address| address != signer.address()) {
            return Err(SignerError::OtherKey("ss58Address"));
        }
        let public = self.public_key.as_deref().map(|text| text.strip_prefix("0x").unwrap_or(text));
        if public.is_some_and(|text| !text.eq_ignore_ascii_case(&hex::encode(signer.hotkey().0))) {
            return Err(SignerError::OtherKey("publicKey"));
        }
        Ok(())
    }
}

/// Reads a mini secret in hex.
pub(super) fn seed(field: &'static str, text: &str) -> Result<MiniSecretKey, SignerError> {
    let bytes = from_hex::<32>(field, text)?;
    MiniSecretKey::from_bytes(bytes.as_ref()).map_err(|_| SignerError::NotASecret(field))
}

fn from_hex<const N: usize>(field: &'static str, text: &str) -> Result<Zeroizing<[u8; N]>, SignerError> {
    let text = text.trim();
    let mut bytes = Zeroizing::new([0; N]);
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), bytes.as_mut())
        .map_err(|_| SignerError::Hex { field, digits: 2 * N })?;
    Ok(bytes)
}
