//! Puts what serde says of a configuration into the operator's words, without repeating values that may be secrets.

/// Returns the key that serde does not know, if that is what it says.
pub(super) fn unknown_key(message: &str) -> Option<&str> {
    quoted(message.strip_prefix("unknown field ")?).next()
}

/// Returns what is wrong and what would be right.
pub(crate) fn reword(message: &str) -> String {
    let message = message.trim();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown(rest, "unknown key", "keys here");
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return unknown(rest, "unknown value", "values");
    }
    if let Some(field) = message.strip_prefix("missing field ").and_then(|rest| quoted(rest).next()) {
        return format!("the key `{field}` is missing");
    }
    if let Some(field) = message.strip_prefix("duplicate field ").and_then(|rest| quoted(rest).next()) {
        return format!("the key `{field}` stands twice");
    }
    for prefix in ["invalid type: ", "invalid value: ", "invalid length "] {
        if let Some((found, expected)) = message.strip_prefix(prefix).and_then(|rest| rest.rsplit_once(", expected ")) {
            return format!("expected {}, found {}", type_in_words(expected), without_text(found));
        }
    }
    message.to_owned()
}

fn unknown(rest: &str, what: &str, list: &str) -> String {
    let mut names = quoted(rest);
    let found = names.next().unwrap_or_default();
    let known: Vec<&str> = names.collect();
    let known_list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    match nearest(found, known.iter().copied()) {
        Some(near) => format!("{what} `{found}`; did you mean `{near}`? {list}: {known_list}"),
        None => format!("{what} `{found}`; {list}: {known_list}"),
    }
}

/// Returns the known name that a misspelt one was meant to be, if one is near enough.
pub(crate) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |name: &&str| strsim::jaro_winkler(&found.to_lowercase(), &name.to_lowercase());
    let scored = known.into_iter().map(|name| (score(&name), name));
    scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// Returns `; did you mean ...?` with the known names, for a reference that leads nowhere.
pub(crate) fn suggestion<'a>(found: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let list = known.clone().into_iter().collect::<Vec<_>>().join(", ");
    match nearest(found, known) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if list.is_empty() => "; there is none".to_owned(),
        None => format!("; there are: {list}"),
    }
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn type_in_words(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "a whole number, not negative".to_owned(),
        "i64" | "i32" => "a whole number".to_owned(),
        "f64" | "f32" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list, [ … ]".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") || other.contains("tagged enum") => "a table".to_owned(),
        other => other.to_owned(),
    }
}

/// A string may be a secret that was written in place of its reference.
fn without_text(found: &str) -> &str {
    match found {
        text if text.starts_with("string ") => "a text",
        "map" => "a table",
        "sequence" => "a list",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(serde: &str, words: &str) {
        assert_eq!(reword(serde), words);
    }

    #[test]
    fn messages_say_what_would_be_right() {
        check(
            "unknown field `pubic`, expected one of `public`, `admin`",
            "unknown key `pubic`; did you mean `public`? keys here: public, admin",
        );
        check("unknown variant `xyz`, expected `text` or `json`", "unknown value `xyz`; values: text, json");
        check("missing field `netuid`", "the key `netuid` is missing");
        check("invalid type: integer `3`, expected a boolean", "expected true or false, found integer `3`");
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_repeated() {
        check(
            "invalid type: string \"bottom drive, expected obey\", expected struct HotkeyConfig",
            "expected a table, found a text",
        );
    }
}
