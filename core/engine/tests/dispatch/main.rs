//! Dispatch against scripted miners on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what a miner cannot do fails the test"
)]

mod attempt;
mod bed;
mod hedge;
mod race;
mod stream;
mod tls;
