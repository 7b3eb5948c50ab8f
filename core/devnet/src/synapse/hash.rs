use btvep_protocol::python_repr::{Python, write_list_repr, write_text_repr};
use sha3::{Digest, Sha3_256};

/// Returns the body hash of a synapse whose hash fields are these lists of texts, as that Python computes it.
pub(super) fn body_hash(fields: &[&[String]], python: Python) -> String {
    let inner: String = fields.iter().map(|texts| digest(&list_repr(texts, python))).collect();
    digest(&inner)
}

fn list_repr(texts: &[String], python: Python) -> String {
    let mut repr = String::new();
    write_list_repr(&mut repr, texts, |out, text| write_text_repr(out, text, python));
    repr
}

fn digest(text: &str) -> String {
    hex::encode(Sha3_256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_a_real_axon() {
        let messages = ["You are helpful.".to_owned(), r#"What is 1+1? Don't say "two"."#.to_owned()];
        assert_eq!(
            body_hash(&[&messages], Python::V3_11),
            "f6d4a8b32b1a8b56c4649d13888985125d32194c4472f8092c61e10c294c5411"
        );
        assert_eq!(body_hash(&[], Python::V3_11), "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a");
    }

    #[test]
    fn a_new_emoji_is_read_by_the_miners_python() {
        let heart = ["\u{1fa77}".to_owned()];
        assert_ne!(body_hash(&[&heart], Python::V3_11), body_hash(&[&heart], Python::V3_12));
    }
}
