use serde_json::{Value, json};

use super::*;

const PHRASE: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

fn keys() -> Value {
    serde_json::from_str(include_str!("../../tests/vectors/keys.json")).unwrap()
}

/// The argument of the Python call that made the key, such as `create_from_uri("//Alice")`.
fn argument(line: &str) -> &str {
    line.split('"').nth(3).unwrap()
}

#[test]
fn every_recorded_key_is_made_again() {
    let keys = keys();
    let mut seen = 0;
    for key in keys["keys"].as_array().unwrap() {
        let line = key["source_line"].as_str().unwrap();
        let signer = match key["how"].as_str().unwrap() {
            "mnemonic" | "mnemonic24" => Signer::from_mnemonic(argument(line)),
            "uri" => Signer::from_uri(argument(line)),
            "seed" => Signer::from_uri(&format!("0x{}", "11".repeat(32))),
            other => panic!("unknown way {other}"),
        }
        .unwrap();
        assert_eq!(signer.address(), key["ss58"].as_str().unwrap(), "{line}");
        assert_eq!(hex::encode(signer.hotkey().0), key["public_key_hex"].as_str().unwrap());
        seen += 1;
    }
    assert_eq!(seen, 11);
}

#[test]
fn signatures_of_both_sides_verify() {
    let keys = keys();
    let sample = &keys["sample_signature"];
    let message = sample["message_utf8"].as_str().unwrap().as_bytes();
    let signature = hex::decode(sample["signature_hex"].as_str().unwrap()).unwrap().try_into().unwrap();
    let signer = Signer::from_mnemonic(PHRASE).unwrap();
    let signers = [Signer::from_uri("//Alice").unwrap(), Signer::from_uri("//RealValidator").unwrap()];
    let known = signers.iter().chain([&signer]).any(|signer| verify(&signer.hotkey(), message, &signature));
    assert!(known, "the sample is signed by one of the recorded keys");

    let own = signer.sign(message);
    assert!(verify(&signer.hotkey(), message, &own));
    assert!(!verify(&signer.hotkey(), b"another message", &own));
    assert!(!verify(&Signer::from_uri("//Bob").unwrap().hotkey(), message, &own));
    assert!(!verify(&signer.hotkey(), message, &[0xff; 64]));
}

#[test]
fn a_signature_in_hex_is_the_signature() {
    let signer = Signer::from_uri("//Alice").unwrap();
    let text = signer.sign_hex(b"x");
    assert_eq!(text.len(), 130);
    let bytes = hex::decode(text.strip_prefix("0x").unwrap()).unwrap().try_into().unwrap();
    assert!(verify(&signer.hotkey(), b"x", &bytes));
}

fn refusal(phrase: &str) -> String {
    Signer::from_mnemonic(phrase).unwrap_err().to_string()
}

#[test]
fn errors_say_what_is_wrong_with_the_words_and_repeat_none() {
    let eleven = PHRASE.rsplit_once(' ').unwrap().0;
    let cases = [
        (eleven.to_owned(), "this one has 11"),
        (format!("{PHRASE} legal"), "this one has 13"),
        (format!("{PHRASE} {PHRASE} legal"), "this one has 25"),
        (String::new(), "this one has 0"),
        (PHRASE.replace("wave", "wavee"), "word 5"),
        (PHRASE.replacen("legal winner", "winner legal", 1), "checksum"),
    ];
    for (phrase, expected) in cases {
        let message = refusal(&phrase);
        assert!(message.contains(expected), "{message}");
        assert!(!phrase.split(' ').any(|word| word.len() > 4 && message.contains(word)), "{message}");
    }
}

#[test]
fn spaces_and_line_breaks_between_words_do_not_matter() {
    let spaced = format!("\n {}\n", PHRASE.replace(' ', "  "));
    assert_eq!(Signer::from_mnemonic(&spaced).unwrap().hotkey(), Signer::from_mnemonic(PHRASE).unwrap().hotkey());
}

fn private_key(uri: &str) -> String {
    format!("0x{}", hex::encode(uri::derive(uri).unwrap().secret.to_bytes()))
}

#[test]
fn every_kind_of_key_file_is_read_in_the_reference_order() {
    let expected = Signer::from_mnemonic(PHRASE).unwrap();
    let seed = keys()["derivation"]["mini_secret_hex"].as_str().unwrap().to_owned();
    let files = [
        json!({"secretPhrase": PHRASE}),
        json!({"secretSeed": format!("0x{seed}"), "cryptoType": 1}),
        json!({"secretSeed": seed, "secretPhrase": null, "privateKey": ""}),
        json!({"privateKey": private_key(PHRASE), "ss58Address": expected.address()}),
        json!({"accountId": "0x00", "secretPhrase": PHRASE, "secretSeed": "0xbad", "privateKey": "0xbad",
               "publicKey": format!("0x{}", hex::encode(expected.hotkey().0))}),
    ];
    for file in files {
        let signer = Signer::from_keyfile(file.to_string().as_bytes()).unwrap();
        assert_eq!(signer.hotkey(), expected.hotkey());
        assert!(verify(&expected.hotkey(), b"m", &signer.sign(b"m")));
    }
}

#[test]
fn files_that_a_real_wallet_wrote_are_read() {
    let recorded: Value = serde_json::from_str(include_str!("../../tests/vectors/keyfiles.json")).unwrap();
    let files = recorded["files"].as_array().unwrap();
    assert_eq!(files.len(), 3);
    for file in files {
        let signer = Signer::from_keyfile(file["file"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(signer.address(), file["ss58"].as_str().unwrap(), "{}", file["how"]);
    }
}

#[test]
fn a_key_file_that_cannot_sign_says_what_to_do() {
    let alice = Signer::from_uri("//Alice").unwrap();
    let cases = [
        ("$NACL\u{1}binary".to_owned(), "encrypted (NaCl)"),
        ("$ANSIBLE_VAULT;1.1;AES256\n3061".to_owned(), "encrypted (Ansible Vault)"),
        ("gAAAAABk".to_owned(), "encrypted (Fernet"),
        (PHRASE.to_owned(), "not the JSON of a bittensor wallet (line 1"),
        (json!({"ss58Address": alice.address()}).to_string(), "holds an address only"),
        (json!({"secretSeed": "0x11"}).to_string(), "`secretSeed` must be `0x` and 64"),
        (json!({"privateKey": format!("0x{}", "ff".repeat(64))}).to_string(), "`privateKey` is no sr25519 secret"),
        (json!({"secretPhrase": PHRASE, "cryptoType": 0}).to_string(), "`cryptoType` is 0"),
        (json!({"secretPhrase": PHRASE, "ss58Address": alice.address()}).to_string(), "`ss58Address` is not that"),
        (json!({"secretPhrase": PHRASE, "publicKey": "0x00"}).to_string(), "`publicKey` is not that"),
        (json!({"secretPhrase": "legal winner"}).to_string(), "this one has 2"),
    ];
    for (file, expected) in cases {
        let message = Signer::from_keyfile(file.as_bytes()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("winner"), "{message}");
    }
}

#[test]
fn a_uri_without_phrase_and_path_is_refused() {
    for uri in ["", " ", "///password", "//", "//Alice/"] {
        assert!(Signer::from_uri(uri).is_err(), "{uri}");
    }
}

#[test]
fn names_longer_than_a_chain_code_are_told_apart() {
    let long = "n".repeat(100);
    let [one, other] = [format!("//{long}a"), format!("//{long}b")].map(|uri| Signer::from_uri(&uri).unwrap().hotkey());
    assert_ne!(one, other);
}

#[test]
fn debug_shows_the_address_alone() {
    let signer = Signer::from_uri("//Alice").unwrap();
    let text = format!("{signer:?}");
    assert!(text.contains(signer.address()));
    assert!(!text.contains(&private_key("//Alice")[2..34]), "{text}");
}
