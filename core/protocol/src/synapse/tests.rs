use btvep_domain::{FailureKind, MinerFailure, Role};
use serde_json::{Value, json};

use super::*;
use crate::fixture::{Recorded, call, decode, decode_at_every_cut, header, legacy, prompt, stamp, target, text};
use crate::signer::verify;

const PHRASE: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const MINER: &str = "5DtWUiwW2ryB7UaA3LMpPH5e3wj4uJi6viPuPVLWCed9HwSf";

fn protocol(config: &SynapseConfig) -> Synapse {
    Synapse::new(config, Arc::new(Signer::from_mnemonic(PHRASE).unwrap())).unwrap()
}

fn preset(preset: SynapsePreset) -> Synapse {
    protocol(&SynapseConfig { preset, ..SynapseConfig::default() })
}

fn config(toml_like: Value) -> SynapseConfig {
    serde_json::from_value(toml_like).unwrap()
}

fn bytes(hex_text: &str) -> [u8; 64] {
    hex::decode(hex_text.trim_start_matches("0x")).unwrap().try_into().unwrap()
}

/// The class of the recorded request in which many types are hashed.
fn rich() -> Synapse {
    protocol(&config(json!({
        "class": "RichPrompting",
        "mapping": {"objects": {"messages": "messages"}},
        "extra_fields": {
            "model": "m/1", "seed": null, "temperature": 0.7, "logprobs": true,
            "extra": {"a": [1, 2.0, null, true], "b": {"c": "d\"e'f"}}, "completion": null,
        },
        "hash_fields": ["messages", "model", "seed", "temperature", "logprobs", "extra"],
        "required_fields": ["messages", "model"],
    })))
}

/// The prompt of a recorded request, whichever way its class holds it.
fn recorded_prompt(body: &Value) -> Prompt {
    let texts = body["messages"].as_array().cloned().unwrap_or_default();
    let roles = body["roles"].as_array().cloned().unwrap_or_default();
    let messages = texts.iter().enumerate().map(|(place, text)| {
        let role = roles.get(place).or(text.get("role")).unwrap().as_str().unwrap();
        let text = text.get("content").unwrap_or(text).as_str().unwrap();
        (Role::from_name(role).unwrap(), text)
    });
    legacy(&messages.collect::<Vec<_>>())
}

fn check_request(recorded: &str, protocol: &Synapse) {
    let recorded = Recorded::read(recorded);
    let request = &recorded.request;
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let sender = request.header("bt_header_dendrite_hotkey").unwrap();
    let miner = recorded.keys["miner"]["ss58"].as_str().unwrap();
    let (prompt, target) = (recorded_prompt(&body), target(Some(miner)));
    let call = call(&prompt, &target, false);
    let nonce = request.header("bt_header_dendrite_nonce").unwrap().parse().unwrap();
    let stamp = stamp(nonce, request.header("bt_header_dendrite_uuid").unwrap());

    // What we would have hashed and signed is what the real dendrite hashed and signed.
    let hash = body_hash(protocol.fields.hashed(&prompt, Python::V3_11));
    assert_eq!(hash, request.header("computed_body_hash").unwrap());
    let signed = protocol.signed_text(miner, &stamp, &hash);
    let signature = bytes(request.header("bt_header_dendrite_signature").unwrap());
    assert!(verify(&sender.parse().unwrap(), signed.as_bytes(), &signature));

    // What we send is what it sent, but for what only it can know.
    let encoded = protocol.encode(&call, &stamp).unwrap();
    assert_eq!(encoded.path, request.target());
    let differing = ["bt_header_dendrite_signature", "bt_header_axon_port", "header_size", "total_size"];
    for (name, value) in request.header_map().iter().filter(|(name, _)| !differing.contains(&name.as_str())) {
        let theirs = ["host", "accept", "accept-encoding", "user-agent", "content-length", "bt_header_dendrite_ip"];
        if !theirs.contains(&name.as_str()) {
            assert_eq!(encoded.headers.get(name), Some(value), "{name}");
        }
    }
    let own = bytes(header(&encoded, "bt_header_dendrite_signature"));
    assert!(verify(&sender.parse().unwrap(), signed.as_bytes(), &own));
    check_body(&serde_json::from_slice(&encoded.body).unwrap(), body, header(&encoded, "bt_header_dendrite_signature"));
}

fn check_body(ours: &Value, mut theirs: Value, signature: &str) {
    theirs["total_size"] = json!(0);
    theirs["dendrite"]["ip"] = Value::Null;
    theirs["dendrite"]["signature"] = json!(signature);
    theirs["axon"]["port"] = json!(43499);
    assert_eq!(*ours, theirs);
}

#[test]
fn recorded_requests_are_made_again() {
    check_request(include_str!("../../tests/vectors/success_prompting_legacy.json"), &preset(SynapsePreset::Prompting));
    check_request(
        include_str!("../../tests/vectors/success_promptingsynapse.json"),
        &preset(SynapsePreset::PromptingSynapse),
    );
    check_request(include_str!("../../tests/vectors/success_unicode.json"), &preset(SynapsePreset::PromptingSynapse));
    check_request(
        include_str!("../../tests/vectors/stream_success.json"),
        &preset(SynapsePreset::StreamPromptingSynapse),
    );
    let tutorial = json!({"preset": "prompting_synapse", "class": "StreamPrompting", "streaming": true});
    check_request(include_str!("../../tests/vectors/stream_classvar.json"), &protocol(&config(tutorial)));
    check_request(include_str!("../../tests/vectors/success_rich.json"), &rich());
}

#[test]
fn nothing_hashed_is_the_hash_of_nothing() {
    let recorded = Recorded::read(include_str!("../../tests/vectors/success_nohash.json"));
    assert_eq!(body_hash([]), recorded.request.header("computed_body_hash").unwrap());
}

#[test]
fn recorded_body_hashes_are_made_again() {
    let recorded: Value = serde_json::from_str(include_str!("../../tests/vectors/body_hash.json")).unwrap();
    let mut seen = 0;
    for synapse in recorded["synapses"].as_array().unwrap() {
        let fields = synapse["fields"].as_object().unwrap();
        let parts = synapse["parts"].as_array().unwrap();
        let texts = parts.iter().map(|part| {
            let field = part["field"].as_str().unwrap();
            let text = crate::python_repr::str_of(&fields[field], Python::V3_11);
            assert_eq!(text, part["python_str"].as_str().unwrap());
            text
        });
        assert_eq!(body_hash(texts), synapse["body_hash"].as_str().unwrap());
        seen += 1;
    }
    assert!(seen > 3);
}

#[test]
fn the_task_name_of_the_second_stream_class_is_announced() {
    let (prompt, target) = (legacy(&[(Role::User, "hi")]), target(Some(MINER)));
    let encoded = preset(SynapsePreset::StreamPromptingSynapseV2)
        .encode(&call(&prompt, &target, true), &stamp(1, "lane"))
        .unwrap();
    assert_eq!(header(&encoded, "bt_header_input_obj_task_name"), "IiI=");
    assert_eq!(serde_json::from_slice::<Value>(&encoded.body).unwrap()["task_name"], "inference");
}

#[test]
fn a_text_field_can_hold_the_messages_as_json() {
    let protocol = protocol(&config(json!({
        "class": "Inference", "mapping": {"json": {"messages": "messages"}}, "streaming": true,
        "extra_fields": {"sampling_params": {"seed": 1}, "completion": ""},
        "required_fields": ["messages", "sampling_params"],
    })));
    let (prompt, target) = (legacy(&[(Role::Developer, "be kind"), (Role::User, "\u{1fa77}")]), target(Some(MINER)));
    let call = call(&prompt, &target, true);
    let encoded = protocol.encode(&call, &stamp(1, "lane")).unwrap();
    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
    let held = body["messages"].as_str().unwrap();
    assert_eq!(held, "[{\"role\":\"system\",\"content\":\"be kind\"},{\"role\":\"user\",\"content\":\"\u{1fa77}\"}]");
    assert_eq!(header(&encoded, "bt_header_input_obj_messages"), "IiI=");
    assert_eq!(header(&encoded, "bt_header_input_obj_sampling_params"), "e30=");
    assert_eq!(header(&encoded, "computed_body_hash"), body_hash([held.to_owned()]));
    // A text by itself is hashed as it is, by every Python.
    assert_eq!(protocol.next_reading(&call, &[0]), None);
}

#[test]
fn a_miner_of_another_python_is_asked_with_its_reading() {
    let protocol = preset(SynapsePreset::PromptingSynapse);
    let target = target(Some(MINER));
    // The hashes that are sent, one after the other, to a miner that refuses all.
    let refused = |message: &str, first: u8| {
        let prompt = legacy(&[(Role::User, message)]);
        let mut call = call(&prompt, &target, false);
        call.reading = first;
        let (mut hashes, mut tried) = (Vec::new(), Vec::new());
        loop {
            let encoded = protocol.encode(&call, &stamp(1, "lane")).unwrap();
            hashes.push(header(&encoded, "computed_body_hash").to_owned());
            tried.push(call.reading);
            let internal = protocol.decoder(&call, StatusCode::INTERNAL_SERVER_ERROR, &HeaderMap::new());
            let flaw = failure_of(internal, b"{\"message\":\"Internal Server Error #1\"}").flaw;
            match protocol.next_reading(&call, &tried) {
                Some(reading) => call.reading = reading,
                None => return (hashes, flaw),
            }
            assert_eq!(flaw, Flaw::Reread);
        }
    };
    let of = |texts: &[&str]| texts.iter().map(|text| body_hash([(*text).to_owned()])).collect::<Vec<_>>();
    assert_eq!(refused("plain é \u{1f600}", 0), (of(&["['plain é \u{1f600}']"]), Flaw::Miner));
    // Pink heart: shown since 3.12. Melting face: shown since 3.11, so 3.12 has nothing new to say.
    let (heart, heart_escaped) = ("['\u{1fa77}']", "['\\U0001fa77']");
    let (face, face_escaped) = ("['\u{1fae0}']", "['\\U0001fae0']");
    assert_eq!(refused("\u{1fa77}", 0).0, of(&[heart_escaped, heart]));
    assert_eq!(refused("\u{1fae0}", 0).0, of(&[face, face_escaped]));
    assert_eq!(refused("\u{1fa77}\u{1fae0}", 0).0.len(), 3);
    assert_eq!(refused("\u{2ffc}", 0).0.len(), 2);
    // A miner that was known for 3.10 and has a new Python.
    assert_eq!(refused("\u{1fae0}", 2).0, of(&[face_escaped, face]));
    assert_eq!(refused("plain", 2).0.len(), 1);
}

fn failure_of(mut decoder: Box<dyn Decoder>, body: &[u8]) -> MinerFailure {
    decode(decoder.as_mut(), &[body], true).unwrap_err()
}

/// The text of an answer, or what its failure says.
type Expected<'a> = Result<&'a str, (FailureKind, Flaw, &'a str)>;

fn check_answer(recorded: &str, preset_of_class: SynapsePreset, expected: Expected<'_>) {
    let recorded = Recorded::read(recorded);
    let (prompt, target) = (legacy(&[(Role::User, "x")]), target(Some(MINER)));
    let protocol = preset(preset_of_class);
    let decoded = decode_at_every_cut(&protocol, &call(&prompt, &target, true), recorded.response());
    match (decoded, expected) {
        (Ok(text), Ok(expected)) => assert_eq!(text, expected),
        (Err(failure), Err((kind, flaw, message))) => {
            assert_eq!((failure.kind, failure.flaw), (kind, flaw), "{failure}");
            assert!(failure.message.starts_with(message), "{failure}");
        }
        (decoded, expected) => panic!("{decoded:?} instead of {expected:?}"),
    }
}

#[test]
fn recorded_successes_are_decoded_wherever_they_are_cut() {
    use SynapsePreset::{Prompting, PromptingSynapse, StreamPromptingSynapse};
    let answer = Ok("echo:What is 1+1? Don't say \"two\".");
    check_answer(include_str!("../../tests/vectors/success_prompting_legacy.json"), Prompting, answer);
    check_answer(include_str!("../../tests/vectors/success_promptingsynapse.json"), PromptingSynapse, answer);
    check_answer(
        include_str!("../../tests/vectors/success_unicode.json"),
        PromptingSynapse,
        Ok("echo:naïve café ☕ 日本語 \u{200b} tab\t nl\n back\\slash 'q'"),
    );
    check_answer(
        include_str!("../../tests/vectors/stream_success.json"),
        StreamPromptingSynapse,
        Ok("echo:stream me a few words please"),
    );
    // A whole synapse of a class that could stream, and a stream of one that was not said to.
    check_answer(include_str!("../../tests/vectors/success_promptingsynapse.json"), StreamPromptingSynapse, answer);
    check_answer(
        include_str!("../../tests/vectors/stream_classvar.json"),
        Prompting,
        Ok("The quick brown fox jumps over the lazy dog."),
    );
    // Today's servers end a broken stream like a whole one.
    check_answer(
        include_str!("../../tests/vectors/stream_midfail.json"),
        StreamPromptingSynapse,
        Ok("echo:one two three "),
    );
}

#[test]
fn recorded_failures_say_why_and_whose() {
    use FailureKind::{Disconnected, Empty, Refused, Status, Timeout};
    use Flaw::{Miner, Request};
    let check = |recorded, kind, flaw, message| {
        check_answer(recorded, SynapsePreset::StreamPromptingSynapse, Err((kind, flaw, message)));
    };
    let blacklisted = "Forbidden. Key is blacklisted: everybody is blacklisted here.";
    check(include_str!("../../tests/vectors/blacklisted.json"), Refused, Miner, blacklisted);
    check(include_str!("../../tests/vectors/stream_blacklisted.json"), Refused, Miner, blacklisted);
    let mismatch = "Not Verified with error: Signature mismatch with 17953";
    check(include_str!("../../tests/vectors/bad_signature.json"), Refused, Miner, mismatch);
    let no_nonce = "Not Verified with error: Missing Nonce";
    check(include_str!("../../tests/vectors/missing_nonce.json"), Refused, Miner, no_nonce);
    let old = "Not Verified with error: Nonce is too old, a newer one";
    check(include_str!("../../tests/vectors/nonce_out_of_order_same_uuid.json"), Refused, Miner, old);
    let stale = "Not Verified with error: Nonce is too old: acceptable delta";
    check(include_str!("../../tests/vectors/stale_nonce.json"), Refused, Miner, stale);
    let internal = "Internal Server Error #";
    check(include_str!("../../tests/vectors/forward_exception.json"), Status, Miner, internal);
    check(include_str!("../../tests/vectors/stream_forward_exception.json"), Status, Miner, internal);
    check(include_str!("../../tests/vectors/body_hash_mismatch.json"), Status, Miner, internal);
    check(include_str!("../../tests/vectors/missing_body_field.json"), Status, Miner, internal);
    check(include_str!("../../tests/vectors/invalid_json_body.json"), Status, Request, "JSON decode error");
    let unknown = "Synapse name 'NotThere' not found. Available synapses ['Synapse', ";
    check(include_str!("../../tests/vectors/unknown_synapse.json"), Status, Miner, unknown);
    let late = "Response timeout after: 6.0s";
    check(include_str!("../../tests/vectors/priority_timeout.json"), Timeout, Miner, late);
    check(include_str!("../../tests/vectors/empty_completion.json"), Empty, Miner, "Empty response");
    let cut = "the stream ended before the answer was whole";
    check(include_str!("../../tests/vectors/stream_timeout.json"), Disconnected, Miner, cut);
}

#[test]
fn a_stream_that_ends_within_a_character_or_is_no_text_fails() {
    let protocol = preset(SynapsePreset::StreamPromptingSynapse);
    let (prompt, target) = (legacy(&[(Role::User, "x")]), target(Some(MINER)));
    let call = call(&prompt, &target, true);
    let run = |pieces: &[&[u8]]| {
        let mut decoder = protocol.decoder(&call, StatusCode::OK, &HeaderMap::new());
        decode(decoder.as_mut(), pieces, true)
    };
    assert_eq!(text(&run(&[b"caf\xc3", b"\xa9 \xf0\x9f", b"\x98", b"\x80"]).unwrap()), "café \u{1f600}");
    for bad in [&b"caf\xc3"[..], b"\xff", b"caf\xc3x"] {
        assert_eq!(run(&[bad]).unwrap_err().kind, FailureKind::Malformed);
    }
    assert_eq!(run(&[]).unwrap_err().kind, FailureKind::Empty);
}

#[test]
fn an_answer_of_another_shape_is_malformed() {
    let protocol = preset(SynapsePreset::Prompting);
    let (prompt, target) = (legacy(&[(Role::User, "x")]), target(Some(MINER)));
    let kind = |body: &str| {
        let decoder = protocol.decoder(&call(&prompt, &target, false), StatusCode::OK, &HeaderMap::new());
        failure_of(decoder, body.as_bytes()).kind
    };
    assert_eq!(kind(r#"{"completion":null}"#), FailureKind::Empty);
    assert_eq!(kind("{}"), FailureKind::Empty);
    for bad in [r#"{"completion":["a"]}"#, "[]", "", r#"{"completion":"a"} x"#, r#"{"completion":"a""#] {
        assert_eq!(kind(bad), FailureKind::Malformed, "{bad}");
    }
}

#[test]
fn what_a_synapse_cannot_carry_is_refused() {
    let protocol = preset(SynapsePreset::Prompting);
    let says = |body: &str, strict| protocol.accepts(&prompt(body), strict).map_err(|error| error.to_string());
    let plain = r#"{"model":"m","messages":[],"temperature":null,"tools":[],"n":1,"user":"u","stream":true}"#;
    assert_eq!(says(plain, true), Ok(()));
    let warm = r#"{"messages":[],"temperature":0.5}"#;
    assert_eq!(says(warm, false), Ok(()));
    assert!(says(warm, true).unwrap_err().contains("`temperature`"));
    assert!(says(r#"{"messages":[],"n":2}"#, true).unwrap_err().contains("`n`"));
    let image = r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#;
    assert!(says(image, false).unwrap_err().contains("text only"));
}

#[test]
fn contradicting_settings_are_refused() {
    let says = |value: Value| {
        let signer = Arc::new(Signer::from_uri("//Alice").unwrap());
        Synapse::new(&config(value), signer).unwrap_err().to_string()
    };
    assert!(says(json!({"class": "No Such"})).contains("`No Such`"));
    assert!(says(json!({"extra_fields": {"a-b": 1}, "hash_fields": []})).contains("`a-b`"));
    assert!(says(json!({"extra_fields": {"roles": []}})).contains("`roles` stands in both"));
    let unknown = says(json!({"hash_fields": ["mesages"]}));
    assert!(unknown.contains("`mesages`") && unknown.contains("messages, required_hash_fields"), "{unknown}");
    assert!(serde_json::from_value::<SynapseConfig>(json!({"clas": "X"})).is_err());
}
