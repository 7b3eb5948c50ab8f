//! The product in the configurations that are measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use btvep_benches::exchange::MODEL;

use crate::contender::{Contender, Mock, SERVER_CORE, beside};
use crate::error::{BenchError, Result};
use crate::load::Target;
use crate::process::{Running, free_port, pinned};

/// What the key of the bench begins with; each answer costs one.
pub(crate) const CREDITS: u64 = 1_000_000_000;

/// The development phrase of Substrate, known to everybody; the mock looks at the signature only.
const MNEMONIC: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";

/// The product's program.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    program: PathBuf,
}

/// How one configuration differs from the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) row: &'static str,
    pub(crate) name: &'static str,
    pub(crate) on: &'static str,
    /// Everything on, or the key alone.
    pub(crate) full: bool,
    pub(crate) threads: u32,
    pub(crate) work_stealing: bool,
    pub(crate) cores: &'static str,
    /// Tables added to the configuration.
    pub(crate) more: &'static str,
}

/// The key and nothing else, to an OpenAI upstream.
pub(crate) const BARE: Setup = Setup {
    row: "bare",
    name: "btvep, bare",
    on: "key; no limits, charge, row or signature",
    full: false,
    threads: 1,
    work_stealing: false,
    cores: SERVER_CORE,
    more: "",
};

/// All that a paid prompt to a miner passes.
pub(crate) const FULL: Setup = Setup {
    row: "full",
    name: "btvep, everything on",
    on: "key, limits, hold and charge durable before the answer, row, signature (btauth)",
    full: true,
    ..BARE
};

/// A configuration on disk, with its key.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) setup: Setup,
    pub(crate) file: PathBuf,
    /// The folder of the store.
    pub(crate) state: PathBuf,
    pub(crate) key_id: String,
    pub(crate) target: Target,
}

impl Product {
    pub(crate) fn new(program: Option<&PathBuf>) -> Result<Self> {
        let program = program.cloned().unwrap_or_else(|| beside("btvep"));
        if !program.exists() {
            let said =
                "it is not built; `cargo build --profile dist -p btvep-server`, or name it with --product".to_owned();
            return Err(BenchError::Program { program: program.display().to_string(), said });
        }
        Ok(Self { program })
    }

    /// Writes the configuration and makes its key.
    pub(crate) fn prepare(&self, setup: Setup, folder: &Path, mock: &Mock) -> Result<Prepared> {
        let home = folder.join(setup.row);
        fs::create_dir_all(&home).map_err(BenchError::file(&home))?;
        let file = home.join("btvep.toml");
        let port = free_port()?;
        let write = |path: &Path, text: &str| fs::write(path, text).map_err(BenchError::file(path));
        write(&file, &configuration(setup, port, free_port()?, mock.port))?;
        write(&home.join("neurons.toml"), &neurons(mock))?;
        write(&home.join("mnemonic"), MNEMONIC)?;
        let (key_id, key) = self.create_key(&file)?;
        Ok(Prepared {
            setup,
            file,
            state: home.join("state"),
            key_id,
            target: Target { port, key: Some(key), keys: None },
        })
    }

    /// Starts it.
    pub(crate) fn start(&self, prepared: &Prepared, folder: &Path) -> Result<Contender> {
        let mut command = pinned(prepared.setup.cores, &self.program);
        command.arg("start").arg("--config").arg(&prepared.file);
        let running = Running::start(command, prepared.setup.row, folder)?;
        let Setup { row, name, on, .. } = prepared.setup;
        Contender::begin((row, name.to_owned(), on), running, prepared.target.clone())
    }

    /// Returns the key's own view of its account.
    pub(crate) fn account(&self, prepared: &Prepared) -> Result<serde_json::Value> {
        self.json(&["key", "show", &prepared.key_id], &prepared.file)
    }

    fn create_key(&self, file: &Path) -> Result<(String, String)> {
        let credits = CREDITS.to_string();
        let rules = ["--rate-limit", "100000000/60", "--rate-limit", "1000000000/3600", "--concurrency", "100000"];
        let create = ["key", "create", "--name", "bench", "--credits", &credits];
        let arguments: Vec<&str> = create.into_iter().chain(rules).collect();
        let made = self.json(&arguments, file)?;
        let text = |name: &'static str| {
            let value = made.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
            value.ok_or_else(|| BenchError::Missing(name, "the answer of `key create`".to_owned()))
        };
        Ok((text("id")?, text("key")?))
    }

    /// Runs a command and returns the one value it prints.
    pub(crate) fn json(&self, arguments: &[&str], file: &Path) -> Result<serde_json::Value> {
        let program = format!("btvep {}", arguments.join(" "));
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--json").arg("--config").arg(file);
        let output = command.output().map_err(|source| BenchError::Start { program: program.clone(), source })?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            BenchError::Program { program, said }
        })
    }
}

fn configuration(setup: Setup, public: u16, admin: u16, mock: u16) -> String {
    let Setup { threads, work_stealing, more, .. } = setup;
    let listen = format!(
        "[listen]\npublic = \"127.0.0.1:{public}\"\nadmin = \"127.0.0.1:{admin}\"\n\
         threads = {threads}\nwork_stealing = {work_stealing}\n"
    );
    if setup.full { format!("{listen}{FULL_REST}{more}") } else { format!("{listen}{}{more}", bare_rest(mock)) }
}

fn bare_rest(mock: u16) -> String {
    format!(
        r#"
[state]
path = "state"
durability = "relaxed"
sync_data = false

[pipeline]
filters = ["auth"]

[[upstream]]
name = "mock"
base_url = "http://127.0.0.1:{mock}/v1"

[[model]]
id = "{MODEL}"
upstream = "mock"
"#
    )
}

/// Defaults wherever they do not stand in the way of load from one client to one miner.
const FULL_REST: &str = r#"
[state]
path = "state"

[validator]
hotkey = { mnemonic = "file:mnemonic" }

[filters.rate_limit]
attempts = { times = 1000000000, seconds = 60 }

[[subnet]]
name = "mock"
netuid = 1
protocol = { kind = "btauth" }
metagraph = { source = "file", path = "neurons.toml" }
addresses = "any"
lanes = 1024

[[model]]
id = "bench"
subnet = "mock"
price = 1
default_strategy = "top_n:1"
"#;

fn neurons(mock: &Mock) -> String {
    let Mock { port, hotkey, .. } = mock;
    format!("[[neuron]]\nuid = 0\nhotkey = \"{hotkey}\"\naxon = \"127.0.0.1:{port}\"\nincentive = 65535\n")
}
