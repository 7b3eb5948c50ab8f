#!/bin/sh
# The older endpoint's route: one choice for each miner that answered.
set -eu

curl --fail-with-body --silent --show-error "$BTVEP_URL/chat" \
    --header "Authorization: Bearer $BTVEP_KEY" \
    --header "Content-Type: application/json" \
    --data '{"messages": [{"role": "user", "content": "hello"}], "top_n": 3, "respond_on_first_success": false}'
