//! What the tests of several protocols need.

use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{
    Call, Decoder, Delta, Encoded, Field, Message, MinerFailure, MinerProtocol, Prompt, Role, Stamp, Target,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::openai_body::Members;

/// A recorded exchange with a real miner.
#[derive(Debug, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) keys: Value,
    pub(crate) signed_message: Option<String>,
    pub(crate) request: Head,
    pub(crate) response: Option<Head>,
}

/// One side of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Head {
    start_line: Option<String>,
    headers: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) body: String,
    pub(crate) terminating_chunk: Option<bool>,
}

impl Recorded {
    pub(crate) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap()
    }

    pub(crate) fn response(&self) -> &Head {
        self.response.as_ref().unwrap()
    }
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn target(&self) -> &str {
        self.start_line.as_deref().unwrap().split(' ').nth(1).unwrap()
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.start_line.as_deref().unwrap().split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header_map(&self) -> HeaderMap {
        let pair = |(name, value): &(String, String)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        self.headers.iter().map(pair).collect()
    }
}

/// A prompt as the OpenAI surface makes it from a body.
pub(crate) fn prompt(body: &str) -> Prompt {
    let members: Members<'_> = serde_json::from_str(body).unwrap();
    let place = |text: &str| text.as_ptr() as usize - body.as_ptr() as usize;
    let fields = members.0.iter().map(|(name, value)| {
        let start = place(value.get());
        Field { name: name.as_ref().into(), value: start..start + value.get().len() }
    });
    let named = |wanted: &str| members.0.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.get());
    let json = |name: &str| named(name).map_or(Value::Null, |text| serde_json::from_str::<Value>(text).unwrap());
    let message = |m: &Value| Message {
        role: Role::from_name(m["role"].as_str().unwrap()).unwrap(),
        text: m["content"].as_str().unwrap_or_default().to_owned(),
        more_than_text: m["content"].is_array(),
    };
    Prompt {
        body: Bytes::copy_from_slice(body.as_bytes()),
        fields: fields.collect(),
        model: json("model").as_str().map(ToOwned::to_owned),
        messages: json("messages").as_array().map(|all| all.iter().map(message).collect()).unwrap_or_default(),
        stream: json("stream").as_bool().unwrap_or(false),
        n: u32::try_from(json("n").as_u64().unwrap_or(1)).unwrap(),
        ..Prompt::default()
    }
}

/// A prompt as the legacy surface makes it.
pub(crate) fn legacy(messages: &[(Role, &str)]) -> Prompt {
    let message = |(role, text): &(Role, &str)| Message { role: *role, text: (*text).into(), more_than_text: false };
    Prompt { messages: messages.iter().map(message).collect(), n: 1, ..Prompt::default() }
}

pub(crate) fn target(hotkey: Option<&str>) -> Target {
    let address = "127.0.0.1:43499".parse().unwrap();
    Target {
        hotkey: hotkey.map(|hotkey| hotkey.parse().unwrap()),
        origin: format!("http://{address}"),
        address: Some(address),
    }
}

pub(crate) fn call<'a>(prompt: &'a Prompt, target: &'a Target, stream: bool) -> Call<'a> {
    Call { prompt, model: "echo", stream, target, timeout: Duration::from_secs(6), reading: 0 }
}

pub(crate) fn stamp(nonce: u64, lane: &str) -> Stamp {
    Stamp { nonce, lane: lane.into(), uuid: Arc::from("u"), now_ms: 0 }
}

pub(crate) fn header<'a>(encoded: &'a Encoded, name: &str) -> &'a str {
    encoded.headers[name].to_str().unwrap()
}

/// An answer as decoded.
pub(crate) type Decoded = Result<Vec<Delta>, MinerFailure>;

/// Decodes the pieces of an answer.
pub(crate) fn decode(decoder: &mut dyn Decoder, pieces: &[&[u8]], clean: bool) -> Decoded {
    let mut deltas = Vec::new();
    for piece in pieces {
        decoder.push(piece, &mut deltas)?;
    }
    decoder.finish(clean, &mut deltas)?;
    Ok(deltas)
}

/// Decodes a recorded answer cut at every byte, and returns the one result that all cuts have in common.
pub(crate) fn decode_at_every_cut(
    protocol: &dyn MinerProtocol,
    call: &Call<'_>,
    response: &Head,
) -> Result<String, MinerFailure> {
    let clean = response.terminating_chunk.unwrap_or(true);
    let headers = response.header_map();
    let run = |pieces: &[&[u8]]| {
        let mut decoder = protocol.decoder(call, response.status(), &headers);
        decode(decoder.as_mut(), pieces, clean).map(|deltas| text(&deltas))
    };
    let body = response.body.as_bytes();
    let whole = run(&[body]);
    for at in 0..=body.len() {
        let (head, tail) = body.split_at(at);
        let cut = run(&[head, tail]);
        let same = match (&whole, &cut) {
            (Ok(a), Ok(b)) => a == b,
            (Err(a), Err(b)) => (a.kind, a.flaw, &a.message) == (b.kind, b.flaw, &b.message),
            _ => false,
        };
        assert!(same, "cut at {at}: {cut:?} instead of {whole:?}");
    }
    whole
}

/// The text of the first choice.
pub(crate) fn text(deltas: &[Delta]) -> String {
    deltas.iter().filter(|delta| delta.choice == 0).map(|delta| delta.content.as_str()).collect()
}
