use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Credits, RateRule, Secret, StoreError};

/// The public half of an API key: base62, shown in lists and logs. A key reads `btvep_<id>_<secret>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KeyId::LEN]);

/// The text is no key id.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no key id; expected {len} letters and digits as `btvep key list` shows them", len = KeyId::LEN)]
pub struct ParseKeyId(String);

impl KeyId {
    /// Length in characters.
    pub const LEN: usize = 12;

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        // Built from ASCII letters and digits only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for KeyId {
    type Err = ParseKeyId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match <[u8; Self::LEN]>::try_from(text.as_bytes()) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_alphanumeric) => Ok(Self(bytes)),
            _ => Err(ParseKeyId(text.chars().take(24).collect())),
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An API key as the request path sees it: who it is and what it may do. Never holds the secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// The owner's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// A disabled key is refused.
    pub enabled: bool,
    /// Unix time in seconds after which it is refused; none means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<i64>,
    /// Unix time in seconds.
    pub created_at: i64,
    /// Unix time in seconds.
    pub updated_at: i64,
    /// What differs from the defaults; most keys have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Box<KeyPolicy>>,
}

impl Key {
    /// Checks that it may be used at `now` (unix seconds).
    ///
    /// # Errors
    ///
    /// It is disabled or has expired.
    pub fn check(&self, now: i64) -> Result<(), AuthFailure> {
        if !self.enabled {
            return Err(AuthFailure::Disabled);
        }
        match self.valid_until {
            Some(at) if now >= at => Err(AuthFailure::Expired { at }),
            _ => Ok(()),
        }
    }
}

/// What a key may do beyond the defaults. Every field absent means: as configured for all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyPolicy {
    /// Rules of its own instead of the global defaults; an empty list means no rate limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limits: Option<Vec<RateRule>>,
    /// Requests in flight at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// The strategy when a request names none, such as `top_n:5` or `uids:1,2,3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_query_strategy: Option<String>,
    /// Models it may use; absent means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Strategies it may name; absent means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategies: Option<Vec<String>>,
    /// The most miners one request may ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_top_n: Option<u16>,
    /// What the request log keeps of its prompts and answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentPolicy>,
    /// How its prompts are moderated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moderation: Option<ModerationMode>,
    /// Whether it may ask how an answer came about (`x-btvep-explain`); absent means no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<bool>,
}

/// What a log row keeps of prompt and answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContentPolicy {
    /// Times, sizes, status, miners: no text and no hash of it.
    #[default]
    Meta,
    /// Also SHA-256 of prompt and answer.
    Hash,
    /// Also the texts.
    Full,
    /// No row at all; the charge record remains.
    None,
}

/// What moderation does with a prompt, and with its own failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModerationMode {
    /// Not asked.
    #[default]
    Off,
    /// Asked and noted in the row, never refused.
    Monitor,
    /// Flagged prompts are refused; a moderation that cannot answer lets the prompt pass.
    FailOpen,
    /// Flagged prompts are refused; a moderation that cannot answer refuses the prompt (503).
    FailClosed,
}

/// What a new key shall be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewKey {
    /// The owner's name for it.
    pub name: Option<String>,
    /// Starting balance; absent means unlimited.
    pub credits: Option<Credits>,
    /// Unix time in seconds; absent means never.
    pub valid_until: Option<i64>,
    /// Created disabled.
    pub disabled: bool,
    /// What differs from the defaults.
    pub policy: KeyPolicy,
}

/// A change of a key: what is absent stays; an inner none clears the field (in JSON: null).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyEdit {
    /// New name.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub name: Option<Option<String>>,
    /// New balance (`null` = unlimited). Credits held by requests in flight stay held.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub credits: Option<Option<Credits>>,
    /// New expiry, unix seconds (`null` = never).
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Option<i64>>,
    /// Enable or disable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Replaces the whole policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<KeyPolicy>,
}

fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

/// Why a presented key is refused.
#[derive(Debug, thiserror::Error)]
pub enum AuthFailure {
    /// No such key, or its secret is another.
    #[error("the API key is unknown")]
    Unknown,
    /// The owner disabled it.
    #[error("the API key is disabled")]
    Disabled,
    /// It has expired.
    #[error("the API key has expired")]
    Expired {
        /// Unix time in seconds.
        at: i64,
    },
    /// The store cannot tell.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Comes once a key is no longer what it was: as it is now, or none when it was deleted.
pub type KeyWatch = Pin<Box<dyn Future<Output = Option<Arc<Key>>> + Send>>;

/// The API keys.
///
/// An implementation keeps only a keyed hash of each secret, compares in constant time, does no I/O to
/// authenticate a key it knows, bounds what unknown ids can make it remember, and forgets a deleted or
/// disabled key within a second everywhere.
#[async_trait]
pub trait Keys: Send + Sync + fmt::Debug {
    /// Returns the key that was presented (`btvep_<id>_<secret>`), if it may be used at `now` (unix seconds).
    async fn authenticate(&self, presented: &Secret, now: i64) -> Result<Arc<Key>, AuthFailure>;
    /// Returns what tells within a second, wherever the change was made, that `key`, as it was last told, is no longer
    /// what it was; at once when it has changed since. Does no I/O; dropped, it leaves nothing behind.
    fn watch(&self, key: &Arc<Key>) -> KeyWatch;
    /// Makes a key with its account; the secret is in the returned text, once.
    async fn create(&self, new: NewKey, now: i64) -> Result<(Arc<Key>, Secret), StoreError>;
    /// Returns a key, or none.
    async fn get(&self, id: KeyId) -> Result<Option<Arc<Key>>, StoreError>;
    /// Returns up to `limit` keys in the order of their ids, after `after`.
    async fn list(&self, after: Option<KeyId>, limit: usize) -> Result<Vec<Arc<Key>>, StoreError>;
    /// Changes a key; none when it does not exist. Durable when it returns.
    async fn edit(&self, id: KeyId, edit: KeyEdit, now: i64) -> Result<Option<Arc<Key>>, StoreError>;
    /// Deletes a key and its account; false when it does not exist. Its charge records stay.
    async fn delete(&self, id: KeyId) -> Result<bool, StoreError>;
}
