//! How values are written that are neither plain texts nor numbers: the schemas of types of other libraries.
//!
//! Named by `#[schemars(schema_with = "…")]`. The title says in words what is expected; messages and the reference
//! page repeat it.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Returns the schema of a [`Duration`](std::time::Duration), a number with its unit.
pub fn duration(_: &mut SchemaGenerator) -> Schema {
    text(r#"a length of time, such as "5s", "250ms" or "1m 30s""#, r"^\s*\d+\s*[a-zµ]")
}

/// Returns the schema of a path.
pub fn path(_: &mut SchemaGenerator) -> Schema {
    text("a path", ".")
}

/// Returns the schema of a [`SocketAddr`](std::net::SocketAddr).
pub fn address(_: &mut SchemaGenerator) -> Schema {
    text(r#"an IP address with its port, such as "127.0.0.1:8000" or "[::1]:8000""#, r":\d+$")
}

/// Returns the schema of a list of networks.
pub fn networks(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": text(r#"a network, such as "10.0.0.0/8""#, r"^[0-9A-Fa-f.:]+/\d+$") })
}

/// Returns the schema of a text with a form of its own: what it is in words, and a pattern that no other text has.
pub fn text(words: &str, pattern: &str) -> Schema {
    json_schema!({ "type": "string", "title": words, "pattern": pattern })
}
