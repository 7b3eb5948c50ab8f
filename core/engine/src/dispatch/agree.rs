//! Counts which answers are the same.

use btvep_domain::{Agreement, Answer, Choice, Comparison, Uid};
use serde_json::Value;

use super::Failed;
use super::collect::Collected;

/// What the miners of a plan gave, until enough of them agree or no longer can.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    wanted: u16,
    by: &'a Comparison,
    /// Miners that may still answer.
    left: usize,
    answered: usize,
    groups: Vec<Group>,
}

/// Miners that gave the same.
#[derive(Debug)]
struct Group {
    given: Vec<Key>,
    first: Collected,
    uids: Vec<Uid>,
    size: usize,
}

/// What of a choice is compared.
#[derive(Debug, PartialEq)]
enum Key {
    Text(String),
    Member(Value),
}

impl<'a> Tally<'a> {
    pub(super) const fn new(wanted: u16, by: &'a Comparison, miners: usize) -> Self {
        Self { wanted, by, left: miners, answered: 0, groups: Vec::new() }
    }

    /// Adds what one miner gave, none when it failed; returns whether the others cannot change the outcome.
    pub(super) fn add(&mut self, one: Option<Collected>) -> bool {
        self.left = self.left.saturating_sub(1);
        if let Some(one) = one {
            self.answered += 1;
            self.sort_in(one);
        }
        let (most, wanted) = (self.most(), usize::from(self.wanted));
        most >= wanted || most + self.left < wanted
    }

    /// Returns the answer that enough gave, as the first of them gave it.
    pub(super) fn end(self, asked: usize) -> Result<Answer, Failed> {
        let (agreed, wanted) = (self.most(), self.wanted);
        if self.answered == 0 {
            return Err(Failed::Nobody);
        }
        let won = self.groups.into_iter().find(|group| group.size >= usize::from(wanted));
        let Some(Group { first, uids, .. }) = won else { return Err(Failed::Disagreed { asked, agreed, wanted }) };
        Ok(Answer { agreement: Some(Agreement { asked, agreed, uids }), ..Answer::from(first) })
    }

    fn most(&self) -> usize {
        self.groups.iter().map(|group| group.size).max().unwrap_or(0)
    }

    fn sort_in(&mut self, one: Collected) {
        let Some(given) = one.choices.iter().map(|choice| key(self.by, choice)).collect::<Option<Vec<Key>>>() else {
            return;
        };
        let uid = one.choices.first().and_then(|choice| choice.uid);
        match self.groups.iter_mut().find(|group| group.given == given) {
            Some(group) => {
                group.size += 1;
                group.uids.extend(uid);
            }
            None => self.groups.push(Group { given, first: one, uids: uid.into_iter().collect(), size: 1 }),
        }
    }
}

/// Returns what of a choice is compared; none when it has no such member.
fn key(by: &Comparison, choice: &Choice) -> Option<Key> {
    if let Comparison::Field(name) = by {
        let Ok(Value::Object(mut object)) = serde_json::from_str(&choice.content) else { return None };
        return object.remove(&**name).map(Key::Member);
    }
    if choice.content.is_empty() {
        let extras = choice.extras.iter().map(|(name, value)| format!("{name}:{};", value.get()));
        return Some(Key::Text(extras.collect()));
    }
    Some(Key::Text(match by {
        Comparison::Normalised => {
            choice.content.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
        }
        Comparison::Exact | Comparison::Field(_) => choice.content.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(uid: u16, text: &str) -> Collected {
        let choice = Choice {
            uid: Some(Uid(uid)),
            hotkey: None,
            content: text.to_owned(),
            extras: Vec::new(),
            logprobs: None,
            finish_reason: "stop".into(),
            response_ms: 1,
        };
        Collected { choices: vec![choice], usage: None }
    }

    /// Counts texts, failures among them, until the outcome is certain; returns how many were counted, and the outcome.
    fn count(k: u16, by: &Comparison, texts: &[&str]) -> (usize, Result<(String, Vec<Uid>), Failed>) {
        let mut tally = Tally::new(k, by, texts.len());
        let mut given = (0..).zip(texts).map(|(uid, text)| (*text != "fails").then(|| given(uid, text)));
        let counted = given.position(|one| tally.add(one)).map_or(texts.len(), |place| place + 1);
        let answer = tally.end(counted);
        let told = answer.map(|answer| (answer.choices[0].content.clone(), answer.agreement.unwrap().uids));
        (counted, told)
    }

    #[track_caller]
    fn check_same(by: &Comparison, one: &str, other: &str, same: bool) {
        let (_, outcome) = count(2, by, &[one, other]);
        assert_eq!(outcome.is_ok(), same, "{one:?} and {other:?}");
    }

    #[test]
    fn it_ends_as_soon_as_enough_agree() {
        let (counted, outcome) = count(2, &Comparison::Exact, &["a", "b", "a", "b", "b"]);
        assert_eq!((counted, outcome), (3, Ok(("a".to_owned(), vec![Uid(0), Uid(2)]))));
    }

    #[test]
    fn it_ends_as_soon_as_enough_cannot_agree_any_more() {
        let (counted, outcome) = count(3, &Comparison::Exact, &["a", "b", "fails", "c", "a"]);
        assert_eq!((counted, outcome), (4, Err(Failed::Disagreed { asked: 4, agreed: 1, wanted: 3 })));
        let (counted, outcome) = count(2, &Comparison::Exact, &["fails", "fails", "a"]);
        assert_eq!((counted, outcome), (2, Err(Failed::Nobody)));
    }

    #[test]
    fn what_the_same_is() {
        check_same(&Comparison::Exact, "42", "42", true);
        check_same(&Comparison::Exact, "42", "42 ", false);
        check_same(&Comparison::Normalised, " The\n answer ", "the ANSWER", true);
        check_same(&Comparison::Normalised, "the answer", "an answer", false);
        let field = Comparison::Field("answer".into());
        check_same(&field, r#"{"answer": {"a": 1, "b": [2]}, "why": "x"}"#, r#"{"answer":{"b":[2],"a":1}}"#, true);
        check_same(&field, r#"{"answer": 1}"#, r#"{"answer": 2}"#, false);
        check_same(&field, "no JSON", "no JSON", false);
        check_same(&field, r#"{"other": 1}"#, r#"{"other": 1}"#, false);
    }

    #[test]
    fn answers_without_text_are_compared_by_their_other_members() {
        let call = |name: &str| {
            let mut one = given(0, "");
            let raw = serde_json::value::RawValue::from_string(format!("\"{name}\"")).unwrap();
            one.choices[0].extras.push(("tool_calls".into(), raw));
            Some(one)
        };
        let agree = |one: &str, other: &str| {
            let mut tally = Tally::new(2, &Comparison::Normalised, 2);
            tally.add(call(one));
            tally.add(call(other));
            tally.end(2).is_ok()
        };
        assert!(agree("f", "f") && !agree("f", "g"));
    }
}
