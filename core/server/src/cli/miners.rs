//! `btvep miners`: shows who can be asked.

use btvep_control::MinerView;

use super::args::{Globals, MinersArgs};
use super::connect;
use super::failure::Failure;
use super::output::{Output, or_dash, table};

/// Carries out the command.
pub(super) async fn run(globals: &Globals, output: Output, arguments: &MinersArgs) -> Result<(), Failure> {
    let client = connect::control(globals).await?;
    let mut miners: Vec<MinerView> = client.get("/v1/miners").await?;
    if arguments.serving {
        miners.retain(|miner| miner.axon.is_some());
    }
    output.value(&miners, |miners| shown(miners))
}

/// Returns the table of miners.
pub(super) fn shown(miners: &[MinerView]) -> String {
    let rows = miners.iter().map(|miner| {
        [
            miner.uid.to_string(),
            miner.hotkey.to_string(),
            or_dash(miner.axon),
            format!("{:.4}", f64::from(miner.incentive) / f64::from(u16::MAX)),
            // Rao; tables show TAO.
            format!("{}.{:03}", miner.stake / 1_000_000_000, miner.stake % 1_000_000_000 / 1_000_000),
            if miner.validator_permit { "yes" } else { "no" }.to_owned(),
            if miner.active { "yes" } else { "no" }.to_owned(),
        ]
    });
    table(["UID", "HOTKEY", "AXON", "INCENTIVE", "STAKE", "PERMIT", "ACTIVE"], rows)
}
