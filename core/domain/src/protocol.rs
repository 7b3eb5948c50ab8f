use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{Delta, Hotkey, Prompt, Usage};

/// Who a prompt is sent to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The miner's hotkey; none for an upstream.
    pub hotkey: Option<Hotkey>,
    /// `scheme://host:port`, without a path; IPv6 in brackets.
    pub origin: String,
    /// The miner's address; none for an upstream.
    pub address: Option<std::net::SocketAddr>,
}

/// One prompt for one miner.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// The model's name towards the miner.
    pub model: &'a str,
    /// Whether the miner shall stream.
    pub stream: bool,
    /// Who it is sent to.
    pub target: &'a Target,
    /// The total deadline, told to the miner where the protocol can.
    pub timeout: Duration,
    /// A reading of the body hash that the miner has proved (see [`Flaw::Reread`]); 0 is the protocol's default.
    pub reading: u8,
}

/// What makes a request unique; taken fresh for each send, for a signed request is never sent twice.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Strictly rising for each hotkey; unix nanoseconds.
    pub nonce: u64,
    /// The lane's uuid.
    pub lane: std::sync::Arc<str>,
    /// A uuid of this send alone.
    pub uuid: std::sync::Arc<str>,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// A request for the wire. The body must be sent to the byte: it is what the signature covers.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Path and query.
    pub path: String,
    /// All headers but `host` and `content-length`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The prompt does not fit the protocol.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A field that the protocol cannot carry (mode `strict`).
    #[error("`{0}` is not supported by the miners of this model")]
    Unsupported(String),
    /// A message that is more than text.
    #[error("the miners of this model take text only")]
    TextOnly,
    /// The signature could not be made.
    #[error("signing failed: {0}")]
    Signing(String),
}

/// What a failed attempt says of the miner, and what may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The miner's fault: its health suffers.
    Miner,
    /// The request's fault, in the miner's view: its health does not suffer, another miner will say the same.
    Request,
    /// It may read the body hash in another way: ask once more with the next reading.
    Reread,
    /// It is busy: its health does not suffer, another may take it.
    Busy,
}

/// The kind of a miner's failure; a closed set, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection.
    Unreachable,
    /// A deadline has passed.
    Timeout,
    /// The connection died.
    Disconnected,
    /// It refused us: signature, blacklist, key.
    Refused,
    /// It answered with an error.
    Status,
    /// Its answer is not what the protocol says.
    Malformed,
    /// Its answer is empty.
    Empty,
    /// Its answer is larger than allowed.
    TooLarge,
    /// Its address is not one we call.
    AddressNotAllowed,
    /// Its breaker is open, or it has no free lane.
    Unavailable,
    /// The prompt could not be encoded for it.
    NotEncoded,
    /// The operator banned it.
    Banned,
    /// This server had no memory left for its answer.
    NoRoom,
}

/// Why an attempt failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct MinerFailure {
    /// Its kind.
    pub kind: FailureKind,
    /// What it says of the miner.
    pub flaw: Flaw,
    /// For `failed_responses` and the log: short, printable, at most 300 characters of the miner's own words.
    pub message: String,
}

impl MinerFailure {
    /// A failure that is the miner's fault.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, flaw: Flaw::Miner, message: message.into() }
    }
}

impl FailureKind {
    /// Returns its metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Refused => "refused",
            Self::Status => "status",
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::Unavailable => "unavailable",
            Self::NotEncoded => "not_encoded",
            Self::Banned => "banned",
            Self::NoRoom => "no_room",
        }
    }
}

/// Translates between requests and one kind of miner. Opens no socket, reads no clock.
pub trait MinerProtocol: Send + Sync + fmt::Debug {
    /// Its name in configuration and logs.
    fn name(&self) -> &'static str;

    /// Whether a miner of this protocol sends its answer in pieces when asked to.
    fn can_stream(&self) -> bool;

    /// Refuses a prompt that the protocol cannot carry, before anybody is asked.
    ///
    /// # Errors
    ///
    /// What cannot be carried.
    fn accepts(&self, prompt: &Prompt, strict: bool) -> Result<(), EncodeError>;

    /// Returns the request for the wire, signed if the protocol says so.
    ///
    /// # Errors
    ///
    /// The prompt does not fit, or signing failed.
    fn encode(&self, call: &Call<'_>, stamp: &Stamp) -> Result<Encoded, EncodeError>;

    /// Returns a reading to ask with after [`Flaw::Reread`]: one that sends something else than each of those tried;
    /// none when there is no such.
    fn next_reading(&self, _call: &Call<'_>, _tried: &[u8]) -> Option<u8> {
        None
    }

    /// Begins to decode an answer, given its head.
    fn decoder(&self, call: &Call<'_>, status: StatusCode, headers: &HeaderMap) -> Box<dyn Decoder>;
}

/// Decodes one answer as it arrives; bounded by what it is fed.
pub trait Decoder: Send + fmt::Debug {
    /// Takes bytes and appends the fragments they complete.
    ///
    /// # Errors
    ///
    /// The answer is a failure; nothing more is to be fed.
    fn push(&mut self, bytes: &[u8], deltas: &mut Vec<Delta>) -> Result<(), MinerFailure>;

    /// Ends the answer. `clean` tells whether the body ended as HTTP says.
    ///
    /// # Errors
    ///
    /// The answer is a failure or is not whole.
    fn finish(&mut self, clean: bool, deltas: &mut Vec<Delta>) -> Result<(), MinerFailure>;

    /// Whether the protocol's own end has been seen (`[DONE]`): no further byte is needed.
    fn is_done(&self) -> bool {
        false
    }

    /// Token counts, once known.
    fn usage(&self) -> Option<Usage> {
        None
    }
}
