use http::Request;
use parking_lot::Mutex;

use super::*;

/// A request of the real SDK 11 client that its real verifier accepted.
const MINER: &str = "5DS2VTxth6UjXSezMMRWdthZ4W5nhtag6R991rYxEMX3KWMz";
const VALIDATOR: &str = "5Evj9zmZZYV941YKT7sUwY5kVUo1WDthLDH2ifQxDgPEVwKa";
const NONCE: u64 = 1_795_342_845_041_036_369;
const SIGNATURE: &str = "0x007fea54f52f5e82f31e12972bda372116af726cc1d6a6c0347fc1b988dcb542\
    ed991bdc23b6de06740e46e612c50d16ee4c0a98c3fa01d1dcc88ba164f98a88";
const BODY: &str = r#"{"model": "echo", "messages": [{"role": "user", "content": "hi there café"}]}"#;
const SECOND: u64 = 1_000_000_000;

fn captured() -> Request<()> {
    Request::post("/v1/chat/completions")
        .header("X-Bittensor-Version", "1")
        .header("X-Bittensor-Hotkey", VALIDATOR)
        .header("X-Bittensor-Nonce", NONCE)
        .header("X-Bittensor-Signature", SIGNATURE)
        .header("X-Bittensor-Receiver", MINER)
        .body(())
        .unwrap()
}

fn check(request: Request<()>, body: &str, now_ns: u64) -> Result<(), String> {
    let replays = Mutex::default();
    let head = request.into_parts().0;
    verify(&head, body.as_bytes(), MINER, now_ns, &replays).map_err(|refused| refused.to_string())
}

fn with(name: &'static str, value: &'static str) -> Request<()> {
    let mut request = captured();
    request.headers_mut().insert(name, http::HeaderValue::from_static(value));
    request
}

fn without(name: &str) -> Request<()> {
    let mut request = captured();
    request.headers_mut().remove(name);
    request
}

#[test]
fn what_the_real_verifier_took_is_taken() {
    check(captured(), BODY, NONCE + SECOND).unwrap();
}

#[test]
fn the_texts_are_those_of_the_real_verifier() {
    let now = NONCE + SECOND;
    let table = [
        (
            without("x-bittensor-version"),
            BODY,
            now,
            "MalformedAuth: missing or unsupported X-Bittensor-Version (expected '1')",
        ),
        (
            with("x-bittensor-version", "2"),
            BODY,
            now,
            "MalformedAuth: missing or unsupported X-Bittensor-Version (expected '1')",
        ),
        (
            without("x-bittensor-receiver"),
            BODY,
            now,
            "WrongReceiver: missing X-Bittensor-Receiver: this server requires receiver-bound requests",
        ),
        (
            with("x-bittensor-receiver", VALIDATOR),
            BODY,
            now,
            "WrongReceiver: request was signed for a different receiving hotkey",
        ),
        (captured(), BODY, NONCE + 11 * SECOND, "StaleRequest: nonce is older than the 10s freshness window"),
        (captured(), BODY, NONCE - 3 * SECOND, "StaleRequest: nonce is more than 2s in the future"),
        (captured(), "{}", now, "BadSignature: signature does not verify against the claimed hotkey"),
        (
            with("x-bittensor-nonce", "1795342845041036370"),
            BODY,
            now,
            "BadSignature: signature does not verify against the claimed hotkey",
        ),
    ];
    for (request, body, now, text) in table {
        assert_eq!(check(request, body, now).unwrap_err(), text);
    }
}

#[test]
fn shapes_are_checked_before_anything_else() {
    for name in ["x-bittensor-hotkey", "x-bittensor-nonce", "x-bittensor-signature"] {
        assert_eq!(check(without(name), BODY, 0).unwrap_err(), format!("MalformedAuth: missing {name}"));
        assert_eq!(check(with(name, "+7"), BODY, 0).unwrap_err(), format!("MalformedAuth: invalid {name}"));
    }
    assert_eq!(
        check(with("x-bittensor-crypto", "ed25519"), BODY, 0).unwrap_err(),
        "MalformedAuth: invalid x-bittensor-crypto"
    );
}

#[test]
fn a_nonce_is_accepted_once_whoever_receives_it() {
    let replays = Mutex::default();
    let now = NONCE + SECOND;
    let head = captured().into_parts().0;
    verify(&head, BODY.as_bytes(), MINER, now, &replays).unwrap();
    let refused = verify(&head, BODY.as_bytes(), MINER, now, &replays).unwrap_err();
    assert_eq!(refused.to_string(), "ReplayedRequest: this nonce was already accepted from this hotkey");
}

#[test]
fn a_refused_request_does_not_use_up_its_nonce() {
    let replays = Mutex::default();
    let now = NONCE + SECOND;
    let head = captured().into_parts().0;
    verify(&head, b"{}", MINER, now, &replays).unwrap_err();
    verify(&head, BODY.as_bytes(), MINER, now, &replays).unwrap();
}

#[test]
fn accepted_nonces_are_forgotten_by_age_and_by_number() {
    let mut replays = Replays::default();
    let sender = Hotkey([1; 32]);
    replays.accept(sender, 1, 0).unwrap();
    replays.accept(sender, 2, 61 * SECOND).unwrap();
    assert_eq!((replays.seen.len(), replays.order.len()), (1, 1));
    for nonce in 3..u64::try_from(REMEMBERED).unwrap() + 100 {
        replays.accept(sender, nonce, 61 * SECOND).unwrap();
    }
    assert_eq!((replays.seen.len(), replays.order.len()), (REMEMBERED, REMEMBERED));
}
