use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Class;
use crate::answer::{self, Response};
use crate::chat::JSON;
use crate::miner::Miner;

/// Streams are raw text under this type.
pub(crate) const EVENTS: &str = "text/event-stream";

/// What a terminal (axon or dendrite) says of itself in a body.
const TERMINAL: [&str; 10] =
    ["status_code", "status_message", "process_time", "ip", "port", "version", "nonce", "uuid", "hotkey", "signature"];

/// Headers of the request that come back.
const RETURNED: [&str; 5] = ["timeout", "header_size", "total_size", "computed_body_hash", "bt_header_"];

/// Writes the answers of one axon to one request.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    miner: &'a Miner,
    class: &'static str,
    asked: &'a HeaderMap,
}

impl<'a> Reply<'a> {
    pub(crate) fn to(miner: &'a Miner, class: &'static str, head: &'a Parts) -> Self {
        Self { miner, class, asked: &head.headers }
    }

    /// Answers a path that is no synapse; the axon says nothing of itself here.
    pub(crate) fn unknown(text: &str) -> Response {
        let mut response = message(StatusCode::NOT_FOUND, text);
        set(response.headers_mut(), "name", "Synapse");
        set_status(response.headers_mut(), StatusCode::NOT_FOUND, text);
        response
    }

    /// Refuses the request with a text.
    pub(crate) fn refuse(&self, status: StatusCode, text: &str) -> Response {
        self.with_headers(message(status, text), text)
    }

    /// Fails without saying why, as an axon does for everything that it did not expect.
    pub(crate) fn fault(&self) -> Response {
        let text = format!("Internal Server Error #{}", Uuid::new_v4());
        self.refuse(StatusCode::INTERNAL_SERVER_ERROR, &text)
    }

    /// Answers with the whole synapse, the prompt included.
    pub(crate) fn success(&self, received: &Value, class: &Class, completion: Option<&str>) -> Response {
        let body = synapse(received, class, completion);
        self.stream(answer::whole(StatusCode::OK, JSON, body.to_string()))
    }

    /// Adds the headers of a success to an answer of any form.
    pub(crate) fn stream(&self, response: Response) -> Response {
        self.with_headers(response, "Success")
    }

    fn with_headers(&self, mut response: Response, text: &str) -> Response {
        let status = response.status();
        let headers = response.headers_mut();
        for (name, value) in self.asked {
            if RETURNED.iter().any(|returned| name.as_str().starts_with(returned)) {
                headers.insert(name.clone(), value.clone());
            }
        }
        set(headers, "name", self.class);
        set_status(headers, status, text);
        set(headers, "bt_header_axon_ip", &self.miner.at.ip().to_string());
        set(headers, "bt_header_axon_port", &self.miner.at.port().to_string());
        set(headers, "bt_header_axon_hotkey", &self.miner.address);
        response
    }
}

/// Answers a body that is no JSON: the web framework's words, without any of the axon's headers.
pub(crate) fn not_json() -> Response {
    let error = json!({"type": "json_invalid", "loc": ["body", 0], "msg": "JSON decode error", "input": {}});
    answer::whole(StatusCode::UNPROCESSABLE_ENTITY, JSON, json!({"detail": [error]}).to_string())
}

fn message(status: StatusCode, text: &str) -> Response {
    answer::whole(status, JSON, json!({"message": text}).to_string())
}

fn synapse(received: &Value, class: &Class, completion: Option<&str>) -> Value {
    let member = |name: &str| received.get(name).cloned();
    let mut axon = terminal(received.get("axon"));
    axon.insert("status_code".to_owned(), json!(200));
    axon.insert("status_message".to_owned(), json!("Success"));
    axon.insert("process_time".to_owned(), json!(0.000_05));
    let mut synapse = Map::new();
    let mut put = |name: &str, value: Value| synapse.insert(name.to_owned(), value);
    put("name", json!(class.name));
    put("timeout", member("timeout").unwrap_or_else(|| json!(12.0)));
    put("total_size", member("total_size").unwrap_or_else(|| json!(0)));
    put("header_size", member("header_size").unwrap_or_else(|| json!(0)));
    put("dendrite", Value::Object(terminal(received.get("dendrite"))));
    put("axon", Value::Object(axon));
    put("computed_body_hash", json!(""));
    if class.hash_fields_in_body {
        put("required_hash_fields", json!(["messages"]));
    }
    if let Some(completion) = completion {
        put("roles", member("roles").unwrap_or_default());
        put("messages", member("messages").unwrap_or_default());
        put("completion", json!(completion));
    }
    Value::Object(synapse)
}

fn terminal(given: Option<&Value>) -> Map<String, Value> {
    let of = |name: &str| given.and_then(|given| given.get(name)).cloned().unwrap_or_default();
    TERMINAL.iter().map(|name| ((*name).to_owned(), of(name))).collect()
}

fn set_status(headers: &mut HeaderMap, status: StatusCode, text: &str) {
    set(headers, "bt_header_axon_status_code", status.as_str());
    set(headers, "bt_header_axon_status_message", text);
    set(headers, "bt_header_axon_process_time", "0.00005");
}

/// Sets a header; a value that no header can carry is left out.
fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
