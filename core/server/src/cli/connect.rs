//! Finds who carries out an operation: the running server, or we ourselves over its store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use btvep_control::{AdminSocket, Client, Control, router};

use super::args::Globals;
use super::failure::Failure;
use crate::assemble::{StoppedMiners, StoppedPolicies};
use crate::config::{Loaded, state_path};
use crate::reload::StoppedConfig;
use crate::store;

/// How often a store that is in use is asked for again: another command has it for a moment.
const TRIES: u32 = 50;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Returns the client of the control plane.
pub(super) async fn control(globals: &Globals) -> Result<Client, Failure> {
    let socket = AdminSocket::check(&state_path(&globals.config, &globals.set))?;
    let mut tries = TRIES;
    let (loaded, store) = loop {
        if let Some(client) = of_server(&socket).await? {
            return Ok(client);
        }
        let loaded = Loaded::read(&globals.config, &globals.set)?;
        match store::open(&loaded) {
            Err(error) if error.is_locked() && tries > 0 => {
                tries -= 1;
                tokio::time::sleep(PAUSE).await;
            }
            opened => break (loaded, opened?),
        }
    };
    let config = StoppedConfig::new(globals.config.clone(), globals.set.clone(), &loaded.state_path());
    Ok(Client::Local(router(Control {
        keys: store.keys,
        accounts: store.accounts,
        logs: store.logs,
        policy: Arc::new(StoppedPolicies::new(&loaded.config)),
        miners: Arc::new(StoppedMiners(loaded)),
        config: Arc::new(config),
        version: env!("CARGO_PKG_VERSION"),
    })))
}

/// Returns the client of the server that runs with the store of this configuration, if one does.
pub(super) async fn server(globals: &Globals) -> Result<Option<Client>, Failure> {
    of_server(&AdminSocket::check(&state_path(&globals.config, &globals.set))?).await
}

async fn of_server(socket: &Path) -> Result<Option<Client>, Failure> {
    let running = Client::of_server(socket).await;
    running.map_err(|error| Failure::new(format!("{} cannot be used: {error}", socket.display())))
}
