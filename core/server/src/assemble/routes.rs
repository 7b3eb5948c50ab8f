//! Makes subnets, upstreams and models.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use btvep_domain::{ConfigError, MetagraphSource, Model, NetUid, Route};
use btvep_engine::dispatch::AddressPolicy;
use btvep_engine::{Subnet, Upstream};
use btvep_protocol::openai::OpenAi;

use super::parts::Metagraphs;
use super::{Parts, signer};
use crate::config::{
    Addresses, FileMetagraph, Fingerprint, LoadError, Loaded, MetagraphConfig, ModelConfig, Source, SubnetConfig,
};
use crate::roster;

/// Makes every subnet; starts the devnet when one is served by it.
///
/// # Errors
///
/// The hotkey, a protocol's settings or a metagraph cannot be used.
pub(super) fn subnets(loaded: &Loaded, parts: &mut Parts) -> Result<BTreeMap<Arc<str>, Arc<Subnet>>, LoadError> {
    let mut subnets = BTreeMap::new();
    let known = std::mem::take(&mut parts.metagraphs);
    // A hotkey that is configured must be readable even while nobody needs it.
    let signer = signer::read(loaded)?;
    let (Some(signer), Some(validator)) = (signer, &loaded.config.validator) else {
        return Ok(subnets);
    };
    let nonces = parts.nonces(validator.node_id).map_err(|error| loaded.source.refuse(&error))?;
    for (at, config) in loaded.config.subnet.iter().enumerate() {
        let protocol = roster::protocol(&config.protocol, Arc::clone(&signer))
            .map_err(|error| loaded.source.error(&format!("subnet.{at}.protocol.{}", error.path), error.message))?;
        let subnet = Subnet {
            name: config.name.as_str().into(),
            netuid: NetUid(config.netuid),
            source: source(loaded, parts, (at, config), &known)?,
            protocol,
            nonces: Arc::clone(&nonces),
            addresses: match config.addresses {
                Addresses::Global => AddressPolicy::Global,
                Addresses::Any => AddressPolicy::Any,
            },
            deadlines: (&config.deadlines).into(),
            lanes: config.lanes,
            answer_bytes: config.answer_bytes,
            // Neither a file nor the devnet grows old.
            max_age: None,
        };
        subnets.insert(Arc::clone(&subnet.name), Arc::new(subnet));
    }
    Ok(subnets)
}

fn source(
    loaded: &Loaded,
    parts: &mut Parts,
    (at, config): (usize, &SubnetConfig),
    known: &Metagraphs,
) -> Result<Arc<dyn MetagraphSource>, LoadError> {
    let netuid = NetUid(config.netuid);
    match &config.metagraph {
        MetagraphConfig::File { path } => {
            let file = loaded.resolver().path(path);
            let place = (file, netuid);
            let read = metagraph(&place, known);
            let path = format!("subnet.{at}.metagraph.path");
            let read = read.map_err(|error| loaded.source.error(&path, error.to_string()))?;
            parts.metagraphs.insert(place, Arc::clone(&read));
            Ok(read)
        }
        MetagraphConfig::Devnet {} => {
            let devnet = loaded.config.devnet.clone().unwrap_or_default();
            Ok(parts.devnet(&devnet, netuid).map_err(|error| loaded.source.refuse(&error))?)
        }
    }
}

/// Returns the metagraph of a file: the one there is, as long as the file stays as it was.
fn metagraph(place: &(PathBuf, NetUid), known: &Metagraphs) -> Result<Arc<FileMetagraph>, LoadError> {
    let (file, netuid) = place;
    let text = Source::read_text(file)?;
    let stays = |old: &&Arc<FileMetagraph>| old.fingerprint() == Fingerprint::of(text.as_bytes());
    match known.get(place).filter(stays) {
        Some(old) => Ok(Arc::clone(old)),
        None => Ok(Arc::new(FileMetagraph::parse(file, &text, (*netuid, now_ms()))?)),
    }
}

/// Makes every upstream.
///
/// # Errors
///
/// A key cannot be read, or a URL or key cannot be sent.
pub(super) fn upstreams(loaded: &Loaded) -> Result<BTreeMap<Arc<str>, Arc<Upstream>>, ConfigError> {
    let resolver = loaded.resolver();
    let mut upstreams = BTreeMap::new();
    for (at, config) in loaded.config.upstream.iter().enumerate() {
        let refuse = |key: &str, message: String| ConfigError::new(format!("upstream.{at}.{key}"), message);
        let url: http::Uri = config.base_url.parse().map_err(|_| refuse("base_url", "is no URL".to_owned()))?;
        let key = config.key.as_ref().map(|key| resolver.secret(key)).transpose();
        let key = key.map_err(|message| refuse("key", message))?;
        let protocol = OpenAi::new(url.path(), key.as_ref()).map_err(|error| refuse("base_url", error.to_string()))?;
        let authority = url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let upstream = Upstream {
            name: config.name.as_str().into(),
            origin: format!("{}://{authority}", url.scheme_str().unwrap_or("https")),
            protocol: Arc::new(protocol),
            deadlines: (&config.deadlines).into(),
            answer_bytes: config.answer_bytes,
        };
        upstreams.insert(Arc::clone(&upstream.name), Arc::new(upstream));
    }
    Ok(upstreams)
}

/// Makes a model.
pub(super) fn model(config: &ModelConfig) -> Model {
    let route = match (&config.subnet, &config.upstream) {
        (Some(subnet), _) => Route::Subnet(subnet.as_str().into()),
        (None, upstream) => Route::Upstream(upstream.as_deref().unwrap_or_default().into()),
    };
    Model {
        id: config.id.as_str().into(),
        upstream_name: config.upstream_name.as_deref().map(Into::into),
        route,
        modality: config.modality,
        price: config.price,
        default_strategy: config.default_strategy.clone(),
        presets: config.presets.clone(),
        mode: config.mode,
        created: config.created,
    }
}

fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
