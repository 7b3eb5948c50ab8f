//! Finds who carries out an operation: the running server, or we ourselves over its store.

use std::sync::Arc;

use btvep_control::{AdminSocket, Client, Control, router};

use super::args::Globals;
use super::failure::Failure;
use crate::assemble::{Policies, StoppedMiners};
use crate::config::Loaded;
use crate::store::{self, Store};

/// Returns the client of the control plane.
pub(super) async fn control(globals: &Globals) -> Result<Client, Failure> {
    let loaded = Loaded::read(&globals.config, &globals.set)?;
    let socket = AdminSocket::check(&loaded.state_path())?;
    let running = Client::of_server(&socket).await;
    let running = running.map_err(|error| Failure::new(format!("{} cannot be used: {error}", socket.display())))?;
    if let Some(client) = running {
        return Ok(client);
    }
    let Store { keys, accounts, logs } = store::open(&loaded).await?;
    Ok(Client::Local(router(Control {
        keys,
        accounts,
        logs,
        policy: Arc::new(Policies::new(&loaded.config)),
        miners: Arc::new(StoppedMiners(loaded)),
        version: env!("CARGO_PKG_VERSION"),
    })))
}
