//! What a request says of itself before its body is read.

mod client;
mod credential;
mod route;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use btvep_domain::{Kind, Prompt, Rejection, Surface};
use btvep_engine::{Attribution, Incoming, Place};
use http::{HeaderMap, header};
use pingora::protocols::http::ServerSession;

use crate::GatewayConfig;
use crate::refused::Refused;

pub(crate) use credential::credential;
pub(crate) use route::{NoRoute, Route};

/// A strategy and its arguments are never longer.
const STRATEGY: usize = 1024;

/// One request, as long as it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `req_…`.
    pub(crate) id: Arc<str>,
    /// Unix milliseconds when its head was read.
    pub(crate) at_ms: i64,
    /// When its head was read.
    pub(crate) at: Instant,
    /// Whose manners the answer has.
    pub(crate) surface: Surface,
    /// Label of its route in metrics.
    pub(crate) label: &'static str,
    /// Whether a browser asks, from another site.
    pub(crate) cross_origin: bool,
    /// Who was turned away last on this connection.
    pub(crate) refused: Option<Refused>,
    /// What was current when its head was read.
    pub(crate) settings: Arc<GatewayConfig>,
}

impl Asked {
    /// Begins a request whose head was just read.
    pub(crate) fn now(headers: &HeaderMap, settings: Arc<GatewayConfig>) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            id: request_id(since),
            at_ms: since.as_millis().try_into().unwrap_or(i64::MAX),
            at: Instant::now(),
            surface: Surface::OpenAi,
            label: "none",
            cross_origin: headers.contains_key(header::ORIGIN),
            refused: None,
            settings,
        }
    }

    /// Whether to tell who answered.
    pub(crate) fn tells(&self) -> bool {
        self.settings.listen.attribution
    }

    /// Returns unix seconds, for `created`.
    pub(crate) const fn created(&self) -> i64 {
        self.at_ms / 1000
    }

    /// Whether the answer has a `validator` object; what was asked for is told in any case.
    pub(crate) fn tells_of(&self, attribution: &Attribution) -> bool {
        self.tells() || attribution.explain.is_some()
    }

    /// Returns what the engine is given.
    pub(crate) fn incoming(
        &self,
        session: &ServerSession,
        place: Arc<Place>,
        prompt: Result<Prompt, Rejection>,
    ) -> Incoming {
        let trusted = &self.settings.listen.trusted_proxies;
        let headers = &session.req_header().headers;
        let peer = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
        let strategy = header_text(headers, "x-btvep-strategy").filter(|text| !text.trim().is_empty());
        let (timeout, explain, prompt) = match timeout(headers).and_then(|timeout| Ok((timeout, explain(headers)?))) {
            Ok((timeout, explain)) => (timeout, explain, prompt),
            Err(rejection) => (None, false, prompt.and(Err(rejection))),
        };
        Incoming {
            request_id: self.id.clone(),
            received_at_ms: self.at_ms,
            received_at: self.at,
            surface: self.surface,
            client: peer.map(|peer| client::client(peer, headers, trusted)),
            credential: credential(headers),
            strategy_header: strategy.map(|text| text.chars().take(STRATEGY).collect()),
            timeout,
            client_retry: header_text(headers, "x-stainless-retry-count").and_then(|text| text.parse().ok()),
            explain,
            place,
            prompt,
        }
    }
}

/// Rising with time, so that rows and records of one time stand together; random enough to be unique for ever.
fn request_id(since: Duration) -> Arc<str> {
    let millis = since.as_millis().try_into().unwrap_or(u64::MAX);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
    let mut text = *b"req_00000000000000000000000000000000";
    if let Some(hex) = text.get_mut(4..) {
        id.as_simple().encode_lower(hex);
    }
    std::str::from_utf8(&text).unwrap_or_default().into()
}

fn header_text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Rejection> {
    const NAME: &str = "x-btvep-timeout-ms";
    let Some(value) = headers.get(NAME) else { return Ok(None) };
    match value.to_str().ok().and_then(|text| text.trim().parse().ok()) {
        Some(ms) if ms > 0 => Ok(Some(Duration::from_millis(ms))),
        _ => Err(Rejection::new(Kind::InvalidField, format!("`{NAME}` must be a number of milliseconds, at least 1"))
            .about(NAME)),
    }
}

fn explain(headers: &HeaderMap) -> Result<bool, Rejection> {
    const NAME: &str = "x-btvep-explain";
    let Some(value) = headers.get(NAME) else { return Ok(false) };
    match value.to_str().map(str::trim) {
        Ok("1" | "true") => Ok(true),
        Ok("" | "0" | "false") => Ok(false),
        _ => Err(Rejection::new(Kind::InvalidField, format!("`{NAME}` must be 1, or left out")).about(NAME)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_rise_and_differ() {
        let ids: Vec<_> = (1..1000).map(|ms| request_id(Duration::from_millis(ms))).collect();
        assert!(ids.is_sorted());
        assert_ne!(request_id(Duration::ZERO), request_id(Duration::ZERO));
        assert_eq!(ids[0].len(), 36);
        assert!(ids[0].starts_with("req_0000"));
    }

    #[test]
    fn an_explanation_is_asked_for_or_not() {
        let mut headers = HeaderMap::new();
        assert!(!explain(&headers).unwrap());
        for (text, expected) in [("1", true), (" true ", true), ("0", false), ("false", false), ("", false)] {
            headers.insert("x-btvep-explain", text.parse().unwrap());
            assert_eq!(explain(&headers).unwrap(), expected, "{text}");
        }
        headers.insert("x-btvep-explain", "please".parse().unwrap());
        assert_eq!(explain(&headers).unwrap_err().kind, Kind::InvalidField);
    }

    #[test]
    fn a_deadline_that_is_none_is_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(timeout(&headers).unwrap(), None);
        headers.insert("x-btvep-timeout-ms", "1500".parse().unwrap());
        assert_eq!(timeout(&headers).unwrap(), Some(Duration::from_millis(1500)));
        for text in ["0", "-1", "soon", "1.5", ""] {
            headers.insert("x-btvep-timeout-ms", text.parse().unwrap());
            assert_eq!(timeout(&headers).unwrap_err().kind, Kind::InvalidField, "{text}");
        }
    }
}
