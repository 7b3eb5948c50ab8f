//! Makes what runs from what was written: the only place that knows every implementation.

mod filters;
mod listen;
mod miners;
mod parts;
mod policy;
mod routes;
mod signer;

use std::path::PathBuf;
use std::sync::Arc;

use btvep_domain::ConfigError;
use btvep_engine::{KillList, Service};

use crate::config::{Config, Fingerprint, LoadError, Loaded, Until};
use crate::store::Store;
use crate::{logging, roster, store};

pub(crate) use listen::{certificate, listen};
pub(crate) use miners::{ServiceMiners, StoppedMiners, views};
pub(crate) use parts::Parts;
pub(crate) use policy::{ServicePolicies, StoppedPolicies};

/// What a configuration was built to.
#[derive(Debug)]
pub(crate) struct Built {
    /// What serves.
    pub(crate) service: Service,
    /// Every file that was read beside the configuration itself, in the order of their paths.
    pub(crate) files: Vec<(PathBuf, Fingerprint)>,
}

/// Makes the service of a configuration: the one way from files to what serves.
///
/// # Errors
///
/// A secret, a key file or a component's settings cannot be used. `parts` may then hold what nobody uses: whoever
/// keeps them for another configuration gives a copy.
pub(crate) fn build(loaded: &Loaded, parts: &mut Parts) -> Result<Built, LoadError> {
    let place = |error: ConfigError| loaded.source.refuse(&error);
    let config = &loaded.config;
    let filters = filters::filters(loaded, parts)?;
    let strategies = roster::strategies(&config.strategies).map_err(place)?;
    let subnets = routes::subnets(loaded, parts)?;
    let files = parts.files();
    let upstreams = routes::upstreams(loaded).map_err(place)?;
    let models = config.model.iter().map(|model| Arc::new(routes::model(model))).collect();
    let Store { keys, accounts, .. } = parts.store().clone();
    let service = Service {
        config: name(loaded, &files),
        filters,
        models,
        strategies,
        subnets,
        upstreams,
        keys,
        accounts,
        overload: config.overload,
        max_miners: config.pipeline.max_miners,
        kill_list: Arc::new(kill_list(config)),
    };
    Ok(Built { service, files })
}

/// Names a configuration by all that it was read from: its file, the files it names, what `--set` put over it.
fn name(loaded: &Loaded, files: &[(PathBuf, Fingerprint)]) -> Arc<str> {
    let (text, sets) = loaded.source.fingerprints();
    let files = files.iter().map(|(_, fingerprint)| *fingerprint);
    Fingerprint::of_all([text].into_iter().chain(files).chain(sets)).to_string().into()
}

fn kill_list(config: &Config) -> KillList {
    let banned = config.ban.iter().map(|ban| (ban.hotkey, ban.until.as_ref().map(Until::unix)));
    KillList::new(banned, config.strategies.disabled.iter().map(|name| name.as_str().into()))
}

/// Does all that a start does before it listens, without touching the store.
///
/// # Errors
///
/// What a start would fail at.
pub(crate) fn preflight(loaded: &Loaded) -> Result<(), LoadError> {
    let resolver = loaded.resolver();
    logging::check(&loaded.config.log).map_err(|message| loaded.source.error("log.level", message))?;
    store::check_writable(loaded)?;
    certificate(loaded)?;
    if let Some(pepper) = &loaded.config.state.pepper {
        resolver.secret(pepper).map_err(|message| loaded.source.error("state.pepper", message))?;
    }
    build(loaded, &mut Parts::new(Store::in_memory())).map(drop)
}
