use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{Agreement, Credits, Explanation, Hotkey, RateState, SelectionSource, Uid};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Who answered, how fast and for how much: told in headers, and in the answer's `validator` object.
///
/// Whatever is not known (yet) is none and is left out: on a stream the headers carry what is known before
/// the first byte, the object of the last chunk the rest.
#[derive(Clone, Debug, Default)]
pub struct Attribution {
    /// The request, as in `x-request-id`.
    pub request_id: Arc<str>,
    /// The configuration that serves it, in 12 hex digits.
    pub config: Option<Arc<str>>,
    /// The model's name towards clients.
    pub model: Option<Arc<str>>,
    /// The strategy that was used, such as `top_n=5`.
    pub strategy: Option<Arc<str>>,
    /// Which of the places that may name a strategy did.
    pub strategy_source: Option<SelectionSource>,
    /// The miner of the first choice.
    pub uid: Option<Uid>,
    /// Its hotkey.
    pub hotkey: Option<Hotkey>,
    /// From sending the prompt to the end of that miner's answer.
    pub miner_latency_ms: Option<u32>,
    /// From receiving the request to the first token.
    pub ttft_ms: Option<u32>,
    /// Miners asked; 0 while it is not known.
    pub attempts: u32,
    /// Microseconds of the request that no miner was waited for; shown in milliseconds.
    pub overhead_us: Option<u64>,
    /// What was charged.
    pub credits_charged: Option<Credits>,
    /// What is left to spend; none also means unlimited.
    pub credits_remaining: Option<Credits>,
    /// The block of the metagraph that the miners were chosen from.
    pub metagraph_block: Option<u64>,
    /// The age of that metagraph in milliseconds.
    pub metagraph_age_ms: Option<i64>,
    /// The most constrained rate rule; none when nothing limits the key.
    pub rate: Option<RateState>,
    /// How many miners gave the answer, where agreement was wanted; told in the object only.
    pub agreement: Option<Agreement>,
    /// How the answer came about, for a client that asked and may; told in the object only.
    pub explain: Option<Box<Explanation>>,
}

/// The header that names the request, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const CONFIG: HeaderName = HeaderName::from_static("x-btvep-config");
const MODEL: HeaderName = HeaderName::from_static("x-btvep-model");
const STRATEGY: HeaderName = HeaderName::from_static("x-btvep-strategy");
const STRATEGY_SOURCE: HeaderName = HeaderName::from_static("x-btvep-strategy-source");
const UID: HeaderName = HeaderName::from_static("x-btvep-uid");
const HOTKEY: HeaderName = HeaderName::from_static("x-btvep-hotkey");
const MINER_LATENCY: HeaderName = HeaderName::from_static("x-btvep-miner-latency-ms");
const TTFT: HeaderName = HeaderName::from_static("x-btvep-ttft-ms");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-btvep-attempts");
const OVERHEAD: HeaderName = HeaderName::from_static("x-btvep-overhead-ms");
const CHARGED: HeaderName = HeaderName::from_static("x-btvep-credits-charged");
const REMAINING: HeaderName = HeaderName::from_static("x-btvep-credits-remaining");
const BLOCK: HeaderName = HeaderName::from_static("x-btvep-metagraph-block");
const AGE: HeaderName = HeaderName::from_static("x-btvep-metagraph-age-ms");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const LEFT: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

/// Every header of this module and `retry-after`, as `access-control-expose-headers` names them to browsers.
pub const EXPOSED_HEADERS: &str = "x-request-id, x-should-retry, retry-after, x-btvep-config, x-btvep-model, x-btvep-strategy, \
     x-btvep-strategy-source, x-btvep-uid, x-btvep-hotkey, x-btvep-miner-latency-ms, x-btvep-ttft-ms, \
     x-btvep-attempts, x-btvep-overhead-ms, x-btvep-credits-charged, x-btvep-credits-remaining, \
     x-btvep-metagraph-block, x-btvep-metagraph-age-ms, x-ratelimit-limit-requests, \
     x-ratelimit-remaining-requests, x-ratelimit-reset-requests";

impl Attribution {
    /// Hands every `x-btvep-…` header that is known to `put`; the request's id and the limits are not among them.
    pub fn headers(&self, mut put: impl FnMut(HeaderName, HeaderValue)) {
        let mut text = |name, text: Option<&str>| {
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
                put(name, value);
            }
        };
        text(CONFIG, self.config.as_deref());
        text(MODEL, self.model.as_deref());
        text(STRATEGY, self.strategy.as_deref());
        text(STRATEGY_SOURCE, self.strategy_source.map(SelectionSource::name));
        text(HOTKEY, self.hotkey.map(|hotkey| hotkey.to_string()).as_deref());
        text(OVERHEAD, self.overhead_us.map(milliseconds).as_deref());
        text(CHARGED, self.credits_charged.map(|credits| credits.to_string()).as_deref());
        text(REMAINING, self.credits_remaining.map(|credits| credits.to_string()).as_deref());
        let mut number = |name, number: Option<i64>| {
            if let Some(number) = number {
                put(name, HeaderValue::from(number));
            }
        };
        number(UID, self.uid.map(|uid| uid.0.into()));
        number(MINER_LATENCY, self.miner_latency_ms.map(Into::into));
        number(TTFT, self.ttft_ms.map(Into::into));
        number(ATTEMPTS, self.asked().map(Into::into));
        number(BLOCK, self.metagraph_block.and_then(|block| block.try_into().ok()));
        number(AGE, self.metagraph_age_ms);
    }

    fn asked(&self) -> Option<u32> {
        (self.attempts > 0).then_some(self.attempts)
    }

    /// Returns the value of `x-request-id`.
    pub fn request_id_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.request_id).ok()
    }
}

/// Hands the `x-ratelimit-…` headers of a rule to `put`.
pub fn rate_headers(rate: &RateState, mut put: impl FnMut(HeaderName, HeaderValue)) {
    put(LIMIT, HeaderValue::from(rate.rule.times));
    put(LEFT, HeaderValue::from(rate.remaining));
    if let Ok(reset) = HeaderValue::from_maybe_shared(Bytes::from(go_duration(rate.reset_after))) {
        put(RESET, reset);
    }
}

impl Serialize for Attribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("request_id", &*self.request_id)?;
        entry(&mut map, "config", self.config.as_deref())?;
        entry(&mut map, "model", self.model.as_deref())?;
        entry(&mut map, "strategy", self.strategy.as_deref())?;
        entry(&mut map, "strategy_source", self.strategy_source.map(SelectionSource::name))?;
        entry(&mut map, "uid", self.uid)?;
        entry(&mut map, "hotkey", self.hotkey)?;
        entry(&mut map, "miner_latency_ms", self.miner_latency_ms)?;
        entry(&mut map, "ttft_ms", self.ttft_ms)?;
        entry(&mut map, "attempts", self.asked())?;
        #[expect(clippy::cast_precision_loss, reason = "shown to people; 2^53 µs are 285 years")]
        entry(&mut map, "overhead_ms", self.overhead_us.map(|us| us as f64 / 1000.0))?;
        entry(&mut map, "credits_charged", self.credits_charged)?;
        entry(&mut map, "credits_remaining", self.credits_remaining)?;
        entry(&mut map, "metagraph_block", self.metagraph_block)?;
        entry(&mut map, "metagraph_age_ms", self.metagraph_age_ms)?;
        entry(&mut map, "agreement", self.agreement.as_ref())?;
        entry(&mut map, "explain", self.explain.as_deref())?;
        map.end()
    }
}

fn entry<M: SerializeMap>(map: &mut M, name: &'static str, value: Option<impl Serialize>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, &value))
}

fn milliseconds(us: u64) -> String {
    format!("{}.{:03}", us / 1000, us % 1000)
}

/// Returns a duration as Go writes it, which is how OpenAI's reset headers read: `120ms`, `1.5s`, `6m0s`, `1h0m0s`.
///
/// Rounded up to whole milliseconds, so that whoever waits that long does not come too early.
pub fn go_duration(duration: Duration) -> String {
    let ms = duration.as_nanos().div_ceil(1_000_000);
    if ms == 0 {
        return "0s".to_owned();
    }
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let mut text = String::new();
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    let (seconds, rest) = (ms / 1000 % 60, ms % 1000);
    if rest == 0 {
        let _ = write!(text, "{seconds}s");
    } else {
        let decimals = format!("{rest:03}");
        let _ = write!(text, "{seconds}.{}s", decimals.trim_end_matches('0'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ms: u64, expected: &str) {
        assert_eq!(go_duration(Duration::from_millis(ms)), expected);
    }

    #[test]
    fn durations_read_as_in_go() {
        check(0, "0s");
        check(120, "120ms");
        check(1_000, "1s");
        check(1_500, "1.5s");
        check(360_000, "6m0s");
        check(3_600_000, "1h0m0s");
        check(5_445_020, "1h30m45.02s");
        assert_eq!(go_duration(Duration::from_nanos(1)), "1ms");
    }

    #[test]
    fn only_what_is_known_is_told() {
        let attribution = Attribution {
            request_id: "req_1".into(),
            uid: Some(Uid(7)),
            strategy: Some("top_n=5".into()),
            strategy_source: Some(SelectionSource::Header),
            overhead_us: Some(1_204),
            credits_charged: Some(Credits(1_500_000)),
            ..Attribution::default()
        };
        let mut headers = Vec::new();
        attribution.headers(|name, value| headers.push(format!("{name}: {}", value.to_str().unwrap())));
        assert_eq!(
            headers,
            [
                "x-btvep-strategy: top_n=5",
                "x-btvep-strategy-source: header",
                "x-btvep-overhead-ms: 1.204",
                "x-btvep-credits-charged: 1.5",
                "x-btvep-uid: 7"
            ]
        );
        assert_eq!(
            serde_json::to_string(&attribution).unwrap(),
            r#"{"request_id":"req_1","strategy":"top_n=5","strategy_source":"header","uid":7,"overhead_ms":1.204,"credits_charged":1.5}"#
        );
    }

    #[test]
    fn browsers_may_read_every_header() {
        let names = [CONFIG, MODEL, STRATEGY, STRATEGY_SOURCE, UID, HOTKEY, MINER_LATENCY, TTFT, ATTEMPTS, OVERHEAD];
        let more = [CHARGED, REMAINING, BLOCK, AGE, LIMIT, LEFT, RESET, REQUEST_ID];
        for name in names.iter().chain(&more) {
            assert!(EXPOSED_HEADERS.split(", ").any(|exposed| exposed.trim() == name.as_str()), "{name}");
        }
    }
}
