//! What is read of a configuration, and changes that keep comments; `bad_files` has those that are refused.

use std::path::Path;

use super::*;

const GOOD: &str = r#"
[state]
path = "state"

[[upstream]]
name = "own"
base_url = "https://llm.example.com/v1"

[[model]]
id = "m"
upstream = "own"
price = 1
"#;

fn read(text: &str, sets: &[&str]) -> Result<Config, String> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    match Loaded::from_text(Path::new("b.toml"), text, &sets) {
        Ok(loaded) => Ok(loaded.config),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn the_smallest_useful_configuration_is_taken() {
    let config = read(GOOD, &[]).unwrap();
    assert_eq!(config.pipeline.filters, crate::roster::FILTERS);
    assert_eq!(config.model[0].price, btvep_domain::Credits::whole(1));
}

#[test]
fn a_secret_in_the_place_of_its_reference_is_not_repeated() {
    for text in
        ["[validator]\nhotkey = \"abandon ability\"\n", "[validator]\nhotkey = { mnemonic = \"abandon ability\" }\n"]
    {
        let message = read(&format!("{text}{GOOD}"), &[]).unwrap_err();
        assert!(message.starts_with("b.toml:2: validator.hotkey"), "{message}");
        assert!(!message.contains("abandon"), "{message}");
    }
}

#[test]
fn values_of_the_command_line_are_toml_or_text() {
    let config = read(GOOD, &["state.path=/tmp/x", "model.0.price=2.5", "dev=true", "log.level=debug"]).unwrap();
    assert_eq!(config.state.path, Path::new("/tmp/x"));
    assert_eq!(config.model[0].price.to_string(), "2.5");
    assert!(config.dev);
}

#[test]
fn a_change_keeps_comments_and_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b.toml");
    let text = format!(
        "# first\n[filters.rate_limit]\n# rules\ndefault = [\n  {{ times = 1, seconds = 2 }}, # one\n]\n{GOOD}"
    );
    std::fs::write(&file, &text).unwrap();
    let mut edits = Edits::read(&file).unwrap();
    edits.push("filters.rate_limit.default", &[("times", 5), ("seconds", 60)]).unwrap();
    edits.set("filters.logging.content", "hash").unwrap();
    edits.set("model.0.price", "2").unwrap();
    edits.write(&file).unwrap();
    let after = std::fs::read_to_string(&file).unwrap();
    for kept in ["# first", "# rules", "# one"] {
        assert!(after.contains(kept), "{after}");
    }
    let config = Loaded::read(&file, &[]).unwrap().config;
    assert_eq!(config.filters.rate_limit.default.len(), 2);
    assert_eq!(config.filters.logging.content, btvep_domain::ContentPolicy::Hash);
    assert_eq!(config.model[0].price.to_string(), "2");
}

#[test]
fn a_change_that_would_not_be_valid_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b.toml");
    std::fs::write(&file, GOOD).unwrap();
    for (key, value) in [("model.0.price", "-1"), ("nowhere.key", "1"), ("state", "1"), ("state.path.deeper", "1")] {
        let mut edits = Edits::read(&file).unwrap();
        let refused = edits.set(key, value).and_then(|()| edits.write(&file)).unwrap_err().to_string();
        assert!(refused.ends_with("; nothing was changed"), "{refused}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), GOOD);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was left behind");
}

#[test]
fn a_uid_stands_once_in_a_file_of_neurons() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("neurons.toml");
    let neuron = "[[neuron]]\nuid = 3\nhotkey = \"5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY\"\n";
    std::fs::write(&file, format!("{neuron}{neuron}")).unwrap();
    let refused = FileMetagraph::read(&file, btvep_domain::NetUid(1), 0).unwrap_err().to_string();
    assert!(
        refused.ends_with("neurons.toml:5: neuron.1.uid: this uid stands twice; each neuron has its own"),
        "{refused}"
    );
}

#[test]
fn bans_and_disabled_strategies_are_read() {
    let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    let ban = format!("[[ban]]\nhotkey = \"{alice}\"\n");
    let config = read(&format!("[strategies]\ndisabled = [\"uids\"]\n{ban}until = 2026-01-31\n{GOOD}"), &[]).unwrap();
    assert_eq!(config.ban[0].until.as_ref().map(Until::unix), Some(1_769_817_600));
}
