//! Request signatures of the Bittensor SDK 11 (btauth/1) over an OpenAI body.
//!
//! Source: `bittensor/http_auth.py` of SDK 11 and its guide "signed requests".

use std::sync::Arc;

use btvep_domain::{Call, Decoder, EncodeError, Encoded, Hotkey, MinerProtocol, Prompt, Stamp};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::openai_body;
use crate::path::{self, InvalidPath};
use crate::signer::Signer;

/// Settings of the protocol `btauth`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BtAuthConfig {
    /// The path at which the miners take prompts, with its query if any; signed exactly as written.
    #[serde(default = "default_path")]
    pub path: String,
}

fn default_path() -> String {
    "/v1/chat/completions".to_owned()
}

impl Default for BtAuthConfig {
    fn default() -> Self {
        Self { path: default_path() }
    }
}

/// The protocol of miners that verify with SDK 11.
#[derive(Debug)]
pub struct BtAuth {
    path: String,
    signer: Arc<Signer>,
    sender: HeaderValue,
}

const VERSION: HeaderName = HeaderName::from_static("x-bittensor-version");
const SENDER: HeaderName = HeaderName::from_static("x-bittensor-hotkey");
const RECEIVER: HeaderName = HeaderName::from_static("x-bittensor-receiver");
const NONCE: HeaderName = HeaderName::from_static("x-bittensor-nonce");
const SIGNATURE: HeaderName = HeaderName::from_static("x-bittensor-signature");

/// What a signature covers.
#[derive(Clone, Copy, Debug)]
pub struct Covered<'a> {
    /// In capitals.
    pub method: &'a str,
    /// Path and query as sent.
    pub target: &'a str,
    /// The body as sent.
    pub body: &'a [u8],
    /// Unix nanoseconds.
    pub nonce: u64,
    /// Who signs.
    pub sender: &'a str,
    /// Who it is for; none leaves it unbound, which servers refuse unless told otherwise.
    pub receiver: Option<&'a str>,
}

/// Returns the text that is signed: eight lines without a trailing line feed.
pub fn canonical_text(covered: &Covered<'_>) -> String {
    let Covered { method, target, body, nonce, sender, receiver } = covered;
    let digest = hex::encode(Sha256::digest(body));
    let receiver = receiver.unwrap_or("-");
    format!("btauth/1\nsr25519\n{method}\n{target}\n{digest}\n{nonce}\n{sender}\n{receiver}")
}

impl BtAuth {
    /// Makes the protocol for a hotkey.
    ///
    /// # Errors
    ///
    /// The path cannot be sent as written.
    pub fn new(config: &BtAuthConfig, signer: Arc<Signer>) -> Result<Self, InvalidPath> {
        path::check(&config.path)?;
        let sender = HeaderValue::from_str(signer.address()).map_err(|_| InvalidPath(config.path.clone()))?;
        Ok(Self { path: config.path.clone(), signer, sender })
    }
}

impl MinerProtocol for BtAuth {
    fn name(&self) -> &'static str {
        "btauth"
    }

    fn can_stream(&self) -> bool {
        true
    }

    fn accepts(&self, _: &Prompt, _: bool) -> Result<(), EncodeError> {
        Ok(())
    }

    fn encode(&self, call: &Call<'_>, stamp: &Stamp) -> Result<Encoded, EncodeError> {
        let body = openai_body::request_body(call);
        let receiver = call.target.hotkey.as_ref().map(Hotkey::to_string);
        let text = canonical_text(&Covered {
            method: "POST",
            target: &self.path,
            body: &body,
            nonce: stamp.nonce,
            sender: self.signer.address(),
            receiver: receiver.as_deref(),
        });
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(VERSION, HeaderValue::from_static("1"));
        headers.insert(SENDER, self.sender.clone());
        headers.insert(NONCE, HeaderValue::from(stamp.nonce));
        headers.insert(SIGNATURE, ascii(self.signer.sign_hex(text.as_bytes()))?);
        if let Some(receiver) = receiver {
            headers.insert(RECEIVER, ascii(receiver)?);
        }
        Ok(Encoded { path: self.path.clone(), headers, body })
    }

    fn decoder(&self, call: &Call<'_>, status: StatusCode, headers: &HeaderMap) -> Box<dyn Decoder> {
        openai_body::decoder(call, status, headers)
    }
}

fn ascii(text: String) -> Result<HeaderValue, EncodeError> {
    HeaderValue::try_from(text).map_err(|error| EncodeError::Signing(error.to_string()))
}

#[cfg(test)]
mod tests;
