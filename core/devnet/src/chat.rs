use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::answer::{self, Piece, Response};
use crate::script::{Script, Speech};

pub(crate) const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream; charset=utf-8";

/// The model's name when the request gives none, and in the list of models.
const MODEL: &str = "devnet";

/// The members of an OpenAI body that a miner reads.
#[derive(Debug, Deserialize)]
pub(crate) struct ChatBody {
    #[serde(default)]
    messages: Vec<ChatMessage>,
    model: Option<String>,
    #[serde(default)]
    pub(crate) stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Deserialize)]
struct ChatMessage {
    #[serde(default)]
    role: String,
    #[serde(default)]
    content: Value,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// What an answer's JSON says besides its text.
pub(crate) struct Stationery {
    pub(crate) id: String,
    pub(crate) created: u64,
}

impl ChatBody {
    /// Returns the text of the last user message, or of the last message if no user speaks.
    pub(crate) fn last_words(&self) -> String {
        let user = self.messages.iter().rev().find(|message| message.role == "user");
        user.or(self.messages.last()).map(|message| text_of(&message.content)).unwrap_or_default()
    }

    fn model(&self) -> &str {
        self.model.as_deref().unwrap_or(MODEL)
    }

    fn usage(&self, answer: &str) -> Value {
        let words = |text: &str| text.split_whitespace().count();
        let prompt: usize = self.messages.iter().map(|message| words(&text_of(&message.content))).sum();
        let completion = words(answer);
        json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
    }
}

/// Returns a content's text: itself, or its text parts joined by newlines.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// Answers an accepted chat request as the script says.
pub(crate) async fn answer(body: &ChatBody, script: &Script, paper: &Stationery, gate: &Arc<Semaphore>) -> Response {
    match script {
        Script::Say(speech) if body.stream == Some(true) => {
            answer::spoken(EVENTS, events(body, speech, paper), speech, gate)
        }
        Script::Say(speech) => {
            speech.ready(gate).await;
            answer::whole(StatusCode::OK, JSON, completion(body, speech, paper).to_string())
        }
        Script::Fail => error(StatusCode::INTERNAL_SERVER_ERROR, "the miner fails on purpose"),
        Script::Hang => std::future::pending().await,
        Script::Lie if body.stream == Some(true) => {
            answer::whole(StatusCode::OK, EVENTS, "data: {\"choices\": [\n\ndata: [DONE]\n\n")
        }
        Script::Lie => answer::whole(StatusCode::OK, JSON, "{\"choices\": ["),
        Script::Refuse => detail(StatusCode::FORBIDDEN, "Forbidden: everybody is blacklisted here"),
        Script::Busy => error(StatusCode::TOO_MANY_REQUESTS, "busy"),
    }
}

/// Returns the list of models.
pub(crate) fn models() -> Response {
    let model = json!({"id": MODEL, "object": "model", "created": 0, "owned_by": "devnet"});
    answer::whole(StatusCode::OK, JSON, json!({"object": "list", "data": [model]}).to_string())
}

/// Returns an error as the SDK's recipe writes it.
pub(crate) fn detail(status: StatusCode, text: &str) -> Response {
    answer::whole(status, JSON, json!({"detail": text}).to_string())
}

fn error(status: StatusCode, text: &str) -> Response {
    answer::whole(status, JSON, json!({"error": {"message": text}}).to_string())
}

fn completion(body: &ChatBody, speech: &Speech, paper: &Stationery) -> Value {
    json!({
        "id": paper.id, "object": "chat.completion", "created": paper.created, "model": body.model(),
        "choices": [{
            "index": 0, "message": {"role": "assistant", "content": speech.text}, "finish_reason": "stop"
        }],
        "usage": body.usage(&speech.text),
    })
}

fn events(body: &ChatBody, speech: &Speech, paper: &Stationery) -> Vec<Piece> {
    let chunk = |choices: Value| {
        json!({
            "id": paper.id, "object": "chat.completion.chunk", "created": paper.created, "model": body.model(),
            "choices": choices,
        })
    };
    let choice = |delta: Value, finish: Option<&str>| json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
    let mut pieces = vec![event(&chunk(choice(json!({"role": "assistant", "content": ""}), None)), false)];
    let words = speech.pieces().into_iter().map(|word| event(&chunk(choice(json!({"content": word}), None)), true));
    pieces.extend(words);
    pieces.push(event(&chunk(choice(json!({}), Some("stop"))), false));
    if body.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true) {
        let mut last = chunk(json!([]));
        if let Some(members) = last.as_object_mut() {
            members.insert("usage".to_owned(), body.usage(&speech.text));
        }
        pieces.push(event(&last, false));
    }
    pieces.push(Piece { bytes: Bytes::from_static(b"data: [DONE]\n\n"), word: false });
    pieces
}

fn event(data: &Value, word: bool) -> Piece {
    Piece { bytes: format!("data: {data}\n\n").into(), word }
}
