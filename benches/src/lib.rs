//! Benchmarks: the product beside nginx and a plain Pingora.
//!
//! The binary `bench` is the harness; `mock` is the miner behind every contender, `plain_pingora` one of them.

pub mod exchange;
pub mod signed;
