#!/usr/bin/env bash
# Makes the Python environments of the end-to-end tests under target/peers; does nothing when they are current.
#
#   scripts/peers.sh [client|sdk10|sdk11]...     (default: all)
#
# sdk10   real axons (Synapse protocol)        sdk11   real btauth/1 verifiers
# client  pytest and the unmodified openai package
set -euo pipefail
cd "$(dirname "$0")/.."
peers=target/peers
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    { echo "peers: Python 3.10 or newer is needed, found $("$python" --version 2>&1); set PYTHON=/path/to/python" >&2; exit 1; }

# A stamp holds the hash of what the environment was made from, so a changed pin makes it anew.
make_env() {
    local name=$1 wanted="tests/requirements/$1.txt" env="$peers/$1" stamp="$peers/$1.stamp" hash
    hash=$({ "$python" --version; cat "$wanted"; } | sha256sum | cut -d' ' -f1)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$hash" ] && [ -x "$env/bin/python" ]; then
        echo "peers: $name is current"
        return
    fi
    echo "peers: installing $name"
    rm -rf "$env" "$stamp"
    "$python" -m venv "$env"
    "$env/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    echo "$hash" >"$stamp"
}

mkdir -p "$peers"
for name in "${@:-client sdk10 sdk11}"; do
    for one in $name; do make_env "$one"; done
done
