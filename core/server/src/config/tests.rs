//! Configurations that are refused, with the whole message; and changes that keep comments.

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

/// The good configuration with more lines in front is refused with this message.
#[track_caller]
fn check(more: &str, message: &str) {
    assert_eq!(read(&format!("{more}{GOOD}"), &[]).map(drop), Err(message.to_owned()));
}

#[track_caller]
fn check_set(set: &str, message: &str) {
    assert_eq!(read(GOOD, &[set]).map(drop), Err(message.to_owned()));
}

#[test]
fn the_smallest_useful_configuration_is_taken() {
    let config = read(GOOD, &[]).unwrap();
    assert_eq!(config.pipeline.filters, crate::roster::FILTERS);
    assert_eq!(config.model[0].price, btvep_domain::Credits::whole(1));
}

#[test]
fn a_misspelt_key_is_named_with_its_line_and_the_likely_spelling() {
    check(
        "[filters.loging]\n",
        "b.toml:1: filters.loging: unknown key `loging`; did you mean `logging`? keys here: logging, rate_limit, moderation",
    );
    check(
        "[filters.rate_limit]\nenable = false\n",
        "b.toml:2: filters.rate_limit.enable: unknown key `enable`; did you mean `enabled`? \
         keys here: enabled, default, concurrency, attempts",
    );
    check(
        "[[subnet]]\nname = \"s\"\nnetuid = 1\nprotocol = { kind = \"btauth\", pth = \"/\" }\n\
         metagraph = { source = \"devnet\" }\n",
        "b.toml:4: subnet.0.protocol.pth: unknown key `pth`; did you mean `path`? keys here: path",
    );
    check(
        "[pipeline]\nfilters = [\"auth\", \"credit\"]\n",
        "b.toml:2: pipeline.filters.1: there is no filter `credit`; did you mean `credits`?",
    );
}

#[test]
fn a_wrong_type_says_what_would_be_right() {
    check(
        "[limits]\nmessages = \"many\"\n",
        "b.toml:2: limits.messages: expected a whole number, not negative, found a text",
    );
    check("dev = 1\n", "b.toml:1: dev: expected true or false, found integer `1`");
    check(
        "[filters.logging]\ncontent = \"ful\"\n",
        "b.toml:2: filters.logging.content: unknown value `ful`; did you mean `full`? values: meta, hash, full, none",
    );
    check("[[subnet]]\nname = \"s\"\n", "b.toml:1: subnet.0: the key `netuid` is missing");
}

#[test]
fn what_is_no_toml_is_refused_at_its_line() {
    let message = read("[state]\npath = \"a\"\npath = \"b\"\n", &[]).unwrap_err();
    assert!(message.starts_with("b.toml:3: "), "{message}");
    assert!(message.contains("duplicate key"), "{message}");
    let message = read("[state\n", &[]).unwrap_err();
    assert!(message.starts_with("b.toml:1: "), "{message}");
}

#[test]
fn references_that_lead_nowhere_are_refused() {
    let model = |model: &str| format!("{GOOD}[[model]]\n{model}");
    let check = |text: &str, message: &str| assert_eq!(read(&model(text), &[]).map(drop), Err(message.to_owned()));
    check(
        "id = \"n\"\nupstream = \"owm\"",
        "b.toml:15: model.1.upstream: there is no upstream `owm`; did you mean `own`?",
    );
    check("id = \"n\"\nsubnet = \"sn1\"", "b.toml:15: model.1.subnet: there is no subnet `sn1`; there is none");
    check("id = \"n\"", "b.toml:13: model.1: expected exactly one of `subnet` and `upstream`");
    check("id = \"m\"\nupstream = \"own\"", "b.toml:14: model.1.id: `m` stands twice; each [[model]] has its own id");
    check(
        "id = \"a:b\"\nupstream = \"own\"",
        "b.toml:14: model.1.id: may not hold `:`, which begins a strategy (`sn1:top_n=5`)",
    );
    check("id = \"n\"\nupstream = \"own\"\nprice = -1", "b.toml:16: model.1.price: may not be negative");
}

#[test]
fn filters_that_do_not_go_together_are_refused() {
    check_set(
        "pipeline.filters=[\"auth\", \"logging\", \"credits\"]",
        "--set: pipeline.filters.1: `logging` stands first, so that it sees every rejection",
    );
    check_set(
        "pipeline.filters=[\"rate_limit\", \"auth\"]",
        "--set: pipeline.filters.0: `rate_limit` works on a key: write \"auth\" before it",
    );
    check_set(
        "pipeline.filters=[\"credits\"]",
        "--set: pipeline.filters.0: `credits` works on a key: write \"auth\" before it",
    );
    check_set(
        "pipeline.filters=[\"logging\", \"auth\"]",
        "b.toml:12: model.0.price: nothing would be charged: add \"credits\" to pipeline.filters, or remove the price",
    );
    check_set("pipeline.filters=[\"auth\", \"auth\"]", "--set: pipeline.filters.1: `auth` stands twice");
}

#[test]
fn development_keys_need_the_development_switch() {
    let subnet = "[[subnet]]\nname = \"s\"\nnetuid = 1\nprotocol = { kind = \"btauth\" }\n\
                  metagraph = { source = \"devnet\" }\naddresses = \"any\"\n[devnet]\n";
    check(
        subnet,
        "b.toml: validator: a subnet needs a hotkey that signs; write [validator] hotkey = { wallet = \"default/default\" }",
    );
    check(
        &format!("{subnet}[validator]\nhotkey = {{ uri = \"//Alice\" }}\n"),
        "b.toml:9: validator.hotkey.uri: everybody knows such a key; it is allowed only with `dev = true`",
    );
    check(
        &format!("{subnet}[validator]\nhotkey = {{ uri = \"//Alice\", wallet = \"a/b\" }}\n"),
        "b.toml:9: validator.hotkey: expected exactly one of `mnemonic`, `wallet`, `uri`",
    );
    check(
        "[validator]\nhotkey = { wallet = \"../b\" }\n",
        "b.toml:2: validator.hotkey.wallet: expected `WALLET/HOTKEY`, such as `default/default`",
    );
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
    check_set("model.1.price=2", "--set: model.1.price: `1` is no place in a list of 1; they count from 0");
    check_set(
        "model.0.prise=2",
        "--set: model.0.prise: unknown key `prise`; did you mean `price`? keys here: id, subnet, upstream, upstream_name, modality, price, default_strategy, mode, created",
    );
    check_set("nothing", "--set: nothing: expected path.to.key=VALUE");
    check_set("dev=true\nx=1", "--set: dev: expected true or false, found a text");
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
fn bans_and_disabled_strategies_are_checked() {
    let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    let ban = format!("[[ban]]\nhotkey = \"{alice}\"\n");
    let config = read(&format!("[strategies]\ndisabled = [\"uids\"]\n{ban}until = 2026-01-31\n{GOOD}"), &[]).unwrap();
    assert_eq!(config.ban[0].until.as_ref().map(Until::unix), Some(1_769_817_600));
    check(&format!("{ban}{ban}"), "b.toml:4: ban.1.hotkey: is banned twice; keep one of the two");
    check(
        "[[ban]]\nhotkey = \"5Alice\"\n",
        "b.toml:2: ban.0.hotkey: `5Alice` is no ss58 address; expected 48 characters that begin with 5",
    );
    check(
        &format!("{ban}until = \"soon\"\n"),
        "b.toml:3: ban.0.until: `soon` is no date and no moment; write 2026-01-31 or 2026-01-31T12:00:00Z",
    );
    check(
        "[strategies]\ndisabled = [\"topn\"]\n",
        "b.toml:2: strategies.disabled.0: there is no strategy `topn`; did you mean `top_n`?",
    );
}
