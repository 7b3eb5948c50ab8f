use btvep_domain::Kind;
use serde_json::{Value, json};

use super::*;

fn attribution() -> Attribution {
    Attribution { request_id: "req_1".into(), model: Some("m".into()), ..Attribution::default() }
}

fn text(choice: u32, content: &str) -> Delta {
    Delta { choice, content: content.into(), ..Delta::default() }
}

fn finish(choice: u32, reason: &str) -> Delta {
    Delta { choice, finish_reason: Some(reason.into()), ..Delta::default() }
}

/// Streams the fragments and returns each event's JSON; `[DONE]` is checked and left out.
fn events(deltas: &[Delta], include_usage: bool, usage: Option<Usage>) -> Vec<Value> {
    let mut writer = ChunkWriter::new(&attribution(), 17, include_usage);
    let mut out = Vec::new();
    for delta in deltas {
        writer.delta(delta, &mut out);
    }
    writer.end(Some(&attribution()), usage, &mut out);
    parse(&out)
}

fn parse(out: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(out).unwrap();
    let events = text.strip_suffix("data: [DONE]\n\n").expect("[DONE] is the end");
    events.split_terminator("\n\n").map(|e| serde_json::from_str(e.strip_prefix("data: ").unwrap()).unwrap()).collect()
}

fn choices(events: &[Value]) -> Vec<Value> {
    events.iter().map(|event| event["choices"][0].clone()).collect()
}

#[test]
fn the_first_delta_has_the_role_and_the_last_chunk_the_reason() {
    let events = events(&[text(0, "a\nb"), text(0, "😀"), finish(0, "length")], false, None);
    for event in &events {
        let labels = ["id", "object", "created", "model"].map(|name| event[name].clone());
        assert_eq!(labels, [json!("chatcmpl-req_1"), json!("chat.completion.chunk"), json!(17), json!("m")]);
        assert_eq!(event.get("usage"), None);
    }
    assert_eq!(
        choices(&events),
        [
            json!({"index": 0, "delta": {"role": "assistant", "content": "a\nb"}, "logprobs": null, "finish_reason": null}),
            json!({"index": 0, "delta": {"content": "😀"}, "logprobs": null, "finish_reason": null}),
            json!({"index": 0, "delta": {}, "logprobs": null, "finish_reason": "length"}),
        ]
    );
    assert_eq!(events[2]["validator"]["request_id"], "req_1");
    assert_eq!(events[1].get("validator"), None);
}

#[test]
fn usage_comes_alone_and_last_when_asked_for() {
    let usage = Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };
    let events = events(&[text(0, "a"), finish(0, "stop")], true, Some(usage));
    assert_eq!(events.len(), 3);
    assert_eq!((&events[0]["usage"], &events[1]["usage"]), (&Value::Null, &Value::Null));
    assert_eq!(events[1].get("validator"), None);
    assert_eq!(events[2]["choices"], json!([]));
    assert_eq!(events[2]["usage"]["total_tokens"], 3);
    assert_eq!(events[2]["validator"]["model"], "m");
}

#[test]
fn text_and_reason_in_one_fragment_are_two_chunks() {
    let last = Delta { finish_reason: Some("eos".into()), ..text(0, "end") };
    let seen = choices(&events(&[last], false, None));
    assert_eq!(seen[0]["delta"], json!({"role": "assistant", "content": "end"}));
    assert_eq!((&seen[1]["delta"], &seen[1]["finish_reason"]), (&json!({}), &json!("stop")));
}

#[test]
fn every_choice_has_a_role_and_an_end() {
    let events = events(&[text(0, "a"), text(1, "b"), finish(1, "length")], false, None);
    let ends: Vec<_> = choices(&events[2..]).iter().map(|c| (c["index"].clone(), c["finish_reason"].clone())).collect();
    assert_eq!(ends, [(json!(0), json!("stop")), (json!(1), json!("length"))]);
    assert_eq!(events[1]["choices"][0]["delta"]["role"], "assistant");
    assert!(events[2].get("validator").is_none() && events[3].get("validator").is_some());
}

#[test]
fn tool_calls_pass_untouched_without_an_invented_text() {
    let raw = r#"[{"index":0,"function":{"arguments":"{\"a\": 1"}}]"#;
    let call = Delta { extras: vec![("tool_calls".into(), RawValue::from_string(raw.into()).unwrap())], ..text(0, "") };
    let mut writer = ChunkWriter::new(&attribution(), 17, false);
    let mut out = Vec::new();
    writer.delta(&call, &mut out);
    writer.delta(&call, &mut out);
    let sent = String::from_utf8(out).unwrap();
    assert!(sent.contains(&format!(r#""delta":{{"role":"assistant","content":null,"tool_calls":{raw}}}"#)), "{sent}");
    assert!(sent.contains(&format!(r#""delta":{{"tool_calls":{raw}}}"#)), "{sent}");
}

#[test]
fn a_stream_without_fragments_still_has_a_choice() {
    let seen = choices(&events(&[], false, None));
    assert_eq!(seen[0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(seen[1]["finish_reason"], "stop");
}

#[test]
fn a_miner_cannot_grow_the_list_of_choices() {
    let deltas: Vec<_> = (0..1000).map(|choice| text(choice, "x")).collect();
    assert_eq!(events(&deltas, false, None).len(), 2 * CHOICES);
}

#[test]
fn a_broken_stream_ends_with_an_error_object() {
    let mut writer = ChunkWriter::new(&attribution(), 17, false);
    let mut out = Vec::new();
    writer.delta(&text(0, "half"), &mut out);
    let rejection = Rejection::new(Kind::AllMinersFailed, "the miner broke off");
    writer.failed(&rejection, Some(&attribution()), &mut out);
    let events = parse(&out);
    assert_eq!(events[1]["error"]["message"], "the miner broke off");
    assert_eq!(events[1]["error"]["code"], "all_miners_failed");
    assert_eq!(events[1]["validator"]["request_id"], "req_1");
}
