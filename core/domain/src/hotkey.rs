use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use blake2::{Blake2b512, Digest};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::written;

/// A neuron's public key (sr25519), or the coldkey that owns it; written as ss58 with prefix 42.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hotkey(pub [u8; 32]);

/// The text is not an ss58 address of prefix 42.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no ss58 address; expected 48 characters that begin with 5")]
pub struct ParseHotkey(String);

const PREFIX: u8 = 42;
const CHECKSUM: usize = 2;

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let digest = Blake2b512::new().chain_update(b"SS58PRE").chain_update(body).finalize();
    let [first, second, ..]: [u8; 64] = digest.into();
    [first, second]
}

/// Characters of a key's text; with this prefix and so many bytes it is always the same number.
const LENGTH: usize = 48;
type Text = [u8; LENGTH];

/// Texts of the keys written lately, by the last byte of the key: a request writes the same key several times, and base
/// 58 takes microseconds.
const REMEMBERED: usize = 256;

thread_local! {
    static TEXTS: RefCell<Vec<Option<(Hotkey, Text)>>> = const { RefCell::new(Vec::new()) };
}

impl Hotkey {
    fn text(self) -> Text {
        let slot = usize::from(self.0[31]);
        TEXTS.with_borrow_mut(|texts| {
            texts.resize(REMEMBERED, None);
            match texts.get_mut(slot) {
                Some(Some((key, text))) if *key == self => *text,
                Some(other) => other.insert((self, self.encode())).1,
                None => self.encode(),
            }
        })
    }

    fn encode(self) -> Text {
        let mut bytes = Vec::with_capacity(1 + 32 + CHECKSUM);
        bytes.push(PREFIX);
        bytes.extend_from_slice(&self.0);
        bytes.extend_from_slice(&checksum(&bytes));
        let mut text = [b'?'; LENGTH];
        // It cannot fail: there is always room.
        let _ = bs58::encode(bytes).onto(text.as_mut_slice());
        text
    }
}

impl fmt::Display for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hotkey {
    type Err = ParseHotkey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseHotkey(text.chars().take(64).collect());
        let bytes = bs58::decode(text).into_vec().map_err(|_| refuse())?;
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM>().ok_or_else(refuse)?;
        match body.split_first() {
            Some((&PREFIX, key)) if *sum == checksum(body) => key.try_into().map(Self).map_err(|_| refuse()),
            _ => Err(refuse()),
        }
    }
}

impl JsonSchema for Hotkey {
    fn schema_name() -> Cow<'static, str> {
        "Hotkey".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        written::text("an ss58 address, 48 characters that begin with 5", "^5[1-9A-HJ-NP-Za-km-z]{47}$")
    }
}

impl Serialize for Hotkey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hotkey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alice_has_her_known_address() {
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        let key: Hotkey = alice.parse().unwrap();
        assert_eq!(key.0[..4], [0xd4, 0x35, 0x93, 0xc7]);
        assert_eq!(key.to_string(), alice);
    }

    #[test]
    fn every_text_has_the_same_length_and_leads_back_to_its_key() {
        for last in [0, 1, 0, 255] {
            for first in [0, 1, 127, 255] {
                let mut bytes = [first; 32];
                bytes[31] = last;
                let text = Hotkey(bytes).to_string();
                assert_eq!(text.len(), LENGTH);
                assert_eq!(text.parse::<Hotkey>().unwrap(), Hotkey(bytes));
            }
        }
    }

    #[test]
    fn a_typing_error_is_found() {
        assert!("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ".parse::<Hotkey>().is_err());
        assert!("".parse::<Hotkey>().is_err());
    }
}
