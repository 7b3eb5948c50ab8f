use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use btvep_domain::{Answer, Credential, Delta, Prompt, Rejection, Surface, Usage};
use btvep_protocol::surface::Attribution;
use tokio::sync::{mpsc, oneshot};

use crate::{Connection, Place, Taken};

/// A request as the gateway received it.
#[derive(Debug)]
pub struct Incoming {
    /// `req_…`, unique for ever.
    pub request_id: Arc<str>,
    /// Unix milliseconds when its head was read.
    pub received_at_ms: i64,
    /// When its head was read.
    pub received_at: Instant,
    /// Whose manners the answer has.
    pub surface: Surface,
    /// The client, behind trusted proxies the one they name.
    pub client: Option<IpAddr>,
    /// What it presented.
    pub credential: Credential,
    /// The header `x-btvep-strategy`.
    pub strategy_header: Option<String>,
    /// The header `x-btvep-timeout-ms`.
    pub timeout: Option<Duration>,
    /// `x-stainless-retry-count`.
    pub client_retry: Option<u32>,
    /// The header `x-btvep-explain`.
    pub explain: bool,
    /// Its place among those in flight.
    pub place: Arc<Place>,
    /// The parsed body, or why it is refused (after the filters: a stranger learns nothing of his body).
    pub prompt: Result<Prompt, Rejection>,
}

/// An event of a streamed answer.
#[derive(Debug)]
pub enum StreamEvent {
    /// A fragment, and the memory it takes until it is written.
    Delta(Delta, Taken),
    /// The stream ended in order and its charge is durable; what is known only now stands here.
    End {
        /// Complete.
        attribution: Attribution,
        /// Token counts, if the miner gave them.
        usage: Option<Usage>,
    },
    /// The stream broke after the first token.
    Failed {
        /// For the client's last event.
        rejection: Rejection,
        /// Complete.
        attribution: Attribution,
    },
}

/// What the gateway writes.
#[derive(Debug)]
pub enum Reply {
    /// A whole answer whose charge is durable. `stream` was not asked for.
    Whole {
        /// At least one choice.
        answer: Answer,
        /// Complete.
        attribution: Attribution,
    },
    /// A stream; its mark is durable and its first event is waiting. Dropping the receiver is how the client leaves.
    Stream {
        /// Bounded; ends after `End` or `Failed`.
        events: mpsc::Receiver<StreamEvent>,
        /// What is known before the first byte.
        attribution: Attribution,
        /// Whether a usage chunk was asked for.
        include_usage: bool,
        /// Set by the gateway once a fragment has left: from then on a client that leaves is charged.
        left: Arc<AtomicBool>,
    },
    /// Refused.
    Rejected {
        /// Why.
        rejection: Rejection,
        /// What is known.
        attribution: Attribution,
    },
}

/// What the gateway asks of the engine.
pub trait Serve: Send + Sync + std::fmt::Debug {
    /// Gives a prompt a place among those in flight, before its body of `bytes` (0 when it does not say) is read.
    /// Whoever answers keeps the place until the last byte is out.
    fn enter<'a>(
        &'a self,
        credential: &'a Credential,
        now_ms: i64,
        bytes: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<Place>, Rejection>> + Send + 'a>>;

    /// Counts a new connection of at most `most`; none when it must be closed.
    fn connect(&self, most: usize) -> Option<Connection>;

    /// Takes a request; must be called inside the runtime that shall serve it. Dropping the receiver cancels it.
    fn serve(&self, incoming: Incoming) -> oneshot::Receiver<Reply>;

    /// Returns the models that clients can ask for: id, unix seconds of creation, owner.
    fn models(&self) -> Vec<(Arc<str>, i64)>;

    /// Checks a key for routes that cost nothing, such as the list of models.
    fn authenticate(
        &self,
        credential: Credential,
        now_ms: i64,
    ) -> Pin<Box<dyn Future<Output = Result<(), Rejection>> + Send + '_>>;

    /// Requests whose task has not ended yet; a drain waits for zero.
    fn in_flight(&self) -> usize;
}
