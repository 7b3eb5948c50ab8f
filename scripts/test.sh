#!/usr/bin/env bash
# Runs everything that must be green, from a clean clone, and prints the minutes of each stage.
set -euo pipefail
cd "$(dirname "$0")/.."

names=() times=()
stage() {
    local name=$1 begin=$SECONDS
    shift
    echo "== $name"
    if ! "$@"; then
        report
        echo "test: stage \`$name\` failed: $*" >&2
        exit 1
    fi
    names+=("$name") times+=($((SECONDS - begin)))
}

report() {
    local i total=0
    echo "== minutes per stage"
    for i in "${!names[@]}"; do
        awk -v n="${names[$i]}" -v s="${times[$i]}" 'BEGIN { printf "   %-22s %6.1f\n", n, s / 60 }'
        total=$((total + times[i]))
    done
    awk -v s=$total 'BEGIN { printf "   %-22s %6.1f\n", "all", s / 60 }'
}

stage "system packages" scripts/system.sh build
stage "python peers" scripts/peers.sh
stage "layers" cargo xtask layers
stage "build" cargo build --locked --workspace --all-targets
stage "rust tests" cargo test --locked --workspace --all-targets
stage "doc tests" cargo test --locked --workspace --doc
stage "end to end" target/peers/client/bin/python -m pytest tests
report
echo "test: all green"
