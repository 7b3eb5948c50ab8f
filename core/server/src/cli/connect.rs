//! Finds who carries out an operation: the running server, or we ourselves over its store.

use std::sync::Arc;
use std::time::Duration;

use btvep_control::{AdminSocket, Client, Control, router};

use super::args::Globals;
use super::failure::Failure;
use crate::assemble::{StoppedMiners, StoppedPolicies};
use crate::config::Loaded;
use crate::reload::StoppedConfig;
use crate::store;

/// How often a store that is in use is asked for again: another command has it for a moment.
const TRIES: u32 = 50;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Returns the client of the control plane.
pub(super) async fn control(globals: &Globals) -> Result<Client, Failure> {
    let loaded = Loaded::read(&globals.config, &globals.set)?;
    let socket = AdminSocket::check(&loaded.state_path())?;
    let mut tries = TRIES;
    let store = loop {
        let running = Client::of_server(&socket).await;
        let running = running.map_err(|error| Failure::new(format!("{} cannot be used: {error}", socket.display())))?;
        if let Some(client) = running {
            return Ok(client);
        }
        match store::open(&loaded) {
            Err(error) if error.is_locked() && tries > 0 => {
                tries -= 1;
                tokio::time::sleep(PAUSE).await;
            }
            opened => break opened?,
        }
    };
    Ok(Client::Local(router(Control {
        keys: store.keys,
        accounts: store.accounts,
        logs: store.logs,
        policy: Arc::new(StoppedPolicies::new(&loaded.config)),
        config: Arc::new(StoppedConfig),
        miners: Arc::new(StoppedMiners(loaded)),
        version: env!("CARGO_PKG_VERSION"),
    })))
}
