//! `btvep start`: serves until it is told to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Serialize;

use super::args::Globals;
use super::failure::Failure;
use super::output::Output;
use crate::config::Loaded;
use crate::demo::DemoKey;
use crate::logging;
use crate::serve::Server;

/// What a start prints.
#[derive(Debug, Serialize)]
struct Started {
    /// Where clients connect.
    public: String,
    /// Where operators look.
    admin: String,
    /// The demo key, when it has just been made.
    #[serde(skip_serializing_if = "Option::is_none")]
    demo_key: Option<String>,
    /// A line to paste.
    #[serde(skip_serializing_if = "Option::is_none")]
    try_it: Option<String>,
}

/// Prints where it serves, and serves.
pub(super) fn run(globals: &Globals, output: Output) -> Result<(), Failure> {
    let loaded = Loaded::read(&globals.config, &globals.set)?;
    let level = logging::init(&loaded.config.log).map_err(|message| loaded.source.error("log.level", message))?;
    let is_tls = loaded.config.listen.tls.is_some();
    let model = loaded.config.model.first().map(|model| model.id.clone()).unwrap_or_default();
    let origin = (globals.config.clone(), globals.set.clone());
    let server = Server::prepare(origin, loaded, level).map_err(|error| Failure::new(error.to_string()))?;
    let scheme = if is_tls { "https" } else { "http" };
    let public = format!("{scheme}://{}", reachable(server.public()));
    let started = Started {
        admin: format!("http://{}", reachable(server.admin())),
        demo_key: server.demo.as_ref().and_then(|demo| demo.made.as_ref()).map(|key| key.expose().to_owned()),
        try_it: server.demo.as_ref().map(|demo| curl_line(&public, &model, demo)),
        public,
    };
    output.value(&started, shown)?;
    drop(started);
    server.run().map_err(|error| Failure::new(error.to_string()))
}

fn shown(started: &Started) -> String {
    let mut text = format!("serving on {}, metrics on {}/metrics", started.public, started.admin);
    if let Some(key) = &started.demo_key {
        text.push_str("\n\ndemo key, shown this once: ");
        text.push_str(key);
    }
    if let Some(line) = &started.try_it {
        text.push_str("\n\ntry it:\n\n");
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Returns a line that works when it is pasted; the key is read from its file, so that no history keeps it.
fn curl_line(public: &str, model: &str, demo: &DemoKey) -> String {
    let body = serde_json::json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] });
    let insecure = if public.starts_with("https") { "--insecure " } else { "" };
    format!(
        "curl {insecure}{public}/v1/chat/completions -H \"Authorization: Bearer $(cat {})\" \
         -H 'Content-Type: application/json' -d {}",
        quoted(&demo.file.display().to_string()),
        quoted(&body.to_string()),
    )
}

/// Returns a text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns an address that can be connected to: nobody connects to "every interface".
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_line_as_it_is_meant() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn every_interface_is_shown_as_loopback() {
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()).to_string(), "127.0.0.1:80");
        assert_eq!(reachable("[::1]:80".parse().unwrap()).to_string(), "[::1]:80");
    }
}
