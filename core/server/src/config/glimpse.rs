//! What can be told of a configuration that is broken.

use std::path::{Path, PathBuf};

use super::Loaded;
use super::Resolver;
use super::source::{Source, parse_set, place_at};

/// Returns the folder of the store of a configuration, also when it cannot be used now or is gone: whoever wants to
/// know what is wrong with it must find the server that refused it.
pub(crate) fn state_path(file: &Path, sets: &[String]) -> PathBuf {
    if let Ok(loaded) = Loaded::read(file, sets) {
        return loaded.state_path();
    }
    let mut known = toml::Value::Table(readable(std::fs::read_to_string(file).unwrap_or_default()));
    for set in sets.iter().filter_map(|set| parse_set(set).ok()) {
        // One that does not fit is told by whoever needs it.
        let _ = place_at(&mut known, &set.path, set.value);
    }
    let path = known.get("state").and_then(|state| state.get("path")).and_then(toml::Value::as_str);
    Resolver::new(Source::folder_of(file)).path(Path::new(path.unwrap_or("state")))
}

/// Returns the keys before the first line that is no TOML.
fn readable(mut text: String) -> toml::Table {
    loop {
        let broken = match toml::from_str(&text) {
            Ok(table) => return table,
            Err(error) => error.span().map_or(0, |span| span.start),
        };
        let before = text.get(..broken.min(text.len().saturating_sub(1))).unwrap_or_default();
        let end = before.rfind('\n').map_or(0, |at| at + 1);
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: Option<&str>, sets: &[&str], path: &str) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b.toml");
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        assert_eq!(state_path(&file, &sets), folder.path().join(path), "{text:?}");
    }

    #[test]
    fn the_store_of_a_broken_configuration_is_found() {
        check(Some("state = { path = \"mine\" }\nmodel = [{ id = "), &[], "mine");
        check(Some("[state]\npath = \"mine\"\n[filters\nx = ["), &[], "mine");
        check(Some("unknown = 1\n[state]\npath = \"mine\"\n"), &[], "mine");
        check(Some("nothing of it is TOML"), &[], "state");
        check(Some("\u{feff}é\u{0}"), &[], "state");
        check(None, &[], "state");
        check(None, &["state.path=mine"], "mine");
    }
}
