//! The checked-in files are what the types say, every key is explained, and what the page says is what is read.

use std::path::Path;

use serde_json::Value;

use super::super::shape::{Key, Shape, keys};
use super::super::{Config, Loaded, Source};
use super::*;

/// Has an element in every list that a key can stand in.
const EVERYWHERE: &str = r#"
dev = true
[listen]
tls = { cert = "cert.pem", key = "key.pem" }
[filters.rate_limit]
default = [{ times = 1, seconds = 1 }]
[validator]
hotkey = { wallet = "default/default" }
[devnet]
[[subnet]]
name = "sn1"
netuid = 1
protocol = { kind = "btauth" }
metagraph = { source = "devnet" }
addresses = "any"
[[ban]]
hotkey = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
[[upstream]]
name = "own"
base_url = "https://llm.example.com/v1"
[[model]]
id = "m"
subnet = "sn1"
"#;

/// A key with its path, and what must be set before it can stand there.
struct Found<'a> {
    path: String,
    key: &'a Key,
    needs_restart: bool,
    before: Vec<String>,
}

/// Returns every key below a path, in order.
fn walk<'a>(path: &str, keys: &'a [Key], before: &[String], found: &mut Vec<Found<'a>>) {
    for key in keys {
        let path = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
        let from = found.len();
        found.push(Found { path: path.clone(), key, needs_restart: false, before: before.to_vec() });
        walk_shape(&path, &key.shape, before, found);
        found.iter_mut().skip(from).for_each(|inner| inner.needs_restart |= key.needs_restart);
    }
}

fn walk_shape<'a>(path: &str, shape: &'a Shape, before: &[String], found: &mut Vec<Found<'a>>) {
    match shape {
        Shape::Table(keys) => walk(path, keys, before, found),
        Shape::List(items) => walk_shape(&format!("{path}.0"), items, before, found),
        Shape::Tagged { tag, variants } => {
            for variant in variants {
                let set = format!("{path}={{ {tag} = \"{}\" }}", variant.name);
                walk_kind(path, tag, variant, &[before, &[set]].concat(), found);
            }
        }
        _ => {}
    }
}

/// Returns the keys of a kind of table; its tag has been explained with the kinds.
fn walk_kind<'a>(path: &str, tag: &str, kind: &'a Variant, before: &[String], found: &mut Vec<Found<'a>>) {
    let from = found.len();
    walk(path, kind.keys.as_deref().unwrap(), before, found);
    let tag = format!("{path}.{tag}");
    let of_kind = found.split_off(from);
    found.extend(of_kind.into_iter().filter(|inner| inner.path != tag));
}

fn every_key(keys: &[Key]) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    walk("", keys, &[], &mut found);
    found
}

/// Returns the paths of keys and values that nobody explained.
fn unexplained(keys: &[Key]) -> Vec<String> {
    let mut paths = Vec::new();
    for Found { path, key, .. } in every_key(keys) {
        let mut shape = &key.shape;
        while let Shape::List(items) = shape {
            shape = items;
        }
        let variants = match shape {
            Shape::Choice(variants) | Shape::Tagged { variants, .. } => variants.as_slice(),
            _ => &[],
        };
        paths.extend(key.doc.is_empty().then(|| path.clone()));
        for variant in variants {
            paths.extend(variant.doc.is_empty().then(|| format!("{path} = {}", variant.name)));
            let inner = if matches!(shape, Shape::Choice(_)) { variant.keys.as_deref() } else { None };
            paths.extend(unexplained(inner.unwrap_or_default()).into_iter().map(|inner| format!("{path}.{inner}")));
        }
    }
    paths
}

#[track_caller]
fn check_fresh(file: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let line = kept.lines().zip(made.lines()).take_while(|(kept, made)| kept == made).count() + 1;
    assert!(kept == made, "{file} is not what the types say, from line {line} on; run `make docs` and commit it");
}

#[test]
fn the_page_and_the_schema_are_fresh() {
    check_fresh("docs/reference/config.md", &page());
    check_fresh("conf/schema.json", &schema_text());
}

#[test]
fn every_key_and_value_is_explained() {
    assert_eq!(unexplained(&keys::<Config>()), [""; 0]);
    assert_eq!(unexplained(&keys::<NeuronsFile>()), [""; 0]);
}

#[test]
fn what_nobody_explained_is_found() {
    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema matters")]
    struct Silent {
        /// Said.
        said: bool,
        unsaid: bool,
        /// Said.
        choice: Choice,
    }
    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema matters")]
    enum Choice {
        /// Said.
        Said,
        Unsaid,
        /// Said.
        Holding {
            inner: u8,
        },
    }
    assert_eq!(unexplained(&keys::<Silent>()), ["unsaid", "choice = Unsaid", "choice.inner"]);
}

impl Found<'_> {
    /// Returns the configuration in which the key is set.
    fn set(&self, value: &Value) -> Source {
        let sets: Vec<String> =
            self.before.iter().cloned().chain([format!("{}={}", self.path, written(value))]).collect();
        Source::parse(Path::new("b.toml"), EVERYWHERE, &sets).unwrap()
    }
}

#[test]
fn every_default_example_and_choice_is_taken() {
    let keys = keys::<Config>();
    let mut checked = 0;
    for found in every_key(&keys) {
        let choices = match &found.key.shape {
            Shape::Choice(variants) => variants.as_slice(),
            _ => &[],
        };
        let texts = choices.iter().filter(|variant| variant.keys.is_none());
        let texts = texts.map(|variant| Value::String(variant.name.clone()));
        for value in found.key.default.iter().chain(&found.key.examples).cloned().chain(texts) {
            let read = found.set(&value).read_as::<Config>().map(drop).map_err(|error| error.to_string());
            assert_eq!(read, Ok(()), "{} = {value}", found.path);
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} values were found");
}

#[test]
fn every_bound_is_kept() {
    let keys = keys::<Config>();
    let mut checked = 0;
    for found in every_key(&keys) {
        let beyond: Vec<Value> = match found.key.shape {
            Shape::Whole { least, most } => {
                let below = least.and_then(|least| least.checked_sub(1));
                below.into_iter().chain(most.and_then(|most| most.checked_add(1))).map(Value::from).collect()
            }
            Shape::Number { least, most } => {
                let below = least.map(|least| least - 0.001);
                below.into_iter().chain(most.map(|most| most + 0.001)).map(Value::from).collect()
            }
            _ => Vec::new(),
        };
        for value in beyond {
            let refused = Loaded::check(found.set(&value)).map(drop).map_err(|error| error.path);
            assert_eq!(refused, Err(found.path.clone()), "for {value}");
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} bounds were found");
}

#[test]
fn an_own_restart_and_one_above_are_said() {
    let page = page();
    for key in ["### `listen.public`", "### `state.path`", "### `state.logs.retain_days`"] {
        let facts = page.split(key).nth(1).and_then(|rest| rest.lines().nth(2)).unwrap();
        assert!(facts.ends_with("**needs a restart**"), "{key}: {facts}");
    }
    let facts = page.split("### `limits.messages`").nth(1).and_then(|rest| rest.lines().nth(2)).unwrap();
    assert_eq!(facts, "a whole number, at least 1 · default `1024`");
}

/// Returns a value that a key has not by itself, where one is easily found.
fn another(key: &Key) -> Option<Value> {
    let default = key.default.as_ref();
    match &key.shape {
        Shape::Flag => Some((!default?.as_bool()?).into()),
        Shape::Whole { .. } => Some((default?.as_i64()? + 1).into()),
        Shape::Choice(variants) => variants.last().map(|variant| variant.name.clone().into()),
        Shape::Written { words, .. } if words.starts_with("a length of time") => Some("3s".into()),
        Shape::Written { words, .. } if words.starts_with("an IP address") => Some("127.0.0.1:7".into()),
        Shape::Written { words, .. } if words.starts_with("a path") => Some("elsewhere".into()),
        _ => None,
    }
}

#[test]
fn what_needs_a_restart_is_what_a_reload_keeps() {
    let keys = keys::<Config>();
    let running = Loaded::from_text(Path::new("b.toml"), EVERYWHERE, &[]).unwrap().config;
    let mut checked = 0;
    for found in every_key(&keys) {
        let Some(value) = another(found.key) else { continue };
        let Ok(mut changed) = Loaded::check(found.set(&value)) else { continue };
        let waits = crate::reload::restart::keep(&running, &mut changed.config);
        assert_eq!(waits.contains(&found.path), found.needs_restart, "{} = {value} waits for {waits:?}", found.path);
        checked += 1;
    }
    assert!(checked > 40, "only {checked} keys were tried");
}
