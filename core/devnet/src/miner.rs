use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use btvep_protocol::python_repr::Python;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::answer::{self, Response};
use crate::btauth::{self, Replays};
use crate::chat::{self, ChatBody, Stationery};
use crate::record::Record;
use crate::script::Script;
use crate::synapse::{self, Lanes};
use crate::{Behaviour, DevnetConfig, MinerSpeech};

/// The largest body a miner reads.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// One scripted miner: who it is, what it does, and what it has seen.
#[derive(Debug)]
pub(crate) struct Miner {
    /// Its place, for answer ids.
    pub(crate) uid: u16,
    /// Its hotkey as ss58.
    pub(crate) address: String,
    /// Where it listens.
    pub(crate) at: SocketAddr,
    /// What it does.
    pub(crate) behaviour: Behaviour,
    /// Whose `repr` its body hashes follow.
    pub(crate) python: Python,
    /// The devnet's configuration.
    pub(crate) config: Arc<DevnetConfig>,
    /// Last nonces of the synapse protocol.
    pub(crate) lanes: Mutex<Lanes>,
    /// Nonces of `btauth`, shared by the whole devnet.
    pub(crate) replays: Arc<Mutex<Replays>>,
    /// What it was asked.
    pub(crate) record: Arc<Record>,
    /// A permit for each word that a gated miner may say.
    pub(crate) gate: Arc<Semaphore>,
    /// Answers so far, for their ids.
    pub(crate) answers: AtomicU64,
}

impl Miner {
    /// Answers one request. Dropped before its end, the caller has left.
    pub(crate) async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await.map(http_body_util::Collected::to_bytes) else {
            return chat::detail(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or did not arrive");
        };
        let entry = self.record.open(head.uri.to_string(), &body);
        let response = self.route(&head, &body).await;
        answer::observed(response, entry)
    }

    async fn route(&self, head: &Parts, body: &Bytes) -> Response {
        let speaks_openai = self.speaks(MinerSpeech::Btauth) || self.speaks(MinerSpeech::Openai);
        match (&head.method, head.uri.path()) {
            (&Method::POST, "/v1/chat/completions" | "/chat/completions") if speaks_openai => {
                self.chat(head, body).await
            }
            (&Method::GET, "/v1/models") if speaks_openai => chat::models(),
            _ if self.speaks(MinerSpeech::Synapse) => synapse::answer(self, head, body).await,
            _ => chat::detail(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    async fn chat(&self, head: &Parts, body: &Bytes) -> Response {
        let signed = head.headers.contains_key("x-bittensor-version");
        // A miner that takes both looks at a signature only where there is one.
        if (signed || !self.speaks(MinerSpeech::Openai))
            && let Err(refused) = btauth::verify(head, body, &self.address, now_ns(), &self.replays)
        {
            return chat::detail(StatusCode::UNAUTHORIZED, &refused.to_string());
        }
        let Ok(asked) = serde_json::from_slice::<ChatBody>(body) else {
            return chat::detail(StatusCode::UNPROCESSABLE_ENTITY, "the body is no chat request");
        };
        let script = Script::of(self.behaviour, &self.config, &asked.last_words(), asked.stream == Some(true));
        chat::answer(&asked, &script, &self.stationery(), &self.gate).await
    }

    fn stationery(&self) -> Stationery {
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        let id = format!("chatcmpl-devnet-{:x}-{}-{number}", self.config.seed, self.uid);
        Stationery { id, created: now_ns() / 1_000_000_000 }
    }

    fn speaks(&self, speech: MinerSpeech) -> bool {
        self.config.protocols.contains(&speech)
    }
}

/// Returns unix time in nanoseconds.
pub(crate) fn now_ns() -> u64 {
    let since: Duration = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
