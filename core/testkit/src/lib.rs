//! Fakes and the behaviour suite of each contract; a dev-dependency only.
//!
//! A fake is a plain value with public fields: a test takes it and alters what it is about.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "only tests use it; a fake that cannot be made fails the test"
)]

mod exchange;
mod metagraph;
pub mod suite;

pub use exchange::{exchange, key, model, prompt};
pub use metagraph::{FixedMetagraph, hotkey, neuron, neurons, snapshot};
