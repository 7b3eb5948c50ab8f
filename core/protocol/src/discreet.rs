//! Keeps a key that a peer sends back out of what is told of its failure.

use btvep_domain::{Decoder, Delta, MinerFailure, Usage};
use http::HeaderValue;

/// What stands in a secret's place.
const MASK: &str = "***";
/// A shorter piece of a key at the end of a cut text tells nobody anything.
const PIECE: usize = 6;

/// A decoder whose failures never repeat the bearer key of the request.
///
/// Servers like to say which key they refuse, and a failure's words reach clients, rows and logs.
#[derive(Debug)]
pub(crate) struct Discreet {
    inner: Box<dyn Decoder>,
    /// `Bearer <key>`; marked sensitive.
    bearer: HeaderValue,
}

impl Discreet {
    /// Watches over what `inner` says.
    pub(crate) fn new(inner: Box<dyn Decoder>, bearer: HeaderValue) -> Self {
        Self { inner, bearer }
    }

    fn masked(&self, mut failure: MinerFailure) -> MinerFailure {
        let key = self.bearer.to_str().ok().and_then(|bearer| bearer.strip_prefix("Bearer "));
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            failure.message = mask(failure.message, key);
        }
        failure
    }
}

/// Returns the text without the key, also where the text was cut within it.
fn mask(text: String, key: &str) -> String {
    let mut text = if text.contains(key) { text.replace(key, MASK) } else { text };
    let cut = (PIECE..key.len()).rev().find(|&length| key.get(..length).is_some_and(|piece| text.ends_with(piece)));
    if let Some(length) = cut {
        text.truncate(text.len() - length);
        text.push_str(MASK);
    }
    text
}

impl Decoder for Discreet {
    fn push(&mut self, bytes: &[u8], deltas: &mut Vec<Delta>) -> Result<(), MinerFailure> {
        self.inner.push(bytes, deltas).map_err(|failure| self.masked(failure))
    }

    fn finish(&mut self, clean: bool, deltas: &mut Vec<Delta>) -> Result<(), MinerFailure> {
        self.inner.finish(clean, deltas).map_err(|failure| self.masked(failure))
    }

    fn is_done(&self) -> bool {
        self.inner.is_done()
    }

    fn usage(&self) -> Option<Usage> {
        self.inner.usage()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(mask(text.to_owned(), "sk-0123456789"), expected);
    }

    #[test]
    fn a_key_is_masked_wherever_it_stands() {
        check("bad key sk-0123456789, and sk-0123456789", "bad key ***, and ***");
        check("bad key sk-012345", "bad key ***");
        check("bad key sk-01", "bad key sk-01");
        check("nothing of ours: sk-9", "nothing of ours: sk-9");
    }
}
