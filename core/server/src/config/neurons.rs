//! Reads `neurons.toml`: miners that the operator wrote down.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use btvep_domain::{Hotkey, Incentive, Metagraph, MetagraphSource, NetUid, Neuron, Uid, written};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fingerprint;
use super::source::{LoadError, Source};

/// A file of neurons: `[[neuron]]` each.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeuronsFile {
    /// The miners and validators of the subnet, each uid once.
    #[serde(default)]
    pub neuron: Vec<NeuronConfig>,
}

/// `[[neuron]]`: one miner or validator.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeuronConfig {
    /// Its place on the subnet.
    pub uid: u16,
    /// Its hotkey, to which prompts are addressed.
    pub hotkey: Hotkey,
    /// Its coldkey; the hotkey when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coldkey: Option<Hotkey>,
    /// Where it serves; absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "written::address", example = &"192.0.2.10:8091")]
    pub axon: Option<SocketAddr>,
    /// Its share of the rewards as the chain stores it: 65535 stands for all of them.
    #[serde(default)]
    pub incentive: u16,
    /// Its stake in rao; 1000000000 are one TAO.
    #[serde(default)]
    pub stake: u64,
    /// Whether it may set weights.
    #[serde(default)]
    pub validator_permit: bool,
    /// Whether the chain calls it active.
    #[serde(default = "yes")]
    pub active: bool,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it does, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Labels for people.
    #[schemars(example = ["text"])]
    #[serde(default)]
    pub tags: Vec<String>,
}

const fn yes() -> bool {
    true
}

/// A metagraph that stays as its file was.
#[derive(Debug)]
pub struct FileMetagraph {
    metagraph: Arc<Metagraph>,
    fingerprint: Fingerprint,
}

impl FileMetagraph {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// What is wrong, with its line.
    pub fn read(file: &Path, netuid: NetUid, now_ms: i64) -> Result<Self, LoadError> {
        Self::parse(file, &Source::read_text(file)?, (netuid, now_ms))
    }

    /// Takes a text as the content of the file.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn parse(file: &Path, text: &str, (netuid, now_ms): (NetUid, i64)) -> Result<Self, LoadError> {
        let source = Source::parse(file, text, &[])?;
        let neurons = source.read_as::<NeuronsFile>()?.neuron;
        let mut seen = HashSet::new();
        if let Some(place) = neurons.iter().position(|neuron| !seen.insert(neuron.uid)) {
            let message = "this uid stands twice; each neuron has its own".to_owned();
            return Err(source.error(&format!("neuron.{place}.uid"), message));
        }
        let neurons = neurons.into_iter().map(Neuron::from).collect();
        let metagraph =
            Metagraph::new(netuid, 0, now_ms, neurons).map_err(|error| source.error("neuron", error.to_string()))?;
        Ok(Self { metagraph: Arc::new(metagraph), fingerprint: Fingerprint::of(text.as_bytes()) })
    }

    /// Returns the fingerprint of the file as it was read.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl MetagraphSource for FileMetagraph {
    fn newest(&self) -> Option<Arc<Metagraph>> {
        Some(Arc::clone(&self.metagraph))
    }
}

impl From<NeuronConfig> for Neuron {
    fn from(config: NeuronConfig) -> Self {
        Self {
            uid: Uid(config.uid),
            hotkey: config.hotkey,
            coldkey: config.coldkey.unwrap_or(config.hotkey),
            axon: config.axon,
            incentive: Incentive(config.incentive),
            stake: config.stake,
            validator_permit: config.validator_permit,
            active: config.active,
            name: config.name.map(Into::into),
            description: config.description.map(Into::into),
            tags: config.tags.into_iter().map(Into::into).collect(),
        }
    }
}
