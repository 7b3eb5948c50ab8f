//! The configuration as the operator wrote it, and how it becomes values: read, merged, checked.
//!
//! [`Loaded::read`] is the one way in: file and `--set` give a [`Config`] whose references and rules hold. What
//! touches the outside (secrets, key files, `neurons.toml`) is done by `assemble`, which `config check` runs too.

#[cfg(test)]
mod bad_files;
mod ban;
mod check;
mod edit;
mod fingerprint;
mod glimpse;
mod log;
mod misfit;
mod neurons;
mod pipeline;
mod protocol;
mod reference;
mod reload;
mod routes;
mod secrets;
mod shape;
mod source;
mod syntax;
mod validator;
mod wording;

use std::path::{Path, PathBuf};

use btvep_devnet::DevnetConfig;
use btvep_engine::OverloadConfig;
use btvep_gateway::ListenConfig;
use btvep_protocol::surface::LimitsConfig;
use btvep_state::StateConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use ban::{BanConfig, Until};
pub use edit::{EditError, Edits};
pub use fingerprint::Fingerprint;
pub use log::{LogConfig, LogFormat};
pub use neurons::{FileMetagraph, NeuronConfig, NeuronsFile};
pub use pipeline::{FiltersConfig, PipelineConfig, StrategiesConfig};
pub use protocol::ProtocolConfig;
pub use reload::ReloadConfig;
pub use routes::{Addresses, DeadlinesConfig, MetagraphConfig, ModelConfig, SubnetConfig, UpstreamConfig};
pub use secrets::Resolver;
pub use source::{LoadError, Place, Source};
pub use validator::{DevUri, HotkeyConfig, ValidatorConfig};

/// The whole configuration. Relative paths are relative to the file they stand in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Development: allows keys that everybody knows, and makes a demo key at the first start. Never in production.
    #[serde(default)]
    pub dev: bool,
    /// Where clients and operators connect.
    #[serde(default)]
    pub listen: ListenConfig,
    /// Where keys, money and the request log are kept, and how safely.
    #[serde(default)]
    #[schemars(extend("x-restart" = true))]
    pub state: StateConfig,
    /// Who asks the miners: the hotkey that signs. Needed when there is a subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<ValidatorConfig>,
    /// What one request may ask for. Whatever is larger is refused before anybody is asked.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// What all requests together may take of the server.
    #[serde(default)]
    pub overload: OverloadConfig,
    /// Which filters a request passes, in which order.
    #[serde(default)]
    pub pipeline: PipelineConfig,
    /// Each filter's own settings.
    #[serde(default)]
    pub filters: FiltersConfig,
    /// Each strategy's own settings.
    #[serde(default)]
    pub strategies: StrategiesConfig,
    /// Miners that can be asked.
    #[serde(default)]
    pub subnet: Vec<SubnetConfig>,
    /// Miners that are never asked, on any subnet and whoever names them.
    #[serde(default)]
    pub ban: Vec<BanConfig>,
    /// OpenAI-compatible servers that can be asked instead of miners.
    #[serde(default)]
    pub upstream: Vec<UpstreamConfig>,
    /// What clients can ask for; at least one. The first one serves `/chat`, too.
    #[serde(default)]
    pub model: Vec<ModelConfig>,
    /// Scripted miners on loopback inside the process, for subnets whose metagraph is `{ source = "devnet" }`; for
    /// development, never for production. Miner `i` has uid `i` and the hotkey of the key URI `//Devnet/<i>`. Incentive
    /// falls within each group of four uids: 3, 2, 1, 0, 7, 6, 5, 4, … is the order from the highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-restart" = true))]
    pub devnet: Option<DevnetConfig>,
    /// What the process says of itself, on standard error. Requests are another matter: `[filters.logging]`.
    #[serde(default)]
    pub log: LogConfig,
    /// How a changed configuration is noticed.
    #[serde(default)]
    pub reload: ReloadConfig,
}

/// A configuration that was read and whose references and rules hold.
#[derive(Debug)]
pub struct Loaded {
    /// What the operator wrote.
    pub config: Config,
    /// The texts it came from, for messages that name a line.
    pub source: Source,
}

impl Loaded {
    /// Reads a file with what `--set` puts over it.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place and what would be right.
    pub fn read(file: &Path, sets: &[String]) -> Result<Self, LoadError> {
        let source = Source::read(file, sets).map_err(|mut error| {
            if matches!(error.place, Place::File { line: None, .. }) {
                error.message.push_str(", with --config FILE");
            }
            error
        });
        Self::check(source?)
    }

    /// Takes a text as the content of `file`, which need not exist.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn from_text(file: &Path, text: &str, sets: &[String]) -> Result<Self, LoadError> {
        Self::check(Source::parse(file, text, sets)?)
    }

    fn check(source: Source) -> Result<Self, LoadError> {
        let config: Config = source.read_as()?;
        check::check(&config).map_err(|error| source.refuse(&error))?;
        Ok(Self { config, source })
    }

    /// Returns what resolves secrets and paths of this configuration.
    pub fn resolver(&self) -> Resolver {
        Resolver::new(self.source.folder())
    }

    /// Returns every file whose change is a change of the configuration: itself, the neurons files it names,
    /// certificate and key.
    pub fn files(&self) -> Vec<PathBuf> {
        let neurons = self.config.subnet.iter().filter_map(|subnet| match &subnet.metagraph {
            MetagraphConfig::File { path } => Some(path),
            MetagraphConfig::Devnet {} => None,
        });
        let tls = self.config.listen.tls.iter().flat_map(|tls| [&tls.cert, &tls.key]);
        let resolver = self.resolver();
        let named = neurons.chain(tls).map(|path| resolver.path(path));
        std::iter::once(self.source.file().to_owned()).chain(named).collect()
    }

    /// Returns the folder of the store.
    pub fn state_path(&self) -> PathBuf {
        self.resolver().path(&self.config.state.path)
    }
}

pub(crate) use check::wallet_parts;
pub(crate) use edit::replace;
pub(crate) use glimpse::state_path;
pub(crate) use misfit::refusal_of;
pub(crate) use reference::{page, schema_text};
pub(crate) use wording::suggestion;

#[cfg(test)]
mod tests;
