use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use btvep_domain::{
    Accounts, Deadlines, Filter, InvalidPlan, Keys, MetagraphSource, MinerProtocol, Model, NetUid, Strategy,
};
use btvep_protocol::nonce::NonceSource;

use crate::dispatch::AddressPolicy;
use crate::{KillList, OverloadConfig};

/// A subnet whose miners can be asked.
#[derive(Debug)]
pub struct Subnet {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its number on the chain.
    pub netuid: NetUid,
    /// Keeps its newest metagraph.
    pub source: Arc<dyn MetagraphSource>,
    /// How its miners are spoken to.
    pub protocol: Arc<dyn MinerProtocol>,
    /// Nonces of the hotkey that signs.
    pub nonces: Arc<NonceSource>,
    /// Which addresses are called.
    pub addresses: AddressPolicy,
    /// How long an attempt may take.
    pub deadlines: Deadlines,
    /// Prompts one miner works on at the same time.
    pub lanes: u16,
    /// The largest answer taken of a miner, in bytes.
    pub answer_bytes: usize,
    /// The metagraph is not used when it is older; none means for ever.
    pub max_age: Option<Duration>,
}

/// One OpenAI-compatible upstream.
#[derive(Debug)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// `scheme://host:port`, without a path.
    pub origin: String,
    /// The protocol, which knows key and path.
    pub protocol: Arc<dyn MinerProtocol>,
    /// How long an attempt may take.
    pub deadlines: Deadlines,
    /// The largest answer taken, in bytes.
    pub answer_bytes: usize,
}

/// Everything a request needs, built from one configuration: a value, replaced whole.
#[derive(Debug)]
pub struct Service {
    /// Names the configuration it was built from: the first 12 hex digits of a SHA-256.
    pub config: Arc<str>,
    /// In the configured order.
    pub filters: Vec<Arc<dyn Filter>>,
    /// In the configured order; the first chat model serves `/chat`.
    pub models: Vec<Arc<Model>>,
    /// By name.
    pub strategies: BTreeMap<Arc<str>, Arc<dyn Strategy>>,
    /// By name.
    pub subnets: BTreeMap<Arc<str>, Arc<Subnet>>,
    /// By name.
    pub upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
    /// The keys, for routes without a pipeline.
    pub keys: Arc<dyn Keys>,
    /// The money.
    pub accounts: Arc<dyn Accounts>,
    /// What may be in flight.
    pub overload: OverloadConfig,
    /// The most miners one plan may ask.
    pub max_miners: u16,
    /// Banned miners and disabled strategies; that of the newest service is in force for all requests.
    pub kill_list: Arc<KillList>,
}

impl Service {
    /// Returns the ids that clients can ask for, with unix seconds of creation: each model and behind it its presets,
    /// but for those whose strategy is disabled.
    pub fn listed(&self) -> Vec<(Arc<str>, i64)> {
        let mut listed = Vec::with_capacity(self.models.len());
        for Model { id, presets, created, .. } in self.models.iter().map(AsRef::as_ref) {
            listed.push((Arc::clone(id), *created));
            let enabled = presets.iter().filter(|preset| !self.kill_list.is_disabled(name_of(preset)));
            listed.extend(enabled.map(|preset| (format!("{id}:{preset}").into(), *created)));
        }
        listed
    }
}

fn name_of(preset: &str) -> &str {
    preset.split([':', '=']).next().unwrap_or_default().trim()
}

/// A service that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A plan that no request could run.
    #[error(transparent)]
    Plan(#[from] InvalidPlan),
    /// A model names a subnet or upstream that is not configured.
    #[error("model `{model}` is served by `{route}`, which is not configured")]
    UnknownRoute {
        /// The model.
        model: Arc<str>,
        /// What it names.
        route: Arc<str>,
    },
}
