//! Miner protocols and client surfaces as pure functions: bytes in, bytes out.

pub mod surface;
