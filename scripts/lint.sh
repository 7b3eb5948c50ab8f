#!/usr/bin/env bash
# Formatting, clippy without a warning, and the direction of dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/system.sh build
cargo fmt --all --check
cargo clippy --locked --workspace --all-targets -- -D warnings
cargo xtask layers
