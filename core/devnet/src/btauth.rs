use std::collections::{HashSet, VecDeque};

use btvep_domain::Hotkey;
use btvep_protocol::signer;
use http::HeaderMap;
use http::request::Parts;
use sha2::{Digest, Sha256};

/// How old a nonce may be.
const FRESH_NS: u64 = 10_000_000_000;

/// How far ahead of our clock a nonce may be.
const AHEAD_NS: u64 = 2_000_000_000;

/// How long an accepted nonce is remembered.
const REMEMBERED_NS: u64 = 60_000_000_000;

/// Accepted nonces that are remembered at most; the oldest are forgotten first.
const REMEMBERED: usize = 262_144;

/// Why a signed request is refused, in the words of the SDK.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("MalformedAuth: missing or unsupported X-Bittensor-Version (expected '1')")]
    Version,
    #[error("MalformedAuth: missing {0}")]
    Missing(&'static str),
    #[error("MalformedAuth: invalid {0}")]
    Invalid(&'static str),
    #[error("WrongReceiver: missing X-Bittensor-Receiver: this server requires receiver-bound requests")]
    Unbound,
    #[error("WrongReceiver: request was signed for a different receiving hotkey")]
    WrongReceiver,
    #[error("StaleRequest: nonce is older than the 10s freshness window")]
    Stale,
    #[error("StaleRequest: nonce is more than 2s in the future")]
    Future,
    #[error("BadSignature: signature does not verify against the claimed hotkey")]
    BadSignature,
    #[error("ReplayedRequest: this nonce was already accepted from this hotkey")]
    Replayed,
}

/// The accepted nonces of a whole devnet: like the SDK's default store, keyed by the sender alone, not by the receiver.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    seen: HashSet<(Hotkey, u64)>,
    order: VecDeque<(u64, Hotkey, u64)>,
}

/// What the five headers say.
struct Claim {
    sender: Hotkey,
    sender_text: String,
    receiver: String,
    nonce: u64,
    nonce_text: String,
    signature: [u8; signer::SIGNATURE_LENGTH],
}

/// Checks a request as the SDK's verifier does, and remembers its nonce if it is accepted.
///
/// # Errors
///
/// What is wrong with it, in the verifier's order.
pub(crate) fn verify(
    head: &Parts,
    body: &[u8],
    own: &str,
    now_ns: u64,
    replays: &parking_lot::Mutex<Replays>,
) -> Result<(), Refused> {
    let claim = Claim::read(&head.headers)?;
    match claim.receiver.as_str() {
        "" => return Err(Refused::Unbound),
        receiver if receiver != own => return Err(Refused::WrongReceiver),
        _ => {}
    }
    if claim.nonce.saturating_add(FRESH_NS) < now_ns {
        return Err(Refused::Stale);
    }
    if claim.nonce > now_ns.saturating_add(AHEAD_NS) {
        return Err(Refused::Future);
    }
    if !signer::verify(&claim.sender, claim.message(head, body).as_bytes(), &claim.signature) {
        return Err(Refused::BadSignature);
    }
    replays.lock().accept(claim.sender, claim.nonce, now_ns)
}

impl Claim {
    fn read(headers: &HeaderMap) -> Result<Self, Refused> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if text("x-bittensor-version") != Some("1") {
            return Err(Refused::Version);
        }
        let needed = |name: &'static str| text(name).ok_or(Refused::Missing(name));
        let sender_text = needed("x-bittensor-hotkey")?;
        let nonce_text = needed("x-bittensor-nonce")?;
        let signature_text = needed("x-bittensor-signature")?;
        if text("x-bittensor-crypto").is_some_and(|crypto| crypto != "sr25519") {
            return Err(Refused::Invalid("x-bittensor-crypto"));
        }
        let sender = sender_text.parse().map_err(|_| Refused::Invalid("x-bittensor-hotkey"))?;
        let nonce = decimal(nonce_text).ok_or(Refused::Invalid("x-bittensor-nonce"))?;
        let signature = signature(signature_text).ok_or(Refused::Invalid("x-bittensor-signature"))?;
        Ok(Self {
            sender,
            sender_text: sender_text.to_owned(),
            receiver: text("x-bittensor-receiver").unwrap_or_default().to_owned(),
            nonce,
            nonce_text: nonce_text.to_owned(),
            signature,
        })
    }

    /// Returns the signed text: eight lines, the last without an end.
    fn message(&self, head: &Parts, body: &[u8]) -> String {
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        [
            "btauth/1",
            "sr25519",
            head.method.as_str(),
            target,
            &hex::encode(Sha256::digest(body)),
            &self.nonce_text,
            &self.sender_text,
            &self.receiver,
        ]
        .join("\n")
    }
}

/// Reads `0x` and 128 hexadecimal digits.
pub(crate) fn signature(text: &str) -> Option<[u8; signer::SIGNATURE_LENGTH]> {
    let mut bytes = [0; signer::SIGNATURE_LENGTH];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
    Some(bytes)
}

fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl Replays {
    fn accept(&mut self, sender: Hotkey, nonce: u64, now_ns: u64) -> Result<(), Refused> {
        while let Some(&(at, hotkey, old)) = self.order.front() {
            if at.saturating_add(REMEMBERED_NS) >= now_ns && self.order.len() < REMEMBERED {
                break;
            }
            self.order.pop_front();
            self.seen.remove(&(hotkey, old));
        }
        if !self.seen.insert((sender, nonce)) {
            return Err(Refused::Replayed);
        }
        self.order.push_back((now_ns, sender, nonce));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
