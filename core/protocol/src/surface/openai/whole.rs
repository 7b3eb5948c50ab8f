use std::sync::Arc;

use btvep_domain::{Answer, Choice, Extra, Usage};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::surface::Attribution;
use crate::surface::failures::{FailedResponse, failed_responses};

#[derive(Serialize)]
struct Completion<'a> {
    id: String,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<WholeChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_responses: Vec<FailedResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validator: Option<&'a Attribution>,
}

#[derive(Serialize)]
struct WholeChoice<'a> {
    index: usize,
    message: Said<'a>,
    logprobs: Option<&'a RawValue>,
    finish_reason: &'a str,
}

/// A message, or a fragment of one.
pub(super) struct Said<'a> {
    pub(super) role: bool,
    pub(super) content: Option<&'a str>,
    pub(super) extras: &'a [Extra],
}

impl Serialize for Said<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.role {
            map.serialize_entry("role", "assistant")?;
        }
        if self.role || self.content.is_some() {
            map.serialize_entry("content", &self.content)?;
        }
        for (name, json) in self.extras {
            // A member that is ours must not stand twice.
            if &**name != "role" && &**name != "content" {
                map.serialize_entry(name, json)?;
            }
        }
        map.end()
    }
}

/// Returns the body of a whole answer; with the `validator` object when `tell` is set.
pub fn completion(answer: &Answer, attribution: &Attribution, created: i64, tell: bool) -> Vec<u8> {
    let completion = Completion {
        id: completion_id(attribution),
        object: "chat.completion",
        created,
        model: attribution.model.as_deref().unwrap_or_default(),
        choices: answer.choices.iter().enumerate().map(whole_choice).collect(),
        usage: answer.usage,
        failed_responses: failed_responses(&answer.attempts),
        validator: tell.then_some(attribution),
    };
    serde_json::to_vec(&completion).unwrap_or_default()
}

fn whole_choice((index, choice): (usize, &Choice)) -> WholeChoice<'_> {
    // Beside tool calls an absent text is null, as in OpenAI's own answers.
    let content = (!choice.content.is_empty() || choice.extras.is_empty()).then_some(choice.content.as_str());
    WholeChoice {
        index,
        message: Said { role: true, content, extras: &choice.extras },
        logprobs: choice.logprobs.as_deref(),
        finish_reason: finish_reason(&choice.finish_reason),
    }
}

/// Returns the id of an answer; it holds the request's.
pub fn completion_id(attribution: &Attribution) -> String {
    format!("chatcmpl-{}", attribution.request_id)
}

/// Returns a reason that clients' types know: `stop` for one of the miner's own.
pub(super) fn finish_reason(miners: &str) -> &str {
    match miners {
        "length" | "tool_calls" | "content_filter" | "function_call" => miners,
        _ => "stop",
    }
}

#[derive(Serialize)]
struct ModelCard<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
}

#[derive(Serialize)]
struct ModelList<'a> {
    object: &'static str,
    data: Vec<ModelCard<'a>>,
}

fn card((id, created): &(Arc<str>, i64)) -> ModelCard<'_> {
    ModelCard { id, object: "model", created: *created, owned_by: "btvep" }
}

/// Returns the body of `GET /v1/models`: ids with unix seconds of creation.
pub fn models(all: &[(Arc<str>, i64)]) -> Vec<u8> {
    let list = ModelList { object: "list", data: all.iter().map(card).collect() };
    serde_json::to_vec(&list).unwrap_or_default()
}

/// Returns the body of `GET /v1/models/{id}`.
pub fn model(one: &(Arc<str>, i64)) -> Vec<u8> {
    serde_json::to_vec(&card(one)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use btvep_domain::Uid;
    use serde_json::{Value, json};

    use super::*;
    use crate::surface::failures::samples;

    fn attribution() -> Attribution {
        Attribution { request_id: "req_1".into(), model: Some("m".into()), uid: Some(Uid(3)), ..Attribution::default() }
    }

    fn render(answer: &Answer, tell: bool) -> Value {
        serde_json::from_slice(&completion(answer, &attribution(), 17, tell)).unwrap()
    }

    #[test]
    fn an_answer_has_openai_s_shape_and_ours_beside_it() {
        let mut answer =
            samples::answer(vec![samples::choice("hi \"you\" 😀", "eos"), samples::choice("ho", "length")]);
        answer.usage = Some(Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 });
        answer.choices[1].logprobs = Some(RawValue::from_string("{\"content\": []}".into()).unwrap());
        let hotkey = answer.attempts[0].hotkey.unwrap().to_string();
        assert_eq!(
            render(&answer, true),
            json!({
                "id": "chatcmpl-req_1", "object": "chat.completion", "created": 17, "model": "m",
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "hi \"you\" 😀"}, "logprobs": null,
                     "finish_reason": "stop"},
                    {"index": 1, "message": {"role": "assistant", "content": "ho"}, "logprobs": {"content": []},
                     "finish_reason": "length"},
                ],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
                "failed_responses": [
                    {"index": 0, "uid": 9, "responder_hotkey": hotkey, "error": "timed out", "response_ms": 12}
                ],
                "validator": {"request_id": "req_1", "model": "m", "uid": 3},
            })
        );
    }

    #[test]
    fn nothing_is_told_that_is_not_known_or_not_wanted() {
        let mut answer = samples::answer(vec![samples::choice("hi", "stop")]);
        answer.attempts.clear();
        let rendered = render(&answer, false);
        for absent in ["usage", "failed_responses", "validator", "error"] {
            assert_eq!(rendered.get(absent), None);
        }
    }

    #[test]
    fn extras_pass_untouched_and_text_beside_them_is_null() {
        let mut choice = samples::choice("", "tool_calls");
        let raw = r#"[{"id":"c1",  "n": 1e400}]"#;
        choice.extras.push(("tool_calls".into(), RawValue::from_string(raw.into()).unwrap()));
        choice.extras.push(("role".into(), RawValue::from_string("\"x\"".into()).unwrap()));
        let body = completion(&samples::answer(vec![choice]), &attribution(), 0, false);
        let text = String::from_utf8(body).unwrap();
        let message = format!(r#""message":{{"role":"assistant","content":null,"tool_calls":{raw}}}"#);
        assert!(text.contains(&message), "{text}");
    }

    #[test]
    fn models_are_listed() {
        let all = [("sn1".into(), 5), ("sn1:top_n=3".into(), 6)];
        let list: Value = serde_json::from_slice(&models(&all)).unwrap();
        assert_eq!(list["object"], "list");
        assert_eq!(list["data"][1], json!({"id": "sn1:top_n=3", "object": "model", "created": 6, "owned_by": "btvep"}));
        assert_eq!(serde_json::from_slice::<Value>(&model(&all[1])).unwrap(), list["data"][1]);
    }
}
