//! Miner protocols and client surfaces as pure functions: bytes in, bytes out.

pub mod nonce;
pub mod signer;
pub mod surface;
