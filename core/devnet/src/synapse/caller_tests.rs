use super::*;

/// A request of the real SDK 10.5 dendrite that a real axon accepted.
const MINER: &str = "5DtWUiwW2ryB7UaA3LMpPH5e3wj4uJi6viPuPVLWCed9HwSf";
const VALIDATOR: &str = "5EHgWw2Af1pnoc7f1A8bfmM97W3DAYW8xr82RfhLL9oAabAe";
const NONCE: u64 = 1_795_342_829_181_267_097;
const SECOND: u64 = 1_000_000_000;
const HEADERS: [(&str, &str); 10] = [
    ("content-type", "application/json"),
    ("timeout", "6.0"),
    ("bt_header_dendrite_version", "10005000"),
    ("bt_header_dendrite_nonce", "1795342829181267097"),
    ("bt_header_dendrite_uuid", "5756b7c6-e65e-11f1-a667-02fc00000001"),
    ("bt_header_dendrite_hotkey", VALIDATOR),
    (
        "bt_header_dendrite_signature",
        "0x046015129c0b689a20b3768535861f863ff05aa3874d61cd4513d25f0c41724e\
         a8e87098ce52c193ee0fc41a30a415d97375beaf5a05b23455f9d4c442d50689",
    ),
    ("bt_header_input_obj_roles", "W10="),
    ("bt_header_input_obj_messages", "W10="),
    ("computed_body_hash", "f6d4a8b32b1a8b56c4649d13888985125d32194c4472f8092c61e10c294c5411"),
];

fn headers() -> HeaderMap {
    HEADERS.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn with(name: &'static str, value: &'static str) -> HeaderMap {
    let mut headers = headers();
    headers.insert(name, http::HeaderValue::from_static(value));
    headers
}

fn without(name: &str) -> HeaderMap {
    let mut headers = headers();
    headers.remove(name);
    headers
}

fn read(headers: &HeaderMap) -> Caller {
    Caller::read(headers, &["roles", "messages"]).unwrap()
}

fn check(headers: &HeaderMap, own: &str, now_ns: u64) -> Result<(), String> {
    read(headers).verify(own, now_ns, &Mutex::default()).map_err(|unverified| unverified.to_string())
}

#[test]
fn what_a_real_axon_took_is_taken() {
    check(&headers(), MINER, NONCE + SECOND).unwrap();
}

#[test]
fn the_texts_are_those_of_a_real_axon() {
    let now = NONCE + SECOND;
    let table = [
        (without("bt_header_dendrite_hotkey"), "No SS58 formatted address or public key provided."),
        (without("bt_header_dendrite_nonce"), "Missing Nonce"),
        (without("bt_header_dendrite_signature"), "Missing Signature"),
    ];
    for (headers, text) in table {
        assert_eq!(check(&headers, MINER, now).unwrap_err(), text);
    }
    assert_eq!(
        check(&headers(), MINER, NONCE + 30 * SECOND).unwrap_err(),
        "Nonce is too old: acceptable delta is 10.00 seconds but request was 30.00 seconds old"
    );
    let mismatch = check(&headers(), VALIDATOR, now).unwrap_err();
    assert_eq!(
        mismatch,
        format!(
            "Signature mismatch with {NONCE}.{VALIDATOR}.{VALIDATOR}.5756b7c6-e65e-11f1-a667-02fc00000001.\
             f6d4a8b32b1a8b56c4649d13888985125d32194c4472f8092c61e10c294c5411 and {}",
            HEADERS[6].1
        )
    );
}

#[test]
fn a_nonce_far_ahead_is_taken_and_so_is_an_old_one_without_a_version() {
    check(&headers(), MINER, NONCE - 3_600 * SECOND).unwrap();
    check(&without("bt_header_dendrite_version"), MINER, NONCE + 3_600 * SECOND).unwrap();
    check(&with("bt_header_dendrite_version", "7001000"), MINER, NONCE + 3_600 * SECOND).unwrap();
}

#[test]
fn an_uuid_that_is_not_there_is_signed_as_none() {
    let text = check(&without("bt_header_dendrite_uuid"), MINER, NONCE).unwrap_err();
    assert!(text.contains(&format!("{MINER}.None.f6d4")), "{text}");
}

#[test]
fn nonces_of_a_lane_must_rise() {
    let lanes = Mutex::default();
    read(&headers()).verify(MINER, NONCE, &lanes).unwrap();
    let again = read(&headers()).verify(MINER, NONCE, &lanes).unwrap_err();
    assert_eq!(again.to_string(), "Nonce is too old, a newer one was last processed");
}

#[test]
fn what_the_axon_cannot_do_without_is_its_internal_error() {
    for name in ["content-type", "bt_header_input_obj_roles", "bt_header_input_obj_messages"] {
        Caller::read(&without(name), &["roles", "messages"]).unwrap_err();
    }
    for name in ["timeout", "bt_header_dendrite_nonce", "bt_header_dendrite_version"] {
        Caller::read(&with(name, "soon"), &[]).unwrap_err();
    }
}

#[test]
fn lanes_are_bounded() {
    let mut lanes = Lanes::default();
    for lane in 0..LANES + 10 {
        lanes.accept(lane.to_string(), 1);
    }
    assert_eq!((lanes.last.len(), lanes.order.len()), (LANES, LANES));
    assert!(!lanes.last.contains_key("0"));
}
