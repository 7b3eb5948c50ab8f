//! The reference page, made from the types: it cannot say anything else than what is read.

use std::fmt::Write;

use serde_json::Value;

use super::shape::{self, Key, Shape, Variant};
use super::wording::written;
use super::{Config, NeuronsFile};

const HEAD: &str = "\
# The configuration

<!-- Made from the types by `make docs`; whatever is written here by hand is lost. -->

Every key of the TOML file that `btvep --config FILE` reads. A key that is not here is refused, with its line and what
was probably meant; `btvep config check` finds whatever a start would fail at. `btvep config get` prints a configuration
with its defaults, and `btvep config schema` the [schema](../../conf/schema.json) with which an editor completes and
checks the file. [btvep.toml](../../conf/btvep.toml) is a file to begin with.

* Relative paths are relative to the file they stand in; `~/` is the home folder.
* A secret never stands in the file, only where it is found: `\"env:NAME\"` is an environment variable, `\"file:PATH\"`
  a file whose content is the secret.
* `[[name]]` is a table that may stand several times. Messages and `--set` count from 0: `lanes` of the first
  `[[subnet]]` is `subnet.0.lanes`.
* `--set path.to.key=VALUE` puts a value over the file's, such as `--set listen.public=0.0.0.0:8000`.
* *Needs a restart*: a running server keeps the old value and says so. Everything else is taken while it serves.
";

const NEURONS: &str = "
# The file of neurons

What a subnet's `metagraph = { source = \"file\", path = \"…\" }` names.
[neurons.example.toml](../../conf/neurons.example.toml) is one to begin with.
";

/// Returns the schema as JSON, for editors.
pub(crate) fn schema_text() -> String {
    format!("{:#}\n", shape::schema::<Config>().as_value())
}

/// Returns the page that explains every key; Markdown.
pub(crate) fn page() -> String {
    let (config, neurons) = (shape::keys::<Config>(), shape::keys::<NeuronsFile>());
    let mut page = Page(HEAD.to_owned());
    page.contents(&config);
    page.add("\n## Outside any table\n");
    page.table(&Scope::default(), &config);
    page.add(NEURONS);
    page.table(&Scope::default(), &neurons);
    page.0
}

/// Where a table stands.
#[derive(Clone, Debug, Default)]
struct Scope {
    /// Its name with a dot behind it; empty at the top.
    prefix: String,
    needs_restart: bool,
    /// The kind of table that has these keys, such as `kind = "btauth"`.
    only_with: Option<String>,
}

#[derive(Debug)]
struct Page(String);

impl Page {
    fn add(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn contents(&mut self, keys: &[Key]) {
        self.add("\nThe tables, in the order of the file:\n\n");
        for Key { name, doc, .. } in keys.iter().filter(|key| is_table(&key.shape)) {
            let first = doc.split(['.', ';', ':']).next().unwrap_or_default();
            self.add(&format!("* [`{name}`](#{name}): {first}\n"));
        }
    }

    /// Adds the keys of a table, then the tables in it.
    fn table(&mut self, scope: &Scope, keys: &[Key]) {
        let (tables, plain): (Vec<&Key>, Vec<&Key>) = keys.iter().partition(|key| is_table(&key.shape));
        for key in plain {
            self.head("###", &format!("{}{}", scope.prefix, key.name), &facts(scope, key), &key.doc);
            self.choices(&key.shape);
            self.examples(key);
        }
        for key in tables {
            let name = format!("{}{}", scope.prefix, key.name);
            let title = if matches!(key.shape, Shape::List(_)) { format!("[[{name}]]") } else { format!("[{name}]") };
            self.head("##", &title, &facts(scope, key), &key.doc);
            self.examples(key);
            let needs_restart = scope.needs_restart || key.needs_restart;
            let inner = Scope { prefix: format!("{name}."), needs_restart, only_with: None };
            self.keys_of(&inner, &key.shape);
        }
    }

    fn keys_of(&mut self, scope: &Scope, shape: &Shape) {
        match shape {
            Shape::Table(keys) => self.table(scope, keys),
            Shape::List(items) => self.keys_of(scope, items),
            Shape::Tagged { tag, variants } => {
                self.head("###", &format!("{}{tag}", scope.prefix), "one of these · required", "");
                self.add("\n");
                for Variant { name, doc, .. } in variants {
                    self.bullet("", &format!("\"{name}\""), doc);
                }
                for Variant { name, keys, .. } in variants {
                    let only_with = Some(format!("{tag} = \"{name}\""));
                    let others: Vec<Key> = keys.iter().flatten().filter(|key| key.name != *tag).cloned().collect();
                    self.table(&Scope { only_with, ..scope.clone() }, &others);
                }
            }
            _ => {}
        }
    }

    fn head(&mut self, level: &str, name: &str, facts: &str, doc: &str) {
        let _ = write!(self.0, "\n{level} `{name}`\n\n{facts}\n");
        if !doc.is_empty() {
            let _ = write!(self.0, "\n{doc}\n");
        }
    }

    /// Adds what each of several values means.
    fn choices(&mut self, shape: &Shape) {
        match shape {
            Shape::List(items) => self.choices(items),
            Shape::Choice(variants) => {
                self.add("\n");
                for variant in variants {
                    self.bullet("", &written_variant(variant), &variant.doc);
                    for key in variant.keys.as_deref().unwrap_or_default() {
                        let facts = facts(&Scope::default(), key);
                        self.bullet("  ", &key.name, &format!("{facts}. {}", key.doc));
                    }
                }
            }
            _ => {}
        }
    }

    fn bullet(&mut self, indent: &str, name: &str, doc: &str) {
        let _ = writeln!(self.0, "{indent}* `{name}`: {doc}");
    }

    fn examples(&mut self, key: &Key) {
        for value in &key.examples {
            let _ = write!(self.0, "\nExample: `{} = {}`\n", key.name, written(value));
        }
    }
}

fn is_table(shape: &Shape) -> bool {
    match shape {
        Shape::Table(_) | Shape::Tagged { .. } => true,
        Shape::List(items) => is_table(items),
        _ => false,
    }
}

/// Returns type, default and what else holds for a key, on one line.
fn facts(scope: &Scope, key: &Key) -> String {
    let mut facts = vec![match &key.shape {
        Shape::Choice(_) => "one of these".to_owned(),
        Shape::Table(_) => "a table".to_owned(),
        Shape::List(items) if matches!(**items, Shape::Choice(_)) => "a list of these".to_owned(),
        // A default or an example shows how it is written.
        shape if key.default.is_some() || !key.examples.is_empty() => {
            shape.words().split(", such as").next().unwrap_or_default().to_owned()
        }
        shape => shape.words(),
    }];
    facts.push(match &key.default {
        _ if key.is_required => "required".to_owned(),
        Some(Value::Array(list)) if list.is_empty() => "empty by default".to_owned(),
        Some(value) => format!("default `{}`{}", written(value), size(&key.name, value)),
        None if is_table(&key.shape) => "may be left out".to_owned(),
        None => "absent by default".to_owned(),
    });
    facts.extend(scope.only_with.as_ref().map(|kind| format!("only with `{kind}`")));
    if scope.needs_restart || key.needs_restart {
        facts.push("**needs a restart**".to_owned());
    }
    facts.join(" · ")
}

/// Returns a variant as it is written, with the keys that it holds.
fn written_variant(variant: &Variant) -> String {
    let Variant { name, keys, .. } = variant;
    match keys {
        None => format!("\"{name}\""),
        Some(keys) => {
            let keys: Vec<String> = keys.iter().map(|key| format!("{} = …", key.name)).collect();
            format!("{{ {name} = {{ {} }} }}", keys.join(", "))
        }
    }
}

/// Returns a size in bytes as people say it, in brackets.
fn size(name: &str, value: &Value) -> String {
    let bytes = value.as_u64().filter(|bytes| name.ends_with("bytes") && *bytes > 0);
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fits = |bytes: u64| units.iter().find(move |(bits, _)| bytes.trailing_zeros() >= *bits);
    let said = bytes.and_then(|bytes| fits(bytes).map(|(bits, unit)| format!(" ({} {unit})", bytes >> bits)));
    said.unwrap_or_default()
}

#[cfg(test)]
mod tests;
