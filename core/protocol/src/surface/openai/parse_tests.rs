use btvep_domain::{Message, Role};

use super::*;

fn read(body: &str) -> Result<Prompt, Rejection> {
    let limits = LimitsConfig { messages: 3, uids: 3, top_n: 4, in_parallel: 5, choices: 2, ..LimitsConfig::default() };
    parse(Bytes::copy_from_slice(body.as_bytes()), &limits)
}

/// A body with one user message and more members.
fn with(more: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{more}}}"#)
}

fn said(messages: &str) -> Result<Vec<Message>, Rejection> {
    read(&format!(r#"{{"messages":{messages}}}"#)).map(|prompt| prompt.messages)
}

#[track_caller]
fn refused(body: &str, kind: Kind, param: Option<&str>) {
    let rejection = read(body).expect_err(body);
    assert_eq!((rejection.kind, rejection.param.as_deref()), (kind, param), "{body}: {}", rejection.message);
    assert!(rejection.message.len() > 10 && !rejection.message.ends_with('.'), "{}", rejection.message);
}

#[test]
fn our_members_choose_miners_and_stay_with_us() {
    let prompt = read(&with(
        r#""uids":[2,-1,2],"top_n":0,"in_parallel":-3,"respond_on_first_success":false,"strategy":"top_n=5",
           "seed":18446744073709551615,"extra":{"z":1e400}"#,
    ))
    .unwrap();
    assert_eq!(
        prompt.strategy,
        StrategyFields {
            strategy: Some("top_n=5".into()),
            uids: Some(vec![2, -1, 2]),
            top_n: Some(0),
            in_parallel: Some(-3),
            respond_on_first_success: Some(false),
        }
    );
    let fields: Vec<_> = prompt.fields.iter().map(|f| (&*f.name, &prompt.body[f.value.clone()])).collect();
    assert_eq!(fields[0], ("model", &b"\"m\""[..]));
    assert_eq!(fields[2..], [("seed", &b"18446744073709551615"[..]), ("extra", &b"{\"z\":1e400}"[..])]);
}

#[test]
fn explicit_nulls_are_absent() {
    let nulls = ["model", "stream", "stream_options", "n", "temperature", "stop", "tools", "uids", "top_n", "strategy"];
    let members: Vec<_> = nulls.iter().map(|name| format!("\"{name}\":null")).collect();
    let body = format!(r#"{{"messages":[{{"role":"user","content":"x"}}],{}}}"#, members.join(","));
    let prompt = read(&body).unwrap();
    assert_eq!((prompt.model, prompt.stream, prompt.n), (None, false, 1));
    assert_eq!(prompt.strategy, StrategyFields::default());
}

#[test]
fn content_is_text_parts_or_null_beside_tool_calls() {
    let messages = said(
        r#"[{"role":"system","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{}},{"type":"text","text":"b"}]},
            {"role":"assistant","content":null,"tool_calls":[{"id":"c"}]},
            {"role":"tool","content":"\ud83d\ude00","tool_call_id":"c"}]"#,
    )
    .unwrap();
    let seen: Vec<_> = messages.iter().map(|m| (m.role, m.text.as_str(), m.more_than_text)).collect();
    assert_eq!(seen, [(Role::System, "a\nb", true), (Role::Assistant, "", true), (Role::Tool, "😀", false)]);
}

#[test]
fn stream_and_choices_are_read() {
    let prompt = read(&with(r#""stream":true,"stream_options":{"include_usage":true},"n":2"#)).unwrap();
    assert!(prompt.stream && prompt.include_usage);
    assert_eq!(prompt.n, 2);
}

#[test]
fn bodies_that_are_no_json_object() {
    for body in ["", "{", "[]", "nope", "{\"a\":}", "{} {}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\t\"}"] {
        refused(body, Kind::MalformedBody, None);
    }
    refused(&format!(r#"{{"a":{}}}"#, "[".repeat(100)), Kind::MalformedBody, None);
    refused(&with(r#""model":"again""#), Kind::InvalidField, Some("model"));
}

#[test]
fn conversations_that_are_none() {
    for (messages, param) in [
        ("null", "messages"),
        ("[]", "messages"),
        ("\"hi\"", "messages"),
        ("{}", "messages"),
        (r#"["hi"]"#, "messages[0]"),
        (r#"[{"content":"x"}]"#, "messages[0].role"),
        (r#"[{"role":5,"content":"x"}]"#, "messages[0].role"),
        (r#"[{"role":"robot","content":"x"}]"#, "messages[0].role"),
        (r#"[{"role":"user"}]"#, "messages[0].content"),
        (r#"[{"role":"user","content":null}]"#, "messages[0].content"),
        (r#"[{"role":"user","content":5}]"#, "messages[0].content"),
        (r#"[{"role":"user","content":{}}]"#, "messages[0].content"),
        (r#"[{"role":"user","content":[]}]"#, "messages[0].content"),
        (r#"[{"role":"user","content":["x"]}]"#, "messages[0].content[0].type"),
        (r#"[{"role":"user","content":[{"type":"text"}]}]"#, "messages[0].content[0].text"),
        (r#"[{"role":"assistant","content":null}]"#, "messages[0].content"),
        ("[1,2,3,4]", "messages"),
    ] {
        refused(&format!(r#"{{"messages":{messages}}}"#), Kind::InvalidField, Some(param));
    }
    refused("{}", Kind::InvalidField, Some("messages"));
    refused(r#"{"messages":[{"role":"user","role":"system","content":"x"}]}"#, Kind::InvalidField, None);
}

#[test]
fn parameters_of_the_wrong_type() {
    for (more, param) in [
        (r#""n":0"#, "n"),
        (r#""n":3"#, "n"),
        (r#""n":1.0"#, "n"),
        (r#""n":true"#, "n"),
        (r#""stream":"yes""#, "stream"),
        (r#""stream":1"#, "stream"),
        (r#""stream_options":[]"#, "stream_options"),
        (r#""stream_options":{"include_usage":1}"#, "stream_options.include_usage"),
        (r#""temperature":"hot""#, "temperature"),
        (r#""max_tokens":1.5"#, "max_tokens"),
        (r#""seed":"x""#, "seed"),
        (r#""tools":{}"#, "tools"),
        (r#""stop":7"#, "stop"),
        (r#""logit_bias":[]"#, "logit_bias"),
        (r#""user":1"#, "user"),
        (r#""logprobs":0"#, "logprobs"),
        (r#""uids":"1,2""#, "uids"),
        (r#""uids":[1,"2"]"#, "uids"),
        (r#""uids":[1.5]"#, "uids"),
        (r#""top_n":"5""#, "top_n"),
        (r#""top_n":99999999999999999999"#, "top_n"),
        (r#""in_parallel":2.5"#, "in_parallel"),
        (r#""respond_on_first_success":0"#, "respond_on_first_success"),
        (r#""strategy":[]"#, "strategy"),
        (r#""strategy":"""#, "strategy"),
    ] {
        refused(&with(more), Kind::InvalidField, Some(param));
    }
    refused(&format!(r#"{{"model":"{}","messages":[]}}"#, "m".repeat(300)), Kind::InvalidField, Some("model"));
    refused(r#"{"model":5,"messages":[]}"#, Kind::InvalidField, Some("model"));
}

#[test]
fn more_miners_than_allowed() {
    refused(&with(r#""uids":[1,2,3,4]"#), Kind::InvalidSelection, Some("uids"));
    refused(&with(r#""top_n":5"#), Kind::InvalidSelection, Some("top_n"));
    refused(&with(r#""in_parallel":6"#), Kind::InvalidSelection, Some("in_parallel"));
    assert_eq!(read(&with(r#""top_n":4,"in_parallel":5"#)).unwrap().strategy.top_n, Some(4));
}
