use std::borrow::Cow;

use btvep_domain::{Call, Message};
use bytes::Bytes;

use super::fragment::Members;

/// Returns the body for the miner: the members that were received, in their order and to the byte, except that
/// `model` and `stream` say what the call says, and `stream_options` asks for usage in streams and is left out
/// otherwise. A body that had no `messages` (the legacy surface has other fields) gets those of the prompt.
pub fn request_body(call: &Call<'_>) -> Bytes {
    let prompt = call.prompt;
    let mut object = Object::with_capacity(prompt.body.len() + call.model.len() + 96);
    for field in &prompt.fields {
        let Some(value) = prompt.body.get(field.value.clone()) else { continue };
        match plain_name(&field.name).as_ref() {
            "model" => object.set_model(call),
            "stream" => object.set_stream(call),
            "stream_options" => object.set_stream_options(call, value),
            name => {
                if name == "messages" && !object.first(Ours::Messages) {
                    continue;
                }
                object.member(&field.name).extend_from_slice(value);
            }
        }
    }
    object.set_model(call);
    if object.first(Ours::Messages) {
        write_messages(object.member("messages"), &prompt.messages);
    }
    if call.stream {
        object.set_stream(call);
        object.set_stream_options(call, b"null");
    }
    object.end()
}

/// A JSON object being written, which knows which of our members it has already: no name is to stand twice.
struct Object {
    text: Vec<u8>,
    written: u8,
}

/// The members that are ours to set, as bits.
#[derive(Clone, Copy)]
enum Ours {
    Model = 1,
    Messages = 2,
    Stream = 4,
    Options = 8,
}

impl Object {
    fn with_capacity(bytes: usize) -> Self {
        let mut text = Vec::with_capacity(bytes);
        text.push(b'{');
        Self { text, written: 0 }
    }

    /// Whether the member is yet to be written; from now on it counts as written.
    const fn first(&mut self, member: Ours) -> bool {
        let written = self.written;
        self.written |= member as u8;
        written != self.written
    }

    /// Writes a member's name; its value is to be appended to what is returned.
    fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if self.text.len() > 1 {
            self.text.push(b',');
        }
        self.text.push(b'"');
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\":");
        &mut self.text
    }

    fn set_model(&mut self, call: &Call<'_>) {
        if self.first(Ours::Model) {
            write_text(self.member("model"), call.model);
        }
    }

    fn set_stream(&mut self, call: &Call<'_>) {
        if self.first(Ours::Stream) {
            self.member("stream").extend_from_slice(if call.stream { b"true" } else { b"false" });
        }
    }

    fn set_stream_options(&mut self, call: &Call<'_>, received: &[u8]) {
        if call.stream && self.first(Ours::Options) {
            write_stream_options(self.member("stream_options"), received);
        }
    }

    fn end(mut self) -> Bytes {
        self.text.push(b'}');
        self.text.into()
    }
}

/// Writes the received options with `include_usage` set: what a stream cost must be known, also to a client that did
/// not ask.
fn write_stream_options(text: &mut Vec<u8>, received: &[u8]) {
    text.extend_from_slice(b"{\"include_usage\":true");
    let received: Members<'_> = serde_json::from_slice(received).unwrap_or_default();
    for (name, value) in received.0.iter().filter(|(name, _)| name != "include_usage") {
        text.push(b',');
        write_text(text, name);
        text.push(b':');
        text.extend_from_slice(value.get().as_bytes());
    }
    text.push(b'}');
}

fn write_messages(text: &mut Vec<u8>, messages: &[Message]) {
    text.push(b'[');
    for (place, message) in messages.iter().enumerate() {
        text.extend_from_slice(if place == 0 { b"{\"role\":" } else { b",{\"role\":" });
        write_text(text, message.role.as_str());
        text.extend_from_slice(b",\"content\":");
        write_text(text, &message.text);
        text.push(b'}');
    }
    text.push(b']');
}

/// Writes a text as JSON; into memory, which cannot fail.
fn write_text(text: &mut Vec<u8>, value: &str) {
    let _ = serde_json::to_writer(text, value);
}

/// Returns a member's name without JSON's escapes, so that `mod\u0065l` is no way around us.
pub(crate) fn plain_name(name: &str) -> Cow<'_, str> {
    if !name.contains('\\') {
        return Cow::Borrowed(name);
    }
    serde_json::from_str(&format!("\"{name}\"")).map_or(Cow::Borrowed(name), Cow::Owned)
}
