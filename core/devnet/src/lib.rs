//! Scripted miners on loopback that speak the real protocols.
//!
//! They refuse what the SDK's own verifiers refuse, in the same words, so that a prompt answered here is a prompt that
//! real miners would have taken. They live on a thread of their own and end with the [`Devnet`].

mod accept;
mod answer;
mod btauth;
mod chat;
mod config;
mod devnet;
mod miner;
mod record;
mod script;
mod synapse;

pub use config::{Behaviour, DevnetConfig, MinerPython, MinerSpeech};
pub use devnet::{Devnet, DevnetError};
pub use record::{Asked, Ending};
