//! The real binary: its command line on a stopped store and on a running server, and every file in conf/.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const MNEMONIC: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

fn conf(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf").join(name)
}

/// A copy of a configuration with a store of its own.
struct Bed {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Bed {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::copy(conf(name), &file).unwrap();
        std::fs::copy(conf("neurons.example.toml"), folder.path().join("neurons.example.toml")).unwrap();
        Self { folder, file }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_btvep"));
        command.args(arguments).arg("--config").arg(&self.file).env("HOTKEY_MNEMONIC", MNEMONIC);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Returns the one value that a command prints.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let done = self.run(&[arguments, &["--json"]].concat());
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    }

    /// Returns why a command fails.
    #[track_caller]
    fn failure(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.status.code(), Some(1), "{arguments:?} did not fail");
        assert!(done.stdout.is_empty());
        String::from_utf8(done.stderr).unwrap()
    }

    fn start(&self) -> Running {
        let ports = ["start", "--set", "listen.public=127.0.0.1:0", "--set", "listen.admin=127.0.0.1:0", "--json"];
        let mut child = self.command(&ports).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Running { child, started: serde_json::from_str(&line).unwrap() }
    }
}

/// A server; ended when dropped.
struct Running {
    child: Child,
    started: Value,
}

impl Running {
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    fn ask(&self, key: &str) -> String {
        let address = self.started["public"].as_str().unwrap().trim_start_matches("http://");
        let body = r#"{"model":"devnet","messages":[{"role":"user","content":"hello"}]}"#;
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_configuration_of_ours_passes_its_check() {
    for name in ["btvep.toml", "dev.toml"] {
        let bed = Bed::new(name);
        assert_eq!(bed.json(&["config", "check"])["ok"], true, "{name}");
        assert!(!bed.folder.path().join("state").exists(), "the check left a store behind");
    }
}

#[test]
fn a_check_names_what_a_start_would_fail_at() {
    let bed = Bed::new("btvep.toml");
    let set = |set: &str| bed.failure(&["config", "check", "--set", set]);
    assert!(set("validator.hotkey.mnemonic=env:NOT_THERE").contains("`NOT_THERE` is not set"));
    assert!(set("subnet.0.metagraph.path=gone.toml").contains("gone.toml"));
    assert!(set("log.level=loud=x").contains("log.level"));
    assert!(set("state.path=btvep.toml").contains("is no folder"));
    assert!(set("listen.pubic=x").contains("did you mean `public`?"));
    let refused = bed.command(&["config", "check"]).env("HOTKEY_MNEMONIC", "canary canary").output().unwrap();
    let said = String::from_utf8([refused.stdout, refused.stderr].concat()).unwrap();
    assert!(said.contains("validator.hotkey.mnemonic") && !said.contains("canary"), "{said}");
}

#[test]
fn keys_live_on_a_stopped_store() {
    let bed = Bed::new("dev.toml");
    let made = bed.json(&[
        "key",
        "create",
        "--name",
        "alice",
        "--credits",
        "2.5",
        "--valid_until",
        "2040-01-01",
        "--rate-limit",
        "10/60",
        "--rate-limit",
        "100/3600",
        "--default-query-strategy",
        "top_n:5",
        "--max-top-n",
        "7",
        "--content",
        "hash",
    ]);
    let id = made["id"].as_str().unwrap();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with(&format!("btvep_{id}_")));
    let shown = bed.json(&["key", "show", id]);
    assert_eq!(shown["credits"], 2.5);
    assert_eq!(shown["held"], 0);
    assert_eq!(shown["valid_until"], 2_208_988_800_i64);
    assert_eq!(shown["rate_limits"][1]["seconds"], 3600);
    assert_eq!(shown.get("key"), None, "the secret is shown once");
    let edited = bed.json(&["key", "edit", id, "--valid-until", "-1", "--credits", "unlimited", "--disable"]);
    assert_eq!((&edited["valid_until"], &edited["credits"]), (&Value::Null, &Value::Null));
    assert_eq!(edited["enabled"], false);
    assert_eq!(edited["max_top_n"], 7, "what is not given stays");
    assert_eq!(bed.json(&["key", "list"]).as_array().unwrap().len(), 1);
    assert!(bed.failure(&["key", "edit", id, "--default-query-strategy", "top_m:5"]).contains("top_n"));
    assert!(bed.failure(&["key", "show", "nosuchkey000"]).contains("there is no key"));
    assert_eq!(bed.json(&["key", "delete", id])["deleted"], true);
    assert!(bed.failure(&["key", "delete", id]).contains("there is no key"));
}

#[test]
fn a_failure_is_one_json_value_too() {
    let bed = Bed::new("dev.toml");
    let done = bed.run(&["key", "show", "nosuchkey000", "--json"]);
    assert_eq!(done.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(said["error"].as_str().unwrap().contains("there is no key"));
}

#[test]
fn limits_of_a_key_are_changed_one_by_one() {
    let bed = Bed::new("dev.toml");
    let made = bed.json(&["key", "create"]);
    let id = made["id"].as_str().unwrap();
    bed.json(&["ratelimit", "add", "5", "60", "--key", id]);
    let rules = bed.json(&["ratelimit", "add", "50", "3600", "--key", id]);
    assert_eq!(rules[1]["times"], 50);
    let rules = bed.json(&["ratelimit", "delete", "0", "--key", id]);
    assert_eq!(rules.as_array().unwrap().len(), 1);
    assert!(bed.failure(&["ratelimit", "add", "0", "60", "--key", id]).contains("times"));
    assert!(bed.failure(&["ratelimit", "delete", "9", "--key", id]).contains("no rate limit number 9"));
}

#[test]
fn default_limits_are_changed_in_the_file_with_its_comments() {
    let bed = Bed::new("btvep.toml");
    let rules = bed.json(&["ratelimit", "add", "7", "30"]);
    assert_eq!(rules.as_array().unwrap().len(), 3);
    assert_eq!(bed.json(&["ratelimit", "delete", "0"]).as_array().unwrap().len(), 2);
    let text = std::fs::read_to_string(&bed.file).unwrap();
    assert_eq!(text.matches('#').count(), std::fs::read_to_string(conf("btvep.toml")).unwrap().matches('#').count());
    let before = text;
    assert!(bed.failure(&["ratelimit", "add", "0", "30"]).contains("nothing was changed"));
    assert_eq!(std::fs::read_to_string(&bed.file).unwrap(), before);
    bed.json(&["config", "set", "filters.logging.content", "hash"]);
    assert_eq!(bed.json(&["config", "get", "filters.logging.content"]), "hash");
    assert_eq!(bed.json(&["config", "get", "validator.hotkey.mnemonic"]), "env:HOTKEY_MNEMONIC");
}

#[test]
fn a_running_server_answers_and_the_command_line_works_on_it() {
    let bed = Bed::new("dev.toml");
    let running = bed.start();
    let demo = running.started["demo_key"].as_str().unwrap().to_owned();
    let state = bed.folder.path().join("state");
    let mode_of = |name: &str| std::fs::metadata(state.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode_of("demo.key"), mode_of("admin.sock")), (0o600, 0o600));
    assert_eq!(std::fs::read_to_string(state.join("demo.key")).unwrap().trim(), demo);

    let id = one_credit_pays_one_answer(&bed, &running, &demo);
    let miners = bed.json(&["miners"]);
    assert_eq!(miners.as_array().unwrap().len(), 16);
    assert_eq!(miners[0].as_object().unwrap().len(), 8);
    running.stop();
    assert!(!state.join("admin.sock").exists());

    let again = bed.start();
    assert_eq!(again.started.get("demo_key"), None, "the demo key is shown once");
    assert!(again.ask(&demo).starts_with("HTTP/1.1 200"));
    again.stop();
    assert_eq!(bed.json(&["key", "show", &id])["credits"], 0);
    assert_eq!(bed.json(&["logs", "--key", &id]).as_array().unwrap().len(), 2, "rows outlive the server");
}

/// Returns the id of the key that paid.
fn one_credit_pays_one_answer(bed: &Bed, running: &Running, demo: &str) -> String {
    let answer = running.ask(demo);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("echo:hello"), "{answer}");
    let made = bed.json(&["key", "create", "--credits", "1"]);
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(running.ask(key).starts_with("HTTP/1.1 200"));
    assert!(running.ask(key).starts_with("HTTP/1.1 429"));
    let account = bed.json(&["key", "show", id]);
    assert_eq!((&account["credits"], &account["held"]), (&0.into(), &0.into()));

    let rows = bed.json(&["logs", "--key", id]);
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!(bed.json(&["logs", "--key", id, "--is-success", "true"]).as_array().unwrap().len(), 1);
    assert_eq!(bed.json(&["logs", "--end", "2020-01-01"]).as_array().unwrap().len(), 0);
    id.to_owned()
}

#[test]
fn scripts_and_versions_need_no_configuration() {
    let run = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_btvep")).args(arguments).output().unwrap();
    assert!(run(&["--version"]).stdout.starts_with(b"btvep "));
    assert!(String::from_utf8(run(&["completions", "bash"]).stdout).unwrap().contains("ratelimit"));
    assert!(String::from_utf8(run(&["config", "reference"]).stdout).unwrap().contains("### `listen.public`"));
    let schema: Value = serde_json::from_slice(&run(&["config", "schema"]).stdout).unwrap();
    assert_eq!(schema["properties"]["listen"]["properties"]["public"]["default"], "127.0.0.1:8000");
    assert_eq!(run(&["no-such-command"]).status.code(), Some(2));
}
