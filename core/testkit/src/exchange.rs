use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{
    Credential, Credits, Exchange, Field, Key, Message, Modality, Model, ParameterMode, Prompt, Role, Route, Secret,
    Selection, SelectionSource, Surface,
};
use bytes::Bytes;

/// Returns an enabled key without expiry and policy.
pub fn key() -> Key {
    Key {
        id: "testkey00001".parse().expect("it is an id"),
        name: Some("test".into()),
        enabled: true,
        valid_until: None,
        created_at: 1_700_000_000,
        updated_at: 1_700_000_000,
        policy: None,
    }
}

/// Returns the model `test` of subnet `sn1`, one credit a choice.
pub fn model() -> Model {
    Model {
        id: "test".into(),
        upstream_name: None,
        route: Route::Subnet("sn1".into()),
        modality: Modality::Chat,
        price: Credits::whole(1),
        default_strategy: None,
        presets: Vec::new(),
        mode: ParameterMode::Strict,
        created: 1_700_000_000,
    }
}

/// Returns a prompt of one user message for the model `test`, with the body it would have been parsed from.
pub fn prompt(text: &str) -> Prompt {
    let messages = serde_json::json!([{ "role": "user", "content": text }]).to_string();
    let mut body = String::from(r#"{"model":"#);
    let model = span(&mut body, r#""test""#);
    body.push_str(r#","messages":"#);
    let messages = span(&mut body, &messages);
    body.push('}');
    Prompt {
        body: Bytes::from(body),
        fields: vec![Field { name: "model".into(), value: model }, Field { name: "messages".into(), value: messages }],
        model: Some("test".to_owned()),
        messages: vec![Message { role: Role::User, text: text.to_owned(), more_than_text: false }],
        n: 1,
        ..Prompt::default()
    }
}

/// Returns a request as it stands after the local filters and before admission, asking "hello" of one miner.
pub fn exchange() -> Exchange {
    Exchange {
        request_id: "req_test".into(),
        config: Some("0123456789ab".into()),
        received_at_ms: 1_700_000_000_000,
        received_at: Duration::from_secs(1),
        surface: Surface::OpenAi,
        client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        credential: Credential::Key(Secret::new("btvep_testkey00001_secret")),
        strategy_header: None,
        timeout: None,
        client_retry: None,
        prompt: Ok(Arc::new(prompt("hello"))),
        key: Some(Arc::new(key())),
        model: Some(Arc::new(model())),
        selection: Some(Selection {
            name: "default".into(),
            source: SelectionSource::Default,
            uids: Vec::new(),
            top_n: None,
            quorum: None,
            in_parallel: None,
            first_success: true,
        }),
        rules: Arc::new([]),
        attempts_rule: None,
        concurrency: None,
        metered: false,
        rate: None,
        verdict: None,
        explain: false,
        explanation: None,
    }
}

fn span(body: &mut String, value: &str) -> std::ops::Range<usize> {
    let start = body.len();
    body.push_str(value);
    start..body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_prompt_point_into_its_body() {
        let prompt = prompt("say \"hi\" 😀");
        let whole: serde_json::Value = serde_json::from_slice(&prompt.body).unwrap();
        for field in &prompt.fields {
            let value: serde_json::Value = serde_json::from_slice(&prompt.body[field.value.clone()]).unwrap();
            assert_eq!(whole[&*field.name], value);
        }
        assert_eq!(whole["messages"][0]["content"], "say \"hi\" 😀");
    }
}
