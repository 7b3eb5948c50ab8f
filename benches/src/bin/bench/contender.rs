//! What is measured: a program between the load and the mock.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{BenchError, Result};
use crate::load::Target;
use crate::machine::usage;
use crate::process::{Running, ask, free_port, get, pinned};

/// Cores: what is measured runs on the first, load and mock on the second.
pub(crate) const SERVER_CORE: &str = "0";
pub(crate) const LOAD_CORE: &str = "1";

/// A pause after the first answer before idle memory is read: what runs once has run by then.
const SETTLE: Duration = Duration::from_secs(2);

/// A program under measurement.
#[derive(Debug)]
pub(crate) struct Contender {
    /// Its name in the arguments.
    pub(crate) row: &'static str,
    /// Its name in the table.
    pub(crate) name: String,
    /// What is on.
    pub(crate) on: &'static str,
    pub(crate) running: Running,
    pub(crate) target: Target,
    /// From its start to its first answer.
    pub(crate) ready: Duration,
    /// Resident bytes before any load.
    pub(crate) idle: u64,
    /// Prompts that were answered before any load.
    pub(crate) asked: u64,
}

/// The miner behind every contender.
#[derive(Debug)]
pub(crate) struct Mock {
    pub(crate) running: Running,
    pub(crate) port: u16,
    /// Its ss58 address.
    pub(crate) hotkey: String,
}

/// What the mock has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) signed: u64,
    pub(crate) verified: u64,
    pub(crate) refused: u64,
}

impl Contender {
    /// Waits until the program answers the very answer of the mock's choosing, and notes what it takes when idle.
    pub(crate) fn begin(
        (row, name, on): (&'static str, String, &'static str),
        mut running: Running,
        target: Target,
    ) -> Result<Self> {
        let ready = running.answers(target.port, target.key.as_deref())?;
        let answer = ask(target.port, target.key.as_deref()).unwrap_or_default();
        if !answer.contains("the Danube flows into the Black Sea") {
            return Err(BenchError::Program { program: name, said: format!("answers other than the mock: {answer}") });
        }
        std::thread::sleep(SETTLE);
        let idle = usage(running.pid())?.resident;
        Ok(Self { row, name, on, running, target, ready, idle, asked: 2 })
    }
}

impl Mock {
    /// Starts the mock on a core.
    pub(crate) fn start(folder: &Path, core: &str) -> Result<Self> {
        let command = pinned(core, &beside("mock"));
        let (running, line) = Running::start_and_read(command, "mock", folder)?;
        let (address, hotkey) = line.split_once(' ').unwrap_or_default();
        let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.ok_or_else(|| BenchError::Missing("address", format!("the mock's first line `{line}`")))?;
        Ok(Self { running, port, hotkey: hotkey.to_owned() })
    }

    /// Asks it what it has seen.
    pub(crate) fn seen(&self) -> Result<Seen> {
        let answer = get(self.port, "/stats").map_err(BenchError::file("/stats of the mock"))?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let stats: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let count = |name: &'static str| {
            stats.get(name).and_then(serde_json::Value::as_u64).ok_or(BenchError::Missing(name, answer.clone()))
        };
        Ok(Seen { signed: count("signed")?, verified: count("verified")?, refused: count("refused")? })
    }
}

/// Starts nginx as a plain proxy: no key, no log.
pub(crate) fn nginx(folder: &Path, mock: &Mock) -> Result<Contender> {
    let port = free_port()?;
    let home = folder.join("nginx");
    fs::create_dir_all(&home).map_err(BenchError::file(&home))?;
    let configuration = home.join("nginx.conf");
    fs::write(&configuration, nginx_configuration(&home, port, mock.port)).map_err(BenchError::file(&configuration))?;
    let program = ["/usr/sbin/nginx", "nginx"].into_iter().find(|path| Path::new(path).exists()).unwrap_or("nginx");
    let mut command = pinned(SERVER_CORE, Path::new(program));
    command.arg("-c").arg(&configuration).arg("-p").arg(&home).args(["-e", "stderr"]);
    let running = Running::start(command, "nginx", folder)?;
    let names = ("nginx", format!("nginx {}", version(program)), "proxy only");
    Contender::begin(names, running, Target { port, key: None, keys: None })
}

/// Starts Pingora as a plain proxy, with one thread.
pub(crate) fn pingora(folder: &Path, mock: &Mock) -> Result<Contender> {
    let port = free_port()?;
    let mut command = pinned(SERVER_CORE, &beside("plain_pingora"));
    command.args(["--listen", &format!("127.0.0.1:{port}"), "--upstream", &format!("127.0.0.1:{}", mock.port)]);
    let running = Running::start(command, "plain_pingora", folder)?;
    let names = ("pingora", "plain Pingora".to_owned(), "proxy only");
    Contender::begin(names, running, Target { port, key: None, keys: None })
}

/// Returns a program of this build.
pub(crate) fn beside(name: &str) -> PathBuf {
    std::env::current_exe().unwrap_or_default().with_file_name(name)
}

fn version(nginx: &str) -> String {
    let output = Command::new(nginx).arg("-v").output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).unwrap_or_default();
    said.rsplit('/').next().unwrap_or_default().trim().to_owned()
}

fn nginx_configuration(home: &Path, port: u16, mock: u16) -> String {
    let home = home.display();
    format!(
        "daemon off;\nworker_processes 1;\npid {home}/nginx.pid;\nerror_log stderr crit;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n    access_log off;\n\
         \x20   client_body_temp_path {home}/client;\n    proxy_temp_path {home}/proxy;\n\
         \x20   fastcgi_temp_path {home}/fastcgi;\n    uwsgi_temp_path {home}/uwsgi;\n    scgi_temp_path {home}/scgi;\n\
         \x20   upstream miner {{ server 127.0.0.1:{mock}; keepalive 256; keepalive_requests 1000000000; }}\n\
         \x20   server {{\n        listen 127.0.0.1:{port};\n        keepalive_requests 1000000000;\n\
         \x20       location / {{\n            proxy_pass http://miner;\n            proxy_http_version 1.1;\n\
         \x20           proxy_set_header Connection \"\";\n        }}\n    }}\n}}\n"
    )
}
