//! Scripted miners on loopback that speak the real protocols.
