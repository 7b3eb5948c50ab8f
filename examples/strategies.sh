#!/bin/sh
# Five ways to choose miners; the answer's x-btvep-strategy-source says which place was heard.
set -eu

ask() { # body [header]
    curl --fail-with-body --silent --show-error --dump-header - --output /dev/null "$BTVEP_URL/v1/chat/completions" \
        --header "Authorization: Bearer $BTVEP_KEY" --header "Content-Type: application/json" \
        --header "${2:-Accept: application/json}" --data "$1" |
        grep -i -E '^x-btvep-(strategy|strategy-source|uid):' | tr -d '\r' | sort | paste -s -d ' ' -
}

hello='"messages": [{"role": "user", "content": "hello"}]'
ask "{\"model\": \"devnet\", $hello, \"uids\": [2, 0]}"
ask "{\"model\": \"devnet\", $hello, \"top_n\": 3}"
ask "{\"model\": \"devnet\", $hello, \"strategy\": \"top_n=2\", \"in_parallel\": 1}"
ask "{\"model\": \"devnet\", $hello}" "x-btvep-strategy: uids=1"
ask "{\"model\": \"devnet:top_n=2\", $hello}"
