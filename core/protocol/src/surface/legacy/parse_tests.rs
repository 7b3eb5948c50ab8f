use serde_json::{Value, json};

use super::super::error;
use super::*;

fn limits() -> LimitsConfig {
    LimitsConfig { messages: 3, uids: 3, top_n: 4, in_parallel: 5, ..LimitsConfig::default() }
}

fn read(body: &str) -> Result<Prompt, Rejection> {
    parse(body.as_bytes(), &limits())
}

fn with(more: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{more}}}"#)
}

/// Checks the 422 of a body: each error's place, message and kind.
#[track_caller]
fn refused(body: &str, expected: &[(Value, &str, &str)]) {
    let rejection = read(body).expect_err(body);
    assert_eq!(error::status(rejection.kind), 422, "{body}");
    let detail: Vec<Value> =
        expected.iter().map(|(loc, msg, kind)| json!({"loc": loc, "msg": msg, "type": kind})).collect();
    assert_eq!(
        serde_json::from_slice::<Value>(&error::error(&rejection)).unwrap(),
        json!({"detail": detail}),
        "{body}"
    );
}

#[test]
fn what_the_original_coerced_is_coerced() {
    let prompt = read(
        r#"{"messages":[{"role":"system","content":5,"name":"x"},{"role":"user","content":"\u00e9\n\"q\""}],
            "uids":["1",2.7,true],"top_n":"3","in_parallel":2.2,"respond_on_first_success":"no",
            "model":7,"stream":true,"temperature":"hot"}"#,
    )
    .unwrap();
    let expected = r#"{"messages":[{"role":"system","content":"5"},{"role":"user","content":"é\n\"q\""}]}"#;
    assert_eq!(prompt.body, expected);
    assert_eq!(prompt.fields.len(), 1);
    assert_eq!(&prompt.body[prompt.fields[0].value.clone()], &expected.as_bytes()[12..expected.len() - 1]);
    assert_eq!((prompt.stream, prompt.model, prompt.n), (false, None, 1));
    assert_eq!(
        prompt.strategy,
        StrategyFields {
            strategy: None,
            uids: Some(vec![1, 2, 1]),
            top_n: Some(3),
            in_parallel: Some(2),
            respond_on_first_success: Some(false),
        }
    );
}

#[test]
fn null_is_the_default() {
    let prompt = read(&with(r#""uids":null,"top_n":null,"in_parallel":null,"respond_on_first_success":null"#)).unwrap();
    assert_eq!(prompt.strategy, StrategyFields::default());
}

#[test]
fn bodies_that_are_no_request() {
    let none = || json!(["body"]);
    refused("", &[(none(), "field required", "value_error.missing")]);
    refused("[]", &[(none(), "value is not a valid dict", "type_error.dict")]);
    refused("{}", &[(json!(["body", "messages"]), "field required", "value_error.missing")]);
    let text = "the body is not valid JSON: expected value at line 1 column 6";
    refused("{\"a\":}", &[(json!(["body", 5]), text, "value_error.jsondecode")]);
    let deep = format!("{{\"a\":{}}}", "[".repeat(100));
    refused(&deep, &[(none(), "the body is nested deeper than 64 levels", "value_error.jsondecode")]);
    let twice = &[(json!(["body", "top_n"]), "`top_n` stands twice in the body", "value_error.duplicate")];
    refused(&with(r#""top_n":1,"top_n":2"#), twice);
}

#[test]
fn conversations_that_are_none() {
    let list = || json!(["body", "messages"]);
    refused(r#"{"messages":null}"#, &[(list(), "none is not an allowed value", "type_error.none.not_allowed")]);
    refused(r#"{"messages":"hi"}"#, &[(list(), "value is not a valid list", "type_error.list")]);
    let few = "ensure this value has at least 1 items";
    refused(r#"{"messages":[]}"#, &[(list(), few, "value_error.list.min_items")]);
    let many = "ensure this value has at most 3 items";
    refused(r#"{"messages":[1,2,3,4]}"#, &[(list(), many, "value_error.list.max_items")]);
    let role = "unexpected value; permitted: 'user', 'system', 'assistant'";
    refused(
        r#"{"messages":["hi",null,{"role":"robot","content":[]}]}"#,
        &[
            (json!(["body", "messages", 0]), "value is not a valid dict", "type_error.dict"),
            (json!(["body", "messages", 1]), "none is not an allowed value", "type_error.none.not_allowed"),
            (json!(["body", "messages", 2, "role"]), role, "value_error.const"),
            (json!(["body", "messages", 2, "content"]), "str type expected", "type_error.str"),
        ],
    );
    refused(
        r#"{"messages":[{"content":null}]}"#,
        &[
            (json!(["body", "messages", 0, "role"]), "field required", "value_error.missing"),
            (json!(["body", "messages", 0, "content"]), "none is not an allowed value", "type_error.none.not_allowed"),
        ],
    );
}

#[test]
fn selections_of_the_wrong_type() {
    let integer = "value is not a valid integer";
    refused(
        &with(r#""uids":"1","top_n":"x","in_parallel":[],"respond_on_first_success":2"#),
        &[
            (json!(["body", "uids"]), "value is not a valid list", "type_error.list"),
            (json!(["body", "top_n"]), integer, "type_error.integer"),
            (json!(["body", "in_parallel"]), integer, "type_error.integer"),
            (json!(["body", "respond_on_first_success"]), "value could not be parsed to a boolean", "type_error.bool"),
        ],
    );
    refused(
        &with(r#""uids":[1,null,"2.5"]"#),
        &[
            (json!(["body", "uids", 1]), "none is not an allowed value", "type_error.none.not_allowed"),
            (json!(["body", "uids", 2]), integer, "type_error.integer"),
        ],
    );
    refused(&with(r#""top_n":1e999"#), &[(json!(["body", "top_n"]), integer, "type_error.integer")]);
}

#[test]
fn more_miners_than_allowed_is_a_400() {
    for more in [r#""uids":[1,2,3,4]"#, r#""top_n":5"#, r#""in_parallel":6"#, r#""top_n":99999999999999999999"#] {
        let rejection = read(&with(more)).expect_err(more);
        assert_eq!(error::status(rejection.kind), 400);
    }
}

#[test]
fn a_long_list_of_errors_is_cut() {
    let limits = LimitsConfig::default();
    let body = format!(r#"{{"messages":[{}0]}}"#, "0,".repeat(900));
    assert_eq!(parse(body.as_bytes(), &limits).unwrap_err().fields.len(), ERRORS);
}
