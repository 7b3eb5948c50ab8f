#!/bin/sh
# The answer as it comes, event by event.
set -eu

curl --fail-with-body --silent --show-error --no-buffer "$BTVEP_URL/v1/chat/completions" \
    --header "Authorization: Bearer $BTVEP_KEY" \
    --header "Content-Type: application/json" \
    --data '{"model": "devnet", "stream": true, "messages": [{"role": "user", "content": "Count to three."}]}'
