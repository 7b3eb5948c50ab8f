//! Names a content by its SHA-256.

use std::fmt;

use sha2::{Digest, Sha256};

/// The SHA-256 of a content; shown by its first 12 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Returns that of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns that of several contents, in their order.
    pub fn of_all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut hash = Sha256::new();
        for Self(part) in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_by_twelve_hex_digits_of_sha_256() {
        assert_eq!(Fingerprint::of(b"abc").to_string(), "ba7816bf8f01");
    }

    #[test]
    fn what_stands_where_matters() {
        let all = |parts: &[&str]| Fingerprint::of_all(parts.iter().map(|part| Fingerprint::of(part.as_bytes())));
        assert_ne!(all(&["ab", "c"]), all(&["a", "bc"]));
        assert_ne!(all(&["a", "b"]), all(&["b", "a"]));
        assert_eq!(all(&["a", "b"]), all(&["a", "b"]));
    }
}
