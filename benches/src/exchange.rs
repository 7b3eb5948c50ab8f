//! The one request and the one answer that every contender carries.

/// Where prompts go.
pub const PATH: &str = "/v1/chat/completions";

/// The model that the requests ask for.
pub const MODEL: &str = "bench";

/// A prompt of an ordinary length: 220 bytes.
pub const REQUEST: &str = concat!(
    r#"{"model":"bench","messages":[{"role":"system","content":"You are a helpful assistant."},"#,
    r#"{"role":"user","content":"Name several rivers of Europe and the seas they flow into, please."}],"#,
    r#""max_tokens":128,"temperature":0.75}"#
);

/// An answer of an ordinary length: 462 bytes.
pub const ANSWER: &str = concat!(
    r#"{"id":"chatcmpl-bench-00000000001","object":"chat.completion","created":1795000000,"model":"bench","#,
    r#""choices":[{"index":0,"message":{"role":"assistant","content":"Three rivers: the Danube flows into the "#,
    r#"Black Sea, the Rhine flows into the North Sea, and the Rhone flows into the Mediterranean Sea. "#,
    r#"Each of them rises in or near the Alps and runs for hundreds of km."},"finish_reason":"stop"}],"#,
    r#""usage":{"prompt_tokens":31,"completion_tokens":52,"total_tokens":83}}"#
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_have_the_length_they_claim() {
        assert_eq!((REQUEST.len(), ANSWER.len()), (220, 462));
    }

    #[test]
    fn both_are_json() {
        for text in [REQUEST, ANSWER] {
            serde_json::from_str::<serde_json::Value>(text).unwrap();
        }
    }
}
