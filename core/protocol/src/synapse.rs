//! Axons of the Bittensor SDK up to version 10: a Python class by name, its fields, and a hash over some of them.
//!
//! Source: `bittensor/core/{synapse,dendrite,axon,stream}.py` of SDK 10, and what its miners were seen to accept.

mod answer;
mod config;
mod fields;

use std::net::IpAddr;
use std::sync::Arc;

use btvep_domain::{Call, Decoder, EncodeError, Encoded, Flaw, Hotkey, MinerProtocol, Prompt, Stamp};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use sha3::{Digest, Sha3_256};

use crate::error_answer::ErrorAnswer;
use crate::python_repr::{Python, float_repr};
use crate::signer::Signer;

pub use config::{Mapping, SynapseConfig, SynapsePreset};
pub use fields::SynapseError;

use fields::Fields;

/// The SDK version that we say we are: the last one with this protocol. Axons check freshness from 7.2 on.
const VERSION: u32 = 10_005_000;

/// The Pythons whose reading of a text is tried, likeliest first: most axons were installed with 3.10 to 3.12, and 3.11
/// agrees with its neighbours on more characters than they with each other.
const READINGS: [Python; 4] = [Python::V3_11, Python::V3_12, Python::V3_10, Python::V3_13];

const NONCE: HeaderName = HeaderName::from_static("bt_header_dendrite_nonce");
const LANE: HeaderName = HeaderName::from_static("bt_header_dendrite_uuid");
const SIGNATURE: HeaderName = HeaderName::from_static("bt_header_dendrite_signature");
const AXON: HeaderName = HeaderName::from_static("bt_header_axon_hotkey");
const AXON_IP: HeaderName = HeaderName::from_static("bt_header_axon_ip");
const AXON_PORT: HeaderName = HeaderName::from_static("bt_header_axon_port");
const BODY_HASH: HeaderName = HeaderName::from_static("computed_body_hash");
const TIMEOUT: HeaderName = HeaderName::from_static("timeout");

/// The protocol of axons.
#[derive(Debug)]
pub struct Synapse {
    fields: Fields,
    signer: Arc<Signer>,
    path: String,
    /// The headers that are the same in every request.
    fixed: HeaderMap,
}

impl Synapse {
    /// Makes the protocol for a hotkey.
    ///
    /// # Errors
    ///
    /// The settings contradict one another.
    pub fn new(config: &SynapseConfig, signer: Arc<Signer>) -> Result<Self, SynapseError> {
        let fields = Fields::new(config)?;
        let mut fixed = HeaderMap::with_capacity(24);
        let refused = |name: &str| SynapseError::Name { key: "required_fields", name: name.to_owned() };
        let mut fix = |name: &str, value: &str| {
            let name = HeaderName::try_from(name).map_err(|_| refused(name))?;
            let value = HeaderValue::try_from(value).map_err(|_| refused(value))?;
            fixed.insert(name, value);
            Ok(())
        };
        fix(CONTENT_TYPE.as_str(), "application/json")?;
        fix("name", &fields.class)?;
        fix("bt_header_dendrite_version", &VERSION.to_string())?;
        fix("bt_header_dendrite_hotkey", signer.address())?;
        // Sizes of Python objects: any integer will do.
        fix("header_size", "0")?;
        fix("total_size", "0")?;
        for (field, empty) in fields.required_headers() {
            fix(&format!("bt_header_input_obj_{field}"), &empty)?;
        }
        let path = format!("/{}", fields.class);
        Ok(Self { fields, signer, path, fixed })
    }

    /// Returns the text that is signed.
    fn signed_text(&self, axon: &str, stamp: &Stamp, body_hash: &str) -> String {
        format!("{}.{}.{axon}.{}.{body_hash}", stamp.nonce, self.signer.address(), stamp.lane)
    }

    /// Returns the whole synapse as JSON.
    ///
    /// Only the class's own fields are needed, but a miner's `forward` sees the sender of the body, not of the headers.
    fn body(&self, call: &Call<'_>, stamp: &Stamp, axon: &str, signature: &str) -> Vec<u8> {
        let address = call.target.address;
        let head = Head {
            name: &self.fields.class,
            timeout: call.timeout.as_secs_f64(),
            total_size: 0,
            header_size: 0,
            dendrite: Terminal {
                version: Some(VERSION),
                nonce: Some(stamp.nonce),
                uuid: Some(&stamp.lane),
                hotkey: Some(self.signer.address()),
                signature: Some(signature),
                ..Terminal::default()
            },
            axon: Terminal {
                ip: address.map(|address| address.ip()),
                port: address.map(|address| address.port()),
                hotkey: Some(axon),
                ..Terminal::default()
            },
            computed_body_hash: "",
        };
        let mut body = serde_json::to_vec(&head).unwrap_or_default();
        // The head is an object: its last byte is the brace that the fields stand before.
        body.pop();
        self.fields.write(&mut body, call.prompt);
        body.push(b'}');
        body
    }
}

/// What every synapse's body begins with.
#[derive(Serialize)]
struct Head<'a> {
    name: &'a str,
    timeout: f64,
    total_size: u32,
    header_size: u32,
    dendrite: Terminal<'a>,
    axon: Terminal<'a>,
    computed_body_hash: &'a str,
}

/// One side of the exchange; axons want every key, also of what is not known.
#[derive(Default, Serialize)]
struct Terminal<'a> {
    status_code: Option<u16>,
    status_message: Option<&'a str>,
    process_time: Option<f64>,
    ip: Option<IpAddr>,
    port: Option<u16>,
    version: Option<u32>,
    nonce: Option<u64>,
    uuid: Option<&'a str>,
    hotkey: Option<&'a str>,
    signature: Option<&'a str>,
}

/// Returns the hash of the hashes of the texts.
fn body_hash(texts: impl IntoIterator<Item = String>) -> String {
    let mut outer = Sha3_256::new();
    for text in texts {
        outer.update(hex::encode(Sha3_256::digest(text)));
    }
    hex::encode(outer.finalize())
}

/// Returns the Python for a reading; an unknown one is the default.
fn python(reading: u8) -> Python {
    READINGS.get(usize::from(reading)).copied().unwrap_or(Python::V3_11)
}

impl MinerProtocol for Synapse {
    fn name(&self) -> &'static str {
        "synapse"
    }

    fn can_stream(&self) -> bool {
        self.fields.streams
    }

    fn accepts(&self, prompt: &Prompt, strict: bool) -> Result<(), EncodeError> {
        if prompt.messages.iter().any(|message| message.more_than_text) {
            return Err(EncodeError::TextOnly);
        }
        if strict { fields::refuse_parameters(prompt) } else { Ok(()) }
    }

    fn encode(&self, call: &Call<'_>, stamp: &Stamp) -> Result<Encoded, EncodeError> {
        let hotkey = call.target.hotkey.as_ref().map(Hotkey::to_string);
        let axon = hotkey.ok_or_else(|| EncodeError::Signing("the miner's hotkey is not known".to_owned()))?;
        let hash = body_hash(self.fields.hashed(call.prompt, python(call.reading)));
        let signature = self.signer.sign_hex(self.signed_text(&axon, stamp, &hash).as_bytes());
        let body = self.body(call, stamp, &axon, &signature).into();

        let mut headers = self.fixed.clone();
        headers.insert(TIMEOUT, value(float_repr(call.timeout.as_secs_f64()))?);
        headers.insert(NONCE, HeaderValue::from(stamp.nonce));
        headers.insert(LANE, value(stamp.lane.to_string())?);
        headers.insert(AXON, value(axon)?);
        headers.insert(SIGNATURE, value(signature)?);
        headers.insert(BODY_HASH, value(hash)?);
        if let Some(address) = call.target.address {
            headers.insert(AXON_IP, value(address.ip().to_string())?);
            headers.insert(AXON_PORT, HeaderValue::from(address.port()));
        }
        Ok(Encoded { path: self.path.clone(), headers, body })
    }

    fn decoder(&self, call: &Call<'_>, status: StatusCode, headers: &HeaderMap) -> Box<dyn Decoder> {
        if status.is_success() {
            return answer::decoder(&self.fields.answer, self.fields.streams, headers);
        }
        // An axon says 500 for a hash that it reads otherwise, just as for a miner's own failure.
        let rereads = status == StatusCode::INTERNAL_SERVER_ERROR && self.next_reading(call, &[call.reading]).is_some();
        Box::new(ErrorAnswer::new(status, if rereads { Flaw::Reread } else { Flaw::Miner }))
    }

    fn next_reading(&self, call: &Call<'_>, tried: &[u8]) -> Option<u8> {
        if !call.prompt.messages.iter().any(|message| crate::python_repr::is_version_dependent(&message.text)) {
            return None;
        }
        let texts = |reading| self.fields.hashed(call.prompt, python(reading)).collect::<Vec<_>>();
        let sent: Vec<_> = tried.iter().map(|reading| texts(*reading)).collect();
        (0_u8..).take(READINGS.len()).find(|reading| !sent.contains(&texts(*reading)))
    }
}

fn value(text: String) -> Result<HeaderValue, EncodeError> {
    HeaderValue::try_from(text).map_err(|error| EncodeError::Signing(error.to_string()))
}

#[cfg(test)]
mod tests;
