//! What can be said of a file that is no TOML.

use toml_edit::TomlError;

/// Returns the path of the key that stands at a place, as far as it can be guessed: the last header above it, and the
/// last key begun.
pub(super) fn path_at(text: &str, at: usize) -> String {
    let end = text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| at + length);
    let lines: Vec<&str> = text.get(..end).unwrap_or_default().lines().collect();
    let headers: Vec<(usize, &str)> =
        lines.iter().enumerate().filter_map(|(n, line)| Some((n, header(line)?))).collect();
    let last = headers.last();
    let lists: Vec<&str> = headers.iter().filter(|(n, _)| is_list(lines.get(*n))).map(|(_, name)| *name).collect();
    let key = lines.iter().skip(last.map_or(0, |(n, _)| n + 1)).rev().find_map(|line| key(line));
    let table = last.map(|(_, name)| with_places(name, &lists));
    table.into_iter().chain(key.map(str::to_owned)).collect::<Vec<_>>().join(".")
}

/// Returns what is wrong and what would be right.
pub(super) fn message(error: &TomlError) -> String {
    let said = error.message().lines().collect::<Vec<_>>().join("; ");
    let ours = [
        ("duplicate key", "stands twice in its table; keep one"),
        ("invalid basic string", "the text does not end; close it with `\"`"),
        ("invalid literal string", "the text does not end; close it with `'`"),
        ("string values must be quoted", "is no value; write a number, true, false, or a text in quotes"),
        ("unclosed table", "the header does not end; close it with `]`"),
        ("unclosed array table", "the header does not end; close it with `]]`"),
        ("key with no value", "has no value; write `key = value` on one line"),
        (
            "missing escaped value",
            r"`\` begins an escape in a text; write the text in single quotes to mean the character",
        ),
        ("missing comma between array elements", "the list goes on here; close it with `]`, or write a comma"),
    ];
    let ours = ours.iter().find(|(toml, _)| said.starts_with(toml));
    ours.map_or(said.clone(), |(_, ours)| (*ours).to_owned())
}

/// Returns the name in `[name]` or `[[name]]`, also without its end.
fn header(line: &str) -> Option<&str> {
    let name = line.trim_start().strip_prefix('[')?;
    let name = name.strip_prefix('[').unwrap_or(name);
    let name = name.split([']', '#']).next().unwrap_or_default().trim();
    is_key(name).then_some(name)
}

fn is_list(line: Option<&&str>) -> bool {
    line.is_some_and(|line| line.trim_start().starts_with("[["))
}

/// Returns the key that a line begins with.
fn key(line: &str) -> Option<&str> {
    let name = line.trim_start().split(|c: char| matches!(c, '=' | ':' | '#') || c.is_whitespace()).next()?;
    is_key(name).then_some(name)
}

fn is_key(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// Puts the place within its list behind every part of a name that is a list.
fn with_places(name: &str, lists: &[&str]) -> String {
    let mut path = String::new();
    let mut prefix = String::new();
    for part in name.split('.') {
        for text in [&mut path, &mut prefix] {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(part);
        }
        let place = lists.iter().filter(|list| **list == prefix).count().checked_sub(1);
        path.extend(place.map(|place| format!(".{place}")));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, path: &str) {
        assert_eq!(path_at(text, text.len()), path);
    }

    #[test]
    fn a_place_is_named_by_the_header_and_the_key_above_it() {
        check("dev = tru", "dev");
        check("[state]\npath = \"s", "state.path");
        check("[state", "state");
        check("[[model]]\nid = \"a\"\n[[model]]\nid = ", "model.1.id");
        check("[[subnet]]\n[subnet.deadlines]\nidle = ", "subnet.0.deadlines.idle");
        check("[pipeline]\nfilters = [\n  \"auth\",\n  \"", "pipeline.filters");
        check("listen:\n  public: 1", "public");
    }
}
