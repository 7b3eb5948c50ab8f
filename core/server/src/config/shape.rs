//! What may stand in a configuration, as the types' schema says: read by the reference page and by messages.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

/// A key of a table.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    /// What it does; Markdown.
    pub(super) doc: String,
    pub(super) shape: Shape,
    pub(super) is_required: bool,
    /// What stands there when nothing does; none when that is nothing, too.
    pub(super) default: Option<Value>,
    /// Whether a change of it, or of anything below it, waits for the next start.
    pub(super) needs_restart: bool,
    pub(super) examples: Vec<Value>,
}

/// One of several values, or of several kinds of a table.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    pub(super) name: String,
    /// What it means; Markdown.
    pub(super) doc: String,
    /// What it holds, the tag of a kind of table included; none when it is a mere text.
    pub(super) keys: Option<Vec<Key>>,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds, both included.
    Whole { least: Option<i64>, most: Option<i64> },
    /// A number within bounds, both included.
    Number { least: Option<f64>, most: Option<f64> },
    /// A text.
    Text,
    /// Something with a form of its own, described in words; the JSON types it may have.
    Written { words: String, types: Vec<String> },
    /// A list.
    List(Box<Shape>),
    /// A table with these keys and no others.
    Table(Vec<Key>),
    /// A table whose key `tag` says which other keys it has.
    Tagged { tag: String, variants: Vec<Variant> },
    /// One of some texts, or a table with one key, which is one of them.
    Choice(Vec<Variant>),
    /// Anything.
    Any,
}

/// Returns the schema of a type as a TOML file can hold it: without references, and without null.
pub(super) fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft07()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(without_null))
        .with_transform(RecursiveTransform(tidy))
        .into_generator()
        .into_root_schema_for::<T>()
}

/// Returns the keys of a type that is a table.
pub(super) fn keys<T: JsonSchema>() -> Vec<Key> {
    keys_of(schema::<T>().as_value())
}

/// An optional value is one that may be absent: TOML has no null.
fn without_null(schema: &mut Schema) {
    let Some(schema) = schema.as_object_mut() else { return };
    let is_null = |value: &Value| value == "null" || value.get("type").is_some_and(|name| name == "null");
    if let Some(default) = schema.remove("default").and_then(some_of) {
        schema.insert("default".to_owned(), default);
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| !is_null(name));
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(options)) = schema.get_mut("anyOf") else { return };
    options.retain(|option| !is_null(option));
    if let [Value::Object(only)] = options.as_mut_slice() {
        let only = std::mem::take(only);
        schema.remove("anyOf");
        for (key, value) in only {
            schema.entry(key).or_insert(value);
        }
    }
}

/// Returns what of a value is not null, members of tables included.
fn some_of(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(members) => {
            Some(members.into_iter().filter_map(|(name, value)| Some((name, some_of(value)?))).collect())
        }
        value => Some(value),
    }
}

/// Joins the lines of a description, and drops a table's default where it only repeats those of its keys.
fn tidy(schema: &mut Schema) {
    let Some(schema) = schema.as_object_mut() else { return };
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.split("\n\n").map(|part| part.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
    }
    if schema.get("default").is_some_and(|default| *default == defaults_of_keys(schema)) {
        schema.remove("default");
    }
}

fn defaults_of_keys(schema: &Map<String, Value>) -> Value {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.filter_map(|(name, inner)| Some((name.clone(), inner.get("default")?.clone()))).collect()
}

fn text_of(schema: &Value, key: &str) -> String {
    schema.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list_of<'a>(schema: &'a Value, key: &str) -> Option<&'a [Value]> {
    schema.get(key).and_then(Value::as_array).map(Vec::as_slice)
}

fn keys_of(schema: &Value) -> Vec<Key> {
    let required = list_of(schema, "required").unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let key = |(name, schema): (&String, &Value)| Key {
        name: name.clone(),
        doc: text_of(schema, "description"),
        shape: Shape::of(schema),
        is_required: required.iter().any(|required| required == name),
        default: schema.get("default").cloned(),
        needs_restart: schema.get("x-restart").is_some_and(|restart| restart == true),
        examples: list_of(schema, "examples").unwrap_or_default().to_vec(),
    };
    properties.map(key).collect()
}

impl Shape {
    /// Returns what a type is.
    pub(super) fn new<T: JsonSchema>() -> Self {
        let mut schema = schema::<T>();
        // The name that every root has is no description of its form.
        schema.remove("title");
        Self::of(schema.as_value())
    }

    fn of(schema: &Value) -> Self {
        let types = match schema.get("type") {
            Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => vec![text_of(schema, "type")],
        };
        if schema.get("title").is_some() {
            return Self::Written { words: text_of(schema, "title"), types };
        }
        if let Some(options) = list_of(schema, "oneOf") {
            return Self::of_options(options);
        }
        let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
        let edge = |key: &str| schema.get(key).and_then(Value::as_f64);
        match types.first().map(String::as_str) {
            Some("boolean") => Self::Flag,
            Some("integer") => Self::Whole { least: bound("minimum"), most: bound("maximum") },
            Some("number") => Self::Number { least: edge("minimum"), most: edge("maximum") },
            Some("string") if schema.get("enum").or_else(|| schema.get("const")).is_some() => {
                Self::of_options(std::slice::from_ref(schema))
            }
            Some("string") => Self::Text,
            Some("array") => Self::List(Box::new(schema.get("items").map_or(Self::Any, Self::of))),
            Some("object") if schema.get("properties").is_some() => Self::Table(keys_of(schema)),
            Some("object") => Self::Written { words: "a table of any keys".to_owned(), types },
            _ => Self::Any,
        }
    }

    fn of_options(options: &[Value]) -> Self {
        let tag = options.iter().find_map(tag_of);
        match tag {
            Some(tag) => {
                let variants = options.iter().map(|option| tagged(option, &tag)).collect();
                Self::Tagged { tag, variants }
            }
            None => Self::Choice(options.iter().flat_map(choices).collect()),
        }
    }
}

/// Returns the key of a kind of table that holds always the same text.
fn tag_of(option: &Value) -> Option<String> {
    let properties = option.get("properties")?.as_object()?;
    properties.iter().find(|(_, inner)| inner.get("const").is_some()).map(|(name, _)| name.clone())
}

fn tagged(option: &Value, tag: &str) -> Variant {
    let name = option.pointer(&format!("/properties/{tag}")).map(|tag| text_of(tag, "const"));
    Variant { name: name.unwrap_or_default(), doc: text_of(option, "description"), keys: Some(keys_of(option)) }
}

/// Returns the values that one option stands for; several only where none of them is documented.
fn choices(option: &Value) -> Vec<Variant> {
    let variant = |name: String, keys| Variant { name, doc: text_of(option, "description"), keys };
    if let Some(names) = list_of(option, "enum") {
        return names.iter().filter_map(Value::as_str).map(|name| variant(name.to_owned(), None)).collect();
    }
    if let Some((name, inner)) = option.get("properties").and_then(Value::as_object).and_then(|all| all.iter().next()) {
        return vec![variant(name.clone(), Some(keys_of(inner)))];
    }
    vec![variant(text_of(option, "const"), None)]
}
