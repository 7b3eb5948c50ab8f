use btvep_domain::{Delta, FailureKind, Role};
use http::HeaderValue;
use serde_json::Value;

use super::*;
use crate::fixture::{Decoded, call, decode, legacy, prompt, target, text};

fn body(received: &str, stream: bool) -> String {
    let (prompt, target) = (prompt(received), target(None));
    String::from_utf8(request_body(&call(&prompt, &target, stream)).to_vec()).unwrap()
}

#[test]
fn what_is_not_ours_reaches_the_miner_to_the_byte() {
    let received = r#"{ "seed" :18446744073709551615, "model":"x", "temperature":1e400, "t":-0.0,
        "messages":[ {"role":"user","content":"caf\u00e9 é"} ], "unknown":{"b": 1,"a":[ ]}, "null":null }"#;
    let expected = r#"{"seed":18446744073709551615,"model":"echo","temperature":1e400,"t":-0.0,"messages":[ {"role":"user","content":"caf\u00e9 é"} ],"unknown":{"b": 1,"a":[ ]},"null":null}"#;
    assert_eq!(body(received, false), expected);
}

#[test]
fn a_stream_is_asked_for_with_usage() {
    let cases = [
        (
            r#"{"messages":[]}"#,
            r#"{"messages":[],"model":"echo","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream":null,"messages":[]}"#,
            r#"{"stream":true,"messages":[],"model":"echo","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":false,"x":1.0},"messages":[]}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true,"x":1.0},"messages":[],"model":"echo"}"#,
        ),
        (
            r#"{"stream_options":null,"messages":[],"stream":false}"#,
            r#"{"stream_options":{"include_usage":true},"messages":[],"stream":true,"model":"echo"}"#,
        ),
    ];
    for (received, expected) in cases {
        assert_eq!(body(received, true), expected);
    }
}

#[test]
fn a_whole_answer_is_asked_for_without_stream_options() {
    let received = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    assert_eq!(body(received, false), r#"{"model":"echo","stream":false,"messages":[]}"#);
}

#[test]
fn no_member_is_written_twice() {
    let mut prompt = prompt(r#"{"model":"a","x":1,"stream":null,"messages":[]}"#);
    let again = prompt.fields.clone();
    prompt.fields.extend(again.into_iter().filter(|f| matches!(f.name.as_ref(), "model" | "stream")));
    prompt.fields[1].name = r"mod\u0065l".into();
    let target = target(None);
    let body = request_body(&call(&prompt, &target, true));
    let text = std::str::from_utf8(&body).unwrap();
    assert_eq!(text.matches("\"model\"").count(), 1, "{text}");
    assert_eq!(text.matches("\"stream\"").count(), 1, "{text}");
    assert!(!text.contains("u0065"), "{text}");
}

#[test]
fn a_legacy_prompt_becomes_model_and_messages() {
    let prompt = legacy(&[(Role::System, "be \"kind\""), (Role::User, "hi\n\u{1}")]);
    let target = target(None);
    let body = |stream| String::from_utf8(request_body(&call(&prompt, &target, stream)).to_vec()).unwrap();
    let whole = r#"{"model":"echo","messages":[{"role":"system","content":"be \"kind\""},{"role":"user","content":"hi\n\u0001"}]}"#;
    assert_eq!(body(false), whole);
    let stream: Value = serde_json::from_str(&body(true)).unwrap();
    assert_eq!(stream["stream"], true);
    assert_eq!(stream["stream_options"]["include_usage"], true);
}

fn answer(n: u32, kind: &str, pieces: &[&[u8]], clean: bool) -> (Decoded, Option<btvep_domain::Usage>) {
    let mut prompt = legacy(&[(Role::User, "hi")]);
    prompt.n = n;
    let target = target(None);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
    let mut decoder = decoder(&call(&prompt, &target, true), StatusCode::OK, &headers);
    (decode(decoder.as_mut(), pieces, clean), decoder.usage())
}

fn whole(n: u32, json: &str) -> Decoded {
    answer(n, "application/json", &[json.as_bytes()], true).0
}

fn stream(n: u32, text: &str) -> Decoded {
    answer(n, "text/event-stream; charset=utf-8", &[text.as_bytes()], true).0
}

fn failure(decoded: Decoded) -> (FailureKind, String) {
    let failure = decoded.unwrap_err();
    (failure.kind, failure.message)
}

#[test]
fn choices_keep_their_indexes_and_unknown_members() {
    let deltas = whole(
        2,
        r#"{"choices":[
            {"index":1,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a", "n":1e400}]},"finish_reason":"tool_calls","logprobs":null},
            {"index":0,"message":{"role":"assistant","content":"é","annotations":[]},"finish_reason":"stop","logprobs":{"content": [1.50]}},
            {"index":2,"message":{"content":"more than was asked for"}}]}"#,
    )
    .unwrap();
    assert_eq!(deltas.len(), 2);
    assert_eq!((deltas[0].choice, deltas[0].content.as_str()), (1, ""));
    assert_eq!(deltas[0].extras[0].0.as_ref(), "tool_calls");
    assert_eq!(deltas[0].extras[0].1.get(), r#"[{"id":"a", "n":1e400}]"#);
    assert_eq!(deltas[0].extras.len(), 1);
    assert_eq!(deltas[1].logprobs.as_ref().unwrap().get(), r#"{"content": [1.50]}"#);
    assert_eq!(deltas[1].finish_reason.as_deref(), Some("stop"));
    assert!(deltas[1].extras.is_empty());
}

#[test]
fn a_whole_answer_that_is_none_fails() {
    use FailureKind::{Disconnected, Empty, Malformed, Status};
    let empty = (Empty, "Empty response".to_owned());
    assert_eq!(failure(whole(1, r#"{"choices":[{"message":{"content":"","refusal":null}}]}"#)), empty);
    assert_eq!(failure(whole(1, r#"{"choices":[]}"#)), empty);
    assert_eq!(failure(whole(1, r#"{"choices":null}"#)), empty);
    assert_eq!(failure(whole(1, r#"{"error":{"message":"no model"},"choices":[]}"#)), (Status, "no model".into()));
    assert!(whole(1, r#"{"error":{},"choices":[{"message":{"content":"x"}}]}"#).is_ok());
    for bad in [r#"{"choices": ["#, "<html>", r#"{"choices":"secret words"}"#, "\u{fffd}", ""] {
        let (kind, message) = failure(whole(1, bad));
        assert_eq!(kind, Malformed);
        assert!(message.starts_with("Failed to parse response object with error: "), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
    let twice = r#"{"choices":[{"index":0,"message":{"content":"a"}},{"index":0,"message":{"content":"b"}}]}"#;
    assert_eq!(failure(whole(2, twice)).0, Malformed);
    let cut = answer(1, "application/json", &[br#"{"choices":[{"message":{"content":"x"}}]}"#], false).0;
    assert_eq!(failure(cut).0, Disconnected);
}

#[test]
fn odd_token_counts_fail_no_answer() {
    let with = |usage: &str| {
        let json = format!(r#"{{"choices":[{{"message":{{"content":"x"}}}}],"usage":{usage}}}"#);
        let (decoded, usage) = answer(1, "application/json", &[json.as_bytes()], true);
        assert!(decoded.is_ok());
        usage
    };
    assert_eq!(with(r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"x":{}}"#).unwrap().total_tokens, 7);
    assert_eq!(with("null"), None);
    assert_eq!(with(r#"{"prompt_tokens":-1}"#), None);
}

#[test]
fn a_compressed_answer_is_refused() {
    let (prompt, target) = (legacy(&[]), target(None));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let mut decoder = decoder(&call(&prompt, &target, false), StatusCode::OK, &headers);
    assert_eq!(failure(decode(decoder.as_mut(), &[b"x"], true)).0, FailureKind::Malformed);
}

fn chunk(delta: &str, finish: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n")
}

#[test]
fn a_stream_is_whole_by_its_end_mark_or_by_its_finish_reasons() {
    let hello = chunk(r#"{"role":"assistant","content":"hello"}"#, "null");
    let stop = chunk("{}", "\"stop\"");
    for good in [
        format!("{hello}{stop}data: [DONE]\n\n"),
        format!("{hello}data: [DONE]"),
        format!("{hello}{stop}"),
        format!(": ping\n\n{hello}: ping\n\n{stop}data: [DONE]\n\nleft over"),
    ] {
        assert_eq!(text(&stream(1, &good).unwrap()), "hello", "{good}");
    }
    let not_whole = "the stream ended before the answer was whole".to_owned();
    assert_eq!(failure(stream(1, &hello)), (FailureKind::Malformed, not_whole.clone()));
    let cut = answer(1, "text/event-stream", &[hello.as_bytes()], false).0;
    assert_eq!(failure(cut), (FailureKind::Disconnected, not_whole.clone()));
    assert_eq!(failure(stream(1, "")), (FailureKind::Malformed, not_whole));
}

#[test]
fn every_choice_must_have_ended() {
    let both = r#"data: {"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}"#;
    let end = |index: u32| format!("data: {{\"choices\":[{{\"index\":{index},\"finish_reason\":\"stop\"}}]}}\n\n");
    assert!(stream(2, &format!("{both}\n\n{}", end(0))).is_err());
    let deltas = stream(2, &format!("{both}\n\n{}{}", end(1), end(0))).unwrap();
    assert_eq!(text(&deltas), "a");
    assert_eq!(deltas.iter().map(|delta| delta.choice).collect::<Vec<_>>(), [0, 1, 1, 0]);
    // Of one choice asked for, the second is left out, also its end.
    assert!(stream(1, &format!("{both}\n\n{}", end(1))).is_err());
}

#[test]
fn fragments_hold_what_the_chunk_holds() {
    let tool = r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\""}}],"content":null}"#;
    let deltas = stream(1, &format!("{}{}", chunk(tool, "null"), chunk("{}", "\"tool_calls\""))).unwrap();
    assert_eq!(deltas[0].extras[0].1.get(), r#"[{"index":0,"function":{"arguments":"{\""}}]"#);
    assert!(Delta::has_substance(&deltas[0]));
    assert_eq!(deltas[1].finish_reason.as_deref(), Some("tool_calls"));
    let silent =
        stream(1, &format!("{}{}", chunk(r#"{"role":"assistant","content":""}"#, "\"\""), chunk("{}", "\"stop\"")));
    assert_eq!(failure(silent), (FailureKind::Empty, "Empty response".into()));
}

#[test]
fn an_error_within_a_stream_is_a_failure() {
    let hello = chunk(r#"{"content":"hello"}"#, "null");
    for bad in [
        "data: {\"error\":{\"message\":\"broke\"}}\n\n",
        "data: {\"error\":\"broke\"}\n\n",
        "event: error\ndata: {\"message\":\"broke\"}\n\n",
    ] {
        let (kind, message) = failure(stream(1, &format!("{hello}{bad}data: [DONE]\n\n")));
        assert_eq!((kind, message.as_str()), (FailureKind::Status, "broke"));
    }
    assert_eq!(failure(stream(1, "data: {\n\n")).0, FailureKind::Malformed);
    let endless = format!("data: {}", "x".repeat(1 << 20));
    assert_eq!(failure(stream(1, &endless)).0, FailureKind::TooLarge);
}

#[test]
fn a_server_that_answers_whole_although_a_stream_was_asked_for_is_understood() {
    let json = br#"{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}"#;
    assert_eq!(text(&answer(1, "application/json", &[json], true).0.unwrap()), "hello");
    let sse = format!("{}data: [DONE]\n\n", chunk(r#"{"content":"hello"}"#, "null"));
    assert_eq!(text(&answer(1, "text/plain", &[sse.as_bytes()], true).0.unwrap()), "hello");
}
