//! Verifies the request signatures (btauth/1) that arrive at the mock, written apart from the product's own code.

use btvep_domain::Hotkey;
use btvep_protocol::signer::{self, SIGNATURE_LENGTH};
use sha2::{Digest, Sha256};

/// The head of a request as it came: a request line and headers.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a>(pub &'a str);

impl<'a> Head<'a> {
    /// Returns a header's value.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.split("\r\n").skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns path and query.
    pub fn target(&self) -> Option<&'a str> {
        self.0.split(' ').nth(1)
    }

    fn method(&self) -> Option<&'a str> {
        self.0.split(' ').next()
    }
}

/// Returns whether the signature is the sender's, over this very request to this very receiver.
pub fn verifies(head: Head<'_>, body: &[u8], receiver: &Hotkey) -> bool {
    check(head, body, receiver).unwrap_or(false)
}

fn check(head: Head<'_>, body: &[u8], own: &Hotkey) -> Option<bool> {
    let sender_text = head.get("x-bittensor-hotkey")?;
    let receiver = head.get("x-bittensor-receiver")?;
    let nonce = head.get("x-bittensor-nonce")?;
    let sender: Hotkey = sender_text.parse().ok()?;
    let mut signature = [0; SIGNATURE_LENGTH];
    hex::decode_to_slice(head.get("x-bittensor-signature")?.strip_prefix("0x")?, &mut signature).ok()?;
    let digest = hex::encode(Sha256::digest(body));
    let (method, target) = (head.method()?, head.target()?);
    let text = format!("btauth/1\nsr25519\n{method}\n{target}\n{digest}\n{nonce}\n{sender_text}\n{receiver}");
    let is_bound = receiver == own.to_string();
    Some(is_bound && signer::verify(&sender, text.as_bytes(), &signature))
}

#[cfg(test)]
mod tests {
    use btvep_protocol::signer::Signer;

    use super::*;

    #[test]
    fn a_signed_request_verifies_and_another_body_does_not() {
        let (sender, miner) = (Signer::from_uri("//A").unwrap(), Signer::from_uri("//B").unwrap());
        let digest = hex::encode(Sha256::digest(b"body"));
        let text = format!("btauth/1\nsr25519\nPOST\n/x\n{digest}\n7\n{}\n{}", sender.address(), miner.address());
        let head = format!(
            "POST /x HTTP/1.1\r\nX-Bittensor-Hotkey: {}\r\nx-bittensor-receiver: {}\r\nx-bittensor-nonce: 7\r\n\
             x-bittensor-signature: {}\r\n\r\n",
            sender.address(),
            miner.address(),
            sender.sign_hex(text.as_bytes())
        );
        assert!(verifies(Head(&head), b"body", &miner.hotkey()));
        assert!(!verifies(Head(&head), b"Body", &miner.hotkey()));
        assert!(!verifies(Head(&head), b"body", &sender.hotkey()));
        assert!(!verifies(Head("POST /x HTTP/1.1\r\n\r\n"), b"body", &miner.hotkey()));
    }
}
