//! The binary `btvep`.
fn main() {}
