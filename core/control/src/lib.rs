//! The control plane: what the CLI and the pages ask of a running server.
