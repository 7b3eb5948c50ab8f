//! An upstream that speaks OpenAI's API, behind a bearer key: Chutes, Targon, vLLM, a model of one's own.

use btvep_domain::{Call, Decoder, EncodeError, Encoded, MinerProtocol, Prompt, Secret, Stamp};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::discreet::Discreet;
use crate::openai_body;
use crate::path::{self, InvalidPath};

/// The protocol of upstreams.
#[derive(Debug)]
pub struct OpenAi {
    path: String,
    /// Marked sensitive, so that no `Debug` shows it.
    bearer: Option<HeaderValue>,
}

/// An upstream's settings cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenAiError {
    /// The base URL's path.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// The key has characters that a header cannot carry.
    #[error(
        "the key is empty or holds characters that cannot be sent, such as a line break; check where it comes from"
    )]
    Key,
}

impl OpenAi {
    /// Makes the protocol for a base URL's path (`/v1`, or empty) and a key; without one nothing is sent.
    ///
    /// # Errors
    ///
    /// The path or the key cannot be sent.
    pub fn new(base_path: &str, key: Option<&Secret>) -> Result<Self, OpenAiError> {
        let path = format!("{}/chat/completions", base_path.trim_end_matches('/'));
        path::check(&path)?;
        Ok(Self { path, bearer: key.map(bearer).transpose()? })
    }
}

fn bearer(key: &Secret) -> Result<HeaderValue, OpenAiError> {
    let key = key.expose();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(OpenAiError::Key);
    }
    let text = zeroize::Zeroizing::new(format!("Bearer {key}"));
    let mut value = HeaderValue::from_str(&text).map_err(|_| OpenAiError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

impl MinerProtocol for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn can_stream(&self) -> bool {
        true
    }

    fn accepts(&self, _: &Prompt, _: bool) -> Result<(), EncodeError> {
        Ok(())
    }

    fn encode(&self, call: &Call<'_>, _: &Stamp) -> Result<Encoded, EncodeError> {
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(bearer) = &self.bearer {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
        Ok(Encoded { path: self.path.clone(), headers, body: openai_body::request_body(call) })
    }

    fn decoder(&self, call: &Call<'_>, status: StatusCode, headers: &HeaderMap) -> Box<dyn Decoder> {
        let decoder = openai_body::decoder(call, status, headers);
        match &self.bearer {
            Some(bearer) => Box::new(Discreet::new(decoder, bearer.clone())),
            None => decoder,
        }
    }
}
