#!/bin/sh
# One question; the headers say who answered and what it cost.
set -eu

curl --fail-with-body --silent --show-error --include "$BTVEP_URL/v1/chat/completions" \
    --header "Authorization: Bearer $BTVEP_KEY" \
    --header "Content-Type: application/json" \
    --data '{"model": "devnet", "messages": [{"role": "user", "content": "What is a metagraph?"}]}'
