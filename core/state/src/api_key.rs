//! The text of an API key, `btvep_<id>_<secret>`, and the keyed hash that is kept of it.

use std::fmt;

use btvep_domain::{KeyId, Secret};
use hmac::{Hmac, Mac};
use rand::Rng;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::accounting::Digest;

const PREFIX: &str = "btvep_";
/// Characters of a new secret: 43 of base62 carry 256 bits.
const SECRET_CHARS: usize = 43;
/// Longer secrets are nobody's.
const MAX_SECRET_CHARS: usize = 128;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key as presented: `<id>_<secret>`, its form checked.
pub(crate) struct Presented<'a> {
    id: KeyId,
    text: &'a str,
}

/// The server's own secret: without it the kept hashes say nothing about the keys.
#[derive(Clone)]
pub(crate) struct Pepper {
    // With the key's block already mixed in, which saves half the work of each check.
    mac: Hmac<Sha256>,
    id: String,
}

impl<'a> Presented<'a> {
    /// Returns the parts of a key's text, none if it has not the form of one.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix(PREFIX)?;
        let (id, secret) = text.split_once('_')?;
        let fits = (SECRET_CHARS..=MAX_SECRET_CHARS).contains(&secret.len());
        (fits && secret.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(Self { id: id.parse().ok()?, text })
    }

    pub(crate) const fn id(&self) -> KeyId {
        self.id
    }
}

impl Pepper {
    /// Takes the secret bytes; any length will do, 32 random ones are best.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mac = Hmac::<Sha256>::new_from_slice(bytes).expect("any length fits");
        let name = mac.clone().chain_update(b"btvep pepper id").finalize().into_bytes();
        let id = hex::encode(name.get(..8).unwrap_or_default());
        Self { mac, id }
    }

    /// Returns its public name, which tells peppers apart and nothing else.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the hash to keep of a key. It covers the id too, so no hash can be moved to another key.
    pub(crate) fn digest(&self, presented: &Presented<'_>) -> Digest {
        self.mac.clone().chain_update(presented.text.as_bytes()).finalize().into_bytes().into()
    }

    /// Compares in constant time.
    pub(crate) fn matches(&self, presented: &Presented<'_>, digest: &Digest) -> bool {
        self.digest(presented).ct_eq(digest).into()
    }

    /// Returns a new key's id, its text and the hash to keep.
    pub(crate) fn new_key(&self, is_taken: impl Fn(KeyId) -> bool) -> (KeyId, Secret, Digest) {
        loop {
            let (id, secret) = (base62(KeyId::LEN), base62(SECRET_CHARS));
            let text = Secret::new(format!("{PREFIX}{id}_{secret}"));
            if let Some(presented) = Presented::parse(text.expose()).filter(|presented| !is_taken(presented.id())) {
                let (id, digest) = (presented.id(), self.digest(&presented));
                return (id, text, digest);
            }
        }
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper({})", self.id)
    }
}

/// Returns random text from a generator fit for secrets.
fn base62(chars: usize) -> String {
    let mut random = rand::rng();
    (0..chars).filter_map(|_| BASE62.get(random.random_range(0..BASE62.len())).map(|byte| char::from(*byte))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_matches_its_hash_and_no_other_does() {
        let (pepper, other) = (Pepper::new(b"one"), Pepper::new(b"two"));
        let (id, text, digest) = pepper.new_key(|_| false);
        let presented = Presented::parse(text.expose()).unwrap();
        assert_eq!(presented.id(), id);
        assert!(pepper.matches(&presented, &digest));
        assert!(!other.matches(&presented, &digest));
        let changed = format!("{}x", text.expose());
        assert!(!pepper.matches(&Presented::parse(&changed).unwrap(), &digest));
    }

    #[test]
    fn what_has_not_the_form_of_a_key_is_not_looked_up() {
        let secret = "s".repeat(43);
        let long = "s".repeat(129);
        for text in ["", "btvep_", "btvep__", "btvep_short_x"].map(str::to_owned).into_iter().chain([
            format!("btvep_abcdefghijkl_{}", &secret[1..]),
            format!("btvep_abcdefghijkl_{long}"),
            format!("btvep_abcdefghijk_{secret}"),
            format!("btvep_abcdefghijkl_{secret}_"),
            format!("sk_abcdefghijkl_{secret}"),
        ]) {
            assert!(Presented::parse(&text).is_none(), "{text}");
        }
        assert!(Presented::parse(&format!("btvep_abcdefghijkl_{secret}")).is_some());
    }
}
