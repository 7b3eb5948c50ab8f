use btvep_domain::{FailureKind, Flaw, Role, Secret};
use serde_json::Value;

use super::*;
use crate::fixture::{Recorded, call, decode_at_every_cut, header, legacy, prompt, stamp, target};
use crate::openai::{OpenAi, OpenAiError};
use crate::signer::verify;

const GOLDEN: &str = include_str!("../../tests/vectors/btauth_golden.json");

fn bytes(hex_text: &str) -> [u8; 64] {
    hex::decode(hex_text.trim_start_matches("0x")).unwrap().try_into().unwrap()
}

fn protocol(uri: &str) -> BtAuth {
    BtAuth::new(&BtAuthConfig::default(), Arc::new(Signer::from_uri(uri).unwrap())).unwrap()
}

#[test]
fn the_golden_text_is_made() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let text_of = |name: &str| golden[name].as_str().unwrap();
    let covered = Covered {
        method: "POST",
        target: text_of("path"),
        body: text_of("body").as_bytes(),
        nonce: text_of("nonce").parse().unwrap(),
        sender: text_of("sender"),
        receiver: Some(text_of("receiver")),
    };
    let text = canonical_text(&covered);
    assert_eq!(text, text_of("payload_utf8"));
    assert_eq!(hex::encode(&text), text_of("payload_hex"));
    let signature = bytes(text_of("one_valid_sr25519_signature_hex"));
    assert!(verify(&text_of("sender").parse().unwrap(), text.as_bytes(), &signature));
    let unbound = Covered { target: "/", body: b"", nonce: 1, receiver: None, ..covered };
    assert_eq!(canonical_text(&unbound), text_of("unbound_empty_body_payload"));
}

/// Builds the text again from the recorded request, as its verifier does.
fn rebuilt(recorded: &Recorded) -> String {
    let request = &recorded.request;
    canonical_text(&Covered {
        method: "POST",
        target: request.target(),
        body: request.body.as_bytes(),
        nonce: request.header("x-bittensor-nonce").unwrap().parse().unwrap(),
        sender: request.header("x-bittensor-hotkey").unwrap(),
        receiver: request.header("x-bittensor-receiver"),
    })
}

#[test]
fn recorded_requests_are_verified_as_real_miners_did() {
    for text in [
        include_str!("../../tests/vectors/btauth_success.json"),
        include_str!("../../tests/vectors/btauth_stream.json"),
        include_str!("../../tests/vectors/btauth_query_string.json"),
        include_str!("../../tests/vectors/btauth_unbound.json"),
        include_str!("../../tests/vectors/btauth_stale.json"),
    ] {
        let recorded = Recorded::read(text);
        let rebuilt = rebuilt(&recorded);
        assert_eq!(rebuilt, *recorded.signed_message.as_ref().unwrap());
        let sender = recorded.request.header("x-bittensor-hotkey").unwrap().parse().unwrap();
        let signature = bytes(recorded.request.header("x-bittensor-signature").unwrap());
        assert!(verify(&sender, rebuilt.as_bytes(), &signature));
    }
    for text in [
        include_str!("../../tests/vectors/btauth_bad_signature.json"),
        include_str!("../../tests/vectors/btauth_body_tampered.json"),
    ] {
        let recorded = Recorded::read(text);
        let sender = recorded.request.header("x-bittensor-hotkey").unwrap().parse().unwrap();
        let signature = bytes(recorded.request.header("x-bittensor-signature").unwrap());
        assert!(!verify(&sender, rebuilt(&recorded).as_bytes(), &signature));
    }
}

#[test]
fn a_request_carries_a_signature_over_exactly_what_is_sent() {
    let recorded = Recorded::read(include_str!("../../tests/vectors/btauth_success.json"));
    let miner = recorded.keys["miner"]["ss58"].as_str().unwrap();
    let (prompt, target) = (prompt(&recorded.request.body), target(Some(miner)));
    let protocol = protocol("//RealValidator");
    let encoded = protocol.encode(&call(&prompt, &target, false), &stamp(1_795_342_845_041_036_369, "l")).unwrap();

    for name in
        ["x-bittensor-version", "x-bittensor-hotkey", "x-bittensor-nonce", "x-bittensor-receiver", "content-type"]
    {
        assert_eq!(header(&encoded, name), recorded.request.header(name).unwrap(), "{name}");
    }
    let digest = hex::encode(Sha256::digest(&encoded.body));
    let sender = header(&encoded, "x-bittensor-hotkey");
    // Put together by hand, not by the code under test.
    let lines = ["btauth/1", "sr25519", "POST", &encoded.path, &digest, "1795342845041036369", sender, miner];
    let signature = bytes(header(&encoded, "x-bittensor-signature"));
    assert!(verify(&sender.parse().unwrap(), lines.join("\n").as_bytes(), &signature));
    let (sent, received): (Value, Value) =
        (serde_json::from_slice(&encoded.body).unwrap(), serde_json::from_str(&recorded.request.body).unwrap());
    assert_eq!(sent, received);
}

#[test]
fn without_a_receiver_the_header_is_left_out() {
    let (prompt, target) = (legacy(&[(Role::User, "x")]), target(None));
    let encoded = protocol("//Alice").encode(&call(&prompt, &target, false), &stamp(1, "l")).unwrap();
    assert!(!encoded.headers.contains_key("x-bittensor-receiver"));
}

/// The text of an answer, or what its failure says.
type Expected = Result<&'static str, (FailureKind, Flaw, &'static str)>;

#[test]
fn recorded_answers_are_decoded_wherever_they_are_cut() {
    use {FailureKind::*, Flaw::*};
    let hi = Ok("echo:hi there café");
    let cases: [(&str, bool, Expected); 9] = [
        (include_str!("../../tests/vectors/btauth_success.json"), false, hi),
        (include_str!("../../tests/vectors/btauth_stream.json"), true, hi),
        (include_str!("../../tests/vectors/btauth_query_string.json"), false, hi),
        (
            include_str!("../../tests/vectors/btauth_stream_midfail.json"),
            true,
            Err((Disconnected, Miner, "the stream ended before the answer was whole")),
        ),
        (
            include_str!("../../tests/vectors/btauth_fail.json"),
            false,
            Err((Status, Miner, "miner exploded on purpose")),
        ),
        (include_str!("../../tests/vectors/btauth_http429.json"), false, Err((Status, Busy, "busy"))),
        (
            include_str!("../../tests/vectors/btauth_badjson.json"),
            false,
            Err((Malformed, Miner, "Failed to parse response object with error: it ends too early")),
        ),
        (include_str!("../../tests/vectors/btauth_empty.json"), false, Err((Empty, Miner, "Empty response"))),
        (
            include_str!("../../tests/vectors/btauth_stale.json"),
            false,
            Err((Refused, Miner, "StaleRequest: nonce is older than the 10s freshness window")),
        ),
    ];
    let protocol = protocol("//Alice");
    for (text, stream, expected) in cases {
        let recorded = Recorded::read(text);
        let (prompt, target) = (legacy(&[(Role::User, "x")]), target(None));
        let decoded = decode_at_every_cut(&protocol, &call(&prompt, &target, stream), recorded.response());
        match (decoded, expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected),
            (Err(failure), Err((kind, flaw, message))) => {
                assert_eq!((failure.kind, failure.flaw), (kind, flaw));
                assert_eq!(failure.message, message);
            }
            (decoded, expected) => panic!("{decoded:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn every_recorded_refusal_is_one() {
    let protocol = protocol("//Alice");
    for text in [
        include_str!("../../tests/vectors/btauth_bad_signature.json"),
        include_str!("../../tests/vectors/btauth_body_tampered.json"),
        include_str!("../../tests/vectors/btauth_future.json"),
        include_str!("../../tests/vectors/btauth_no_version.json"),
        include_str!("../../tests/vectors/btauth_replay.json"),
        include_str!("../../tests/vectors/btauth_unbound.json"),
        include_str!("../../tests/vectors/btauth_unsigned.json"),
        include_str!("../../tests/vectors/btauth_wrong_receiver.json"),
    ] {
        let recorded = Recorded::read(text);
        let (prompt, target) = (legacy(&[(Role::User, "x")]), target(None));
        let failure = decode_at_every_cut(&protocol, &call(&prompt, &target, false), recorded.response()).unwrap_err();
        assert_eq!((failure.kind, failure.flaw), (FailureKind::Refused, Flaw::Miner));
        assert!(recorded.response().body.contains(&failure.message), "{failure}");
    }
}

#[test]
fn an_upstream_gets_its_key_and_nobody_sees_it() {
    let key = Secret::new("miner-key");
    let upstream = OpenAi::new("/v1/", Some(&key)).unwrap();
    let (prompt, target) = (legacy(&[(Role::User, "x")]), target(None));
    let encoded = upstream.encode(&call(&prompt, &target, false), &stamp(1, "l")).unwrap();
    assert_eq!(encoded.path, "/v1/chat/completions");
    assert_eq!(header(&encoded, "authorization"), "Bearer miner-key");
    assert!(!format!("{upstream:?} {encoded:?}").contains("miner-key"));

    let open = OpenAi::new("", None).unwrap();
    let encoded = open.encode(&call(&prompt, &target, false), &stamp(1, "l")).unwrap();
    assert_eq!(encoded.path, "/chat/completions");
    assert!(!encoded.headers.contains_key("authorization"));
    for bad in ["", "two words", "line\n"] {
        let error = OpenAi::new("/v1", Some(&Secret::new(bad))).unwrap_err();
        assert_eq!(error, OpenAiError::Key);
        assert!(bad.is_empty() || !error.to_string().contains(bad));
    }
    assert!(OpenAi::new("v1", None).is_err());
}
