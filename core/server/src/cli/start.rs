//! `btvep start`: serves until it is told to stop.

use super::args::Globals;
use super::failure::Failure;
use super::output::Output;

pub(super) fn run(_globals: &Globals, _output: Output) -> Result<(), Failure> {
    Err(Failure::new("the gateway is not built yet"))
}
