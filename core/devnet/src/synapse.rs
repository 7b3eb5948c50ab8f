//! The axon's side of the synapse protocol, in the axon's order: route, headers, blacklist, signature, priority, body.

mod caller;
mod hash;
mod reply;

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use serde_json::Value;

use crate::Behaviour;
use crate::answer::{self, Piece, Response};
use crate::miner::{Miner, now_ns};
use crate::script::{Script, Speech};

use caller::Caller;
pub(crate) use caller::Lanes;
use reply::Reply;

/// A synapse class that every axon of the devnet serves.
#[derive(Debug)]
struct Class {
    name: &'static str,
    /// Whether it prompts; the SDK's own `Synapse` is a bare ping.
    prompts: bool,
    /// Whether the answer is raw text in pieces.
    streams: bool,
    /// Whether the hash fields are a member of the body, as classes of 2023 have it.
    hash_fields_in_body: bool,
}

const CLASSES: [Class; 4] = [
    Class { name: "Synapse", prompts: false, streams: false, hash_fields_in_body: false },
    Class { name: "Prompting", prompts: true, streams: false, hash_fields_in_body: true },
    Class { name: "PromptingSynapse", prompts: true, streams: false, hash_fields_in_body: false },
    Class { name: "StreamPromptingSynapse", prompts: true, streams: true, hash_fields_in_body: true },
];

/// The members of a synapse's body that a miner reads. Types are exact, as pydantic's are.
#[derive(Debug, Deserialize)]
struct PromptBody {
    roles: Vec<String>,
    messages: Vec<String>,
}

/// Answers a request to an axon's path.
pub(crate) async fn answer(miner: &Miner, head: &Parts, body: &Bytes) -> Response {
    let name = head.uri.path().trim_start_matches('/').split('/').next().unwrap_or_default();
    let Some(class) = CLASSES.iter().find(|class| class.name == name) else {
        return Reply::unknown(&unknown(name));
    };
    let reply = Reply::to(miner, class.name, head);
    let Ok(caller) = Caller::read(&head.headers, if class.prompts { &["roles", "messages"] } else { &[] }) else {
        return reply.fault();
    };
    if miner.behaviour == Behaviour::Blacklist {
        let reason = "Forbidden. Key is blacklisted: everybody is blacklisted here.";
        return reply.refuse(StatusCode::FORBIDDEN, reason);
    }
    if let Err(unverified) = caller.verify(&miner.address, now_ns(), &miner.lanes) {
        return reply.refuse(StatusCode::UNAUTHORIZED, &format!("Not Verified with error: {unverified}"));
    }
    if miner.behaviour == Behaviour::Busy {
        let text = format!("Response timeout after: {}s", caller.timeout_text());
        return reply.refuse(StatusCode::REQUEST_TIMEOUT, &text);
    }
    forward(miner, &reply, class, &caller, body).await
}

fn unknown(name: &str) -> String {
    let served: Vec<String> = CLASSES.iter().map(|class| format!("'{}'", class.name)).collect();
    // Python's repr of a short ASCII text; anything else in a path is escaped already.
    format!("Synapse name '{name}' not found. Available synapses [{}]", served.join(", "))
}

async fn forward(miner: &Miner, reply: &Reply<'_>, class: &Class, caller: &Caller, body: &Bytes) -> Response {
    let Ok(received) = serde_json::from_slice::<Value>(body) else {
        return reply::not_json();
    };
    if !class.prompts {
        return ping(miner, reply, (class, caller), &received);
    }
    let Ok(prompt) = serde_json::from_value::<PromptBody>(received.clone()) else {
        return reply.fault();
    };
    if caller.body_hash != hash::body_hash(&[&prompt.messages], miner.python) {
        return reply.fault();
    }
    let script = Script::of(miner.behaviour, &miner.config, prompt.last_words(), class.streams);
    match script {
        Script::Say(speech) if class.streams => {
            reply.stream(answer::spoken(reply::EVENTS, pieces(&speech), &speech, &miner.gate))
        }
        Script::Say(speech) => {
            speech.ready(&miner.gate).await;
            reply.success(&received, class, Some(&speech.text))
        }
        Script::Hang if class.streams => reply.stream(answer::silence(reply::EVENTS)),
        Script::Hang => std::future::pending().await,
        Script::Lie if class.streams => {
            reply.stream(answer::whole(StatusCode::OK, reply::EVENTS, &b"\xff\xfe\xc3("[..]))
        }
        Script::Lie => reply.stream(answer::whole(StatusCode::OK, crate::chat::JSON, "{\"completion\": [")),
        Script::Fail | Script::Refuse | Script::Busy => reply.fault(),
    }
}

fn ping(miner: &Miner, reply: &Reply<'_>, (class, caller): (&Class, &Caller), received: &Value) -> Response {
    if caller.body_hash == hash::body_hash(&[], miner.python) {
        reply.success(received, class, None)
    } else {
        reply.fault()
    }
}

impl PromptBody {
    fn last_words(&self) -> &str {
        let spoken = self.roles.iter().zip(&self.messages).rev();
        let user = spoken.into_iter().find(|(role, _)| *role == "user").map(|(_, message)| message);
        user.or(self.messages.last()).map_or("", String::as_str)
    }
}

fn pieces(speech: &Speech) -> Vec<Piece> {
    speech.pieces().into_iter().map(|word| Piece { bytes: word.into(), word: true }).collect()
}
