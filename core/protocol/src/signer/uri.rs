//! Key URIs with derivation paths: `phrase//hard/soft///password`.

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use schnorrkel::derive::{ChainCode, Derivation};
use schnorrkel::{Keypair, MiniSecretKey};

use super::{SignerError, keyfile, mnemonic};

/// The phrase that every Substrate tool uses when a URI has none.
const DEVELOPMENT: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";

/// Returns the key pair that the URI names.
pub(super) fn derive(uri: &str) -> Result<Keypair, SignerError> {
    let uri = uri.trim();
    let (path, password) = uri.split_once("///").unwrap_or((uri, ""));
    let (phrase, junctions) = path.find('/').map_or((path, ""), |at| path.split_at(at));
    let mini = match phrase.trim() {
        "" if junctions.is_empty() => return Err(SignerError::NotAUri),
        "" => mnemonic::mini_secret(DEVELOPMENT, password)?,
        seed if seed.starts_with("0x") => keyfile::seed("seed", seed)?,
        phrase => mnemonic::mini_secret(phrase, password)?,
    };
    let mut pair = mini.expand_to_keypair(MiniSecretKey::ED25519_MODE);
    let mut rest = junctions;
    while let Some(junction) = rest.strip_prefix('/') {
        let hard = junction.strip_prefix('/');
        let name = hard.unwrap_or(junction);
        let end = name.find('/').unwrap_or(name.len());
        let (name, after) = name.split_at(end);
        if name.is_empty() {
            return Err(SignerError::NotAUri);
        }
        pair = step(&pair, name, hard.is_some());
        rest = after;
    }
    Ok(pair)
}

fn step(pair: &Keypair, name: &str, hard: bool) -> Keypair {
    let code = ChainCode(chain_code(name));
    if hard {
        let (mini, _) = pair.secret.hard_derive_mini_secret_key(Some(code), b"");
        mini.expand_to_keypair(MiniSecretKey::ED25519_MODE)
    } else {
        pair.derived_key_simple(code, b"").0
    }
}

/// Returns a junction's code: a number in little endian, else the SCALE text, hashed when it is too long.
fn chain_code(name: &str) -> [u8; 32] {
    let scale = name.parse::<u64>().map_or_else(|_| scale_text(name), |number| number.to_le_bytes().to_vec());
    let mut code = [0; 32];
    match code.get_mut(..scale.len()) {
        Some(place) => place.copy_from_slice(&scale),
        None => code = Blake2b::<U32>::digest(&scale).into(),
    }
    code
}

/// Returns SCALE's form of a text: its length as a compact integer, then its bytes.
fn scale_text(text: &str) -> Vec<u8> {
    // A name longer than 2^30 bytes cannot come out of a configuration; its code would merely be another one.
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut scale = match length {
        0..0x40 => length.to_le_bytes()[..1].iter().map(|byte| byte << 2).collect(),
        0x40..0x4000 => ((length << 2) | 1).to_le_bytes()[..2].to_vec(),
        _ => ((length << 2) | 2).to_le_bytes().to_vec(),
    };
    scale.extend_from_slice(text.as_bytes());
    scale
}
