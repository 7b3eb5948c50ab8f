//! Pingora in front of the engine: listeners, TLS, HTTP, one file per phase.
