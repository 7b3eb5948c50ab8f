//! What the binary `btvep` is made of: configuration, roster, assembly, command line.
//!
//! Components know only serde and their own contracts; this crate alone reads files, environment and arguments,
//! and knows every implementation (`roster`, `assemble`).

mod assemble;
mod cli;
pub mod config;
mod logging;
mod roster;
mod store;

pub use assemble::{BuildError, Parts};
pub use cli::run;
