//! What differs between two configurations, by key path.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use btvep_control::ConfigChange;
use serde::Serialize;
use serde_json::Value;

use crate::config::Fingerprint;

/// The most changes that are told.
const CHANGES: usize = 100;

/// The most characters of a value that are told.
const VALUE: usize = 200;

/// Returns the key paths whose values differ, in the order of the paths; at most 100.
pub(super) fn changes(before: &impl Serialize, after: &impl Serialize) -> Vec<ConfigChange> {
    differences(leaves(before), leaves(after))
}

fn differences(before: BTreeMap<String, String>, mut after: BTreeMap<String, String>) -> Vec<ConfigChange> {
    let mut changes: Vec<ConfigChange> = Vec::new();
    for (path, before) in before {
        let after = after.remove(&path);
        if after.as_ref() != Some(&before) {
            changes.push(ConfigChange { path, before: Some(before), after });
        }
    }
    changes.extend(after.into_iter().map(|(path, after)| ConfigChange { path, before: None, after: Some(after) }));
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    changes.truncate(CHANGES);
    for value in changes.iter_mut().flat_map(|change| [&mut change.before, &mut change.after]).flatten() {
        shorten(value);
    }
    changes
}

/// Returns the files whose contents differ, by their fingerprints.
pub(super) fn files(before: &[(PathBuf, Fingerprint)], after: &[(PathBuf, Fingerprint)]) -> Vec<ConfigChange> {
    let contents = |files: &[(PathBuf, Fingerprint)]| -> BTreeMap<String, String> {
        files.iter().map(|(file, content)| (file.display().to_string(), content.to_string())).collect()
    };
    differences(contents(before), contents(after))
}

/// Returns changes on one line, for the log.
pub(super) fn shown(changes: &[ConfigChange]) -> String {
    let mut line = String::new();
    for ConfigChange { path, before, after } in changes {
        let [before, after] = [before, after].map(|value| value.as_deref().unwrap_or("-"));
        let separator = if line.is_empty() { "" } else { "; " };
        let _ = write!(line, "{separator}{path}: {before} → {after}");
    }
    line
}

/// Returns every value that has no keys of its own, by its path.
fn leaves(of: &impl Serialize) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    gather(String::new(), &serde_json::to_value(of).unwrap_or_default(), &mut leaves);
    leaves
}

fn gather(path: String, value: &Value, leaves: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(table) if !table.is_empty() => {
            table.iter().for_each(|(key, value)| gather(below(key), value, leaves));
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            list.iter().enumerate().for_each(|(at, value)| gather(below(&at.to_string()), value, leaves));
        }
        Value::Null => {}
        Value::Object(_) if path.is_empty() => {}
        leaf => {
            leaves.insert(path, leaf.to_string());
        }
    }
}

fn shorten(value: &mut String) {
    if let Some((end, _)) = value.char_indices().nth(VALUE) {
        value.truncate(end);
        value.push('…');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(before: &Value, after: &Value, told: &[&str]) {
        let show = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let found = changes(before, after).into_iter();
        let found: Vec<_> = found.map(|c| format!("{}: {} → {}", c.path, show(c.before), show(c.after))).collect();
        assert_eq!(found, told);
    }

    #[test]
    fn differences_are_told_by_path() {
        check(&json!({ "a": { "b": 1, "c": "x" } }), &json!({ "a": { "b": 2, "c": "x" } }), &["a.b: 1 → 2"]);
        check(&json!({ "m": [{ "p": 1 }] }), &json!({ "m": [{ "p": 1 }, { "p": 2 }] }), &["m.1.p: - → 2"]);
        check(
            &json!({ "list": [1, 2], "gone": "x" }),
            &json!({ "list": [1] }),
            &["gone: \"x\" → -", "list: [1,2] → [1]"],
        );
        check(&json!({ "same": [] }), &json!({ "same": [] }), &[]);
    }

    #[test]
    fn what_is_told_is_bounded() {
        let many: BTreeMap<String, String> = (0..500).map(|n| (format!("key{n}"), "é".repeat(1000))).collect();
        let told = changes(&json!({}), &many);
        assert_eq!(told.len(), CHANGES);
        assert_eq!(told[0].after.as_ref().unwrap().chars().count(), VALUE + 1);
    }
}
