//! What the binary `btvep` is made of: configuration, roster, assembly, command line.
//!
//! Components know only serde and their own contracts; this crate alone reads files, environment and arguments,
//! and knows every implementation (`roster`, `assemble`).

mod assemble;
mod cli;
pub mod config;
mod demo;
mod logging;
mod probes;
mod reload;
mod roster;
mod serve;
mod store;

pub use cli::run;
