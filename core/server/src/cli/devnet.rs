//! `btvep devnet`: runs only the scripted miners.

use btvep_devnet::Devnet;
use btvep_domain::NetUid;

use super::args::{DevnetArgs, Globals};
use super::failure::Failure;
use super::miners::shown;
use super::output::Output;
use crate::assemble::views;
use crate::config::Loaded;

/// Prints the miners and runs them until it is told to stop.
pub(super) async fn run(globals: &Globals, output: Output, arguments: &DevnetArgs) -> Result<(), Failure> {
    let loaded = Loaded::read(&globals.config, &globals.set)?;
    let mut config = loaded.config.devnet.unwrap_or_default();
    config.miners = arguments.n.unwrap_or(config.miners);
    let netuid = loaded.config.subnet.first().map_or(1, |subnet| subnet.netuid);
    let devnet = Devnet::start(&config, NetUid(netuid))?;
    output.value(&views(&devnet.metagraph()), |miners| shown(miners))?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        done = tokio::signal::ctrl_c() => done?,
    }
    drop(devnet);
    Ok(())
}
