//! Miner protocols and client surfaces as pure functions: bytes in, bytes out.

pub mod btauth;
mod discreet;
mod error_answer;
#[cfg(test)]
mod fixture;
pub mod nonce;
pub mod openai;
pub mod openai_body;
pub mod path;
pub mod python_repr;
pub mod signer;
pub mod surface;
pub mod synapse;
mod words;
