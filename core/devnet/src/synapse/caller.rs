use std::collections::{HashMap, VecDeque};

use btvep_domain::Hotkey;
use btvep_protocol::signer;
use http::HeaderMap;
use parking_lot::Mutex;

use crate::btauth::signature;

/// Freshness beyond the caller's own timeout.
const ALLOWED_NS: f64 = 4e9;

/// From this version on the axon looks at a nonce's age.
const FRESHNESS_SINCE: u64 = 7_002_000;

/// Lanes that a miner remembers at most; the oldest are forgotten first. The SDK forgets none.
const LANES: usize = 65_536;

/// A header is missing or unreadable; the axon calls all of them an internal error.
#[derive(Debug)]
pub(crate) struct BadHeader;

/// Why the default verification refuses, in the words of the SDK.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Unverified {
    #[error("No SS58 formatted address or public key provided.")]
    NoAddress,
    #[error("Missing Nonce")]
    NoNonce,
    #[error("Missing Signature")]
    NoSignature,
    #[error("Nonce is too old: acceptable delta is {allowed_s:.2} seconds but request was {age_s:.2} seconds old")]
    TooOld { allowed_s: f64, age_s: f64 },
    #[error("Nonce is too old, a newer one was last processed")]
    NotRising,
    #[error("Signature mismatch with {message} and {signature}")]
    Mismatch { message: String, signature: String },
}

/// The last accepted nonce of each `hotkey:uuid`.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    last: HashMap<String, u64>,
    order: VecDeque<String>,
}

/// What a request's headers say of its sender.
#[derive(Debug)]
pub(crate) struct Caller {
    hotkey: Option<String>,
    uuid: Option<String>,
    nonce: Option<u64>,
    signature: Option<String>,
    version: Option<u64>,
    timeout: String,
    timeout_s: f64,
    /// The hash that the signature covers.
    pub(crate) body_hash: String,
}

impl Caller {
    /// Reads the headers; `inputs` are the synapse's required fields.
    ///
    /// # Errors
    ///
    /// One that the axon cannot do without is missing, or a number is none.
    pub(crate) fn read(headers: &HeaderMap, inputs: &[&str]) -> Result<Self, BadHeader> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().map_err(|_| BadHeader)).transpose();
        let owned = |name: &str| Ok(text(name)?.map(str::to_owned));
        let number = |name: &str| text(name)?.map(|value| value.parse().map_err(|_| BadHeader)).transpose();
        let has_inputs = inputs.iter().all(|field| headers.contains_key(format!("bt_header_input_obj_{field}")));
        let is_json = text("content-type")?.is_some_and(|kind| kind.starts_with("application/json"));
        if !has_inputs || !is_json {
            return Err(BadHeader);
        }
        let timeout = text("timeout")?.unwrap_or("12.0").to_owned();
        Ok(Self {
            hotkey: owned("bt_header_dendrite_hotkey")?,
            uuid: owned("bt_header_dendrite_uuid")?,
            nonce: number("bt_header_dendrite_nonce")?,
            signature: owned("bt_header_dendrite_signature")?,
            version: number("bt_header_dendrite_version")?,
            timeout_s: timeout.parse().map_err(|_| BadHeader)?,
            timeout,
            body_hash: text("computed_body_hash")?.unwrap_or_default().to_owned(),
        })
    }

    /// Returns the timeout as the caller wrote it.
    pub(crate) fn timeout_text(&self) -> &str {
        &self.timeout
    }

    /// Checks the signature as SDK 10.5 does by default, and remembers the nonce if it is accepted.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in the SDK's order.
    pub(crate) fn verify(&self, own: &str, now_ns: u64, lanes: &Mutex<Lanes>) -> Result<(), Unverified> {
        let hotkey = self.hotkey.as_deref().ok_or(Unverified::NoAddress)?;
        let key: Hotkey = hotkey.parse().map_err(|_| Unverified::NoAddress)?;
        let nonce = self.nonce.ok_or(Unverified::NoNonce)?;
        // Python prints the uuid that is not there.
        let uuid = self.uuid.as_deref().unwrap_or("None");
        let lane = format!("{hotkey}:{uuid}");
        let mut lanes = lanes.lock();
        match lanes.last.get(&lane) {
            Some(last) if nonce <= *last => return Err(Unverified::NotRising),
            Some(_) => {}
            None => self.check_age(nonce, now_ns)?,
        }
        let given = self.signature.as_deref().ok_or(Unverified::NoSignature)?;
        let message = format!("{nonce}.{hotkey}.{own}.{uuid}.{}", self.body_hash);
        if !signature(given).is_some_and(|given| signer::verify(&key, message.as_bytes(), &given)) {
            return Err(Unverified::Mismatch { message, signature: given.to_owned() });
        }
        lanes.accept(lane, nonce);
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds for a message; the window is whole seconds wide")]
    fn check_age(&self, nonce: u64, now_ns: u64) -> Result<(), Unverified> {
        if self.version.is_none_or(|version| version < FRESHNESS_SINCE) {
            return Ok(());
        }
        let allowed = ALLOWED_NS + self.timeout_s * 1e9;
        let age = now_ns as f64 - nonce as f64;
        if age >= allowed {
            return Err(Unverified::TooOld { allowed_s: allowed / 1e9, age_s: age / 1e9 });
        }
        Ok(())
    }
}

impl Lanes {
    fn accept(&mut self, lane: String, nonce: u64) {
        if let Some(last) = self.last.get_mut(&lane) {
            *last = nonce;
            return;
        }
        if self.order.len() == LANES
            && let Some(oldest) = self.order.pop_front()
        {
            self.last.remove(&oldest);
        }
        self.order.push_back(lane.clone());
        self.last.insert(lane, nonce);
    }
}

#[cfg(test)]
#[path = "caller_tests.rs"]
mod tests;
