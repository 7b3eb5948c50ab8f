use btvep_domain::{Answer, Explanation, Hotkey, Uid};
use serde::Serialize;

use crate::surface::failures::{FailedResponse, failed_responses};

#[derive(Serialize)]
struct Whole<'a> {
    choices: Vec<WholeChoice<'a>>,
    failed_responses: Vec<FailedResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<&'a Explanation>,
}

#[derive(Serialize)]
struct WholeChoice<'a> {
    index: usize,
    uid: Option<Uid>,
    responder_hotkey: Option<Hotkey>,
    message: Said<'a>,
    response_ms: u32,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: &'a str,
}

/// Returns the body of a whole answer, in the original's shape; `explain` beside it when it was asked for.
pub fn answer(answer: &Answer, explain: Option<&Explanation>) -> Vec<u8> {
    let choices = answer.choices.iter().enumerate().map(|(index, choice)| WholeChoice {
        index,
        uid: choice.uid,
        responder_hotkey: choice.hotkey,
        message: Said { role: "assistant", content: &choice.content },
        response_ms: choice.response_ms,
    });
    let failed_responses = failed_responses(&answer.attempts);
    let whole = Whole { choices: choices.collect(), failed_responses, explain };
    serde_json::to_vec(&whole).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::surface::failures::samples;

    #[test]
    fn an_answer_has_the_original_s_shape() {
        let mut sample = samples::answer(vec![samples::choice("hi", "stop")]);
        sample.choices[0].uid = Some(Uid(3));
        sample.choices[0].hotkey = Some(Hotkey([1; 32]));
        let hotkeys = [Hotkey([1; 32]).to_string(), Hotkey([9; 32]).to_string()];
        assert_eq!(
            serde_json::from_slice::<Value>(&answer(&sample, None)).unwrap(),
            json!({
                "choices": [{"index": 0, "uid": 3, "responder_hotkey": hotkeys[0],
                             "message": {"role": "assistant", "content": "hi"}, "response_ms": 31}],
                "failed_responses": [{"index": 0, "uid": 9, "responder_hotkey": hotkeys[1],
                                      "error": "timed out", "response_ms": 12}],
            })
        );
    }
}
