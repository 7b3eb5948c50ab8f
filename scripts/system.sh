#!/usr/bin/env bash
# Installs the system packages that are missing, or names the command that would.
#
#   scripts/system.sh build          what a build needs: cmake (for zlib-ng, which Pingora uses)
#   scripts/system.sh build bench    also what `make bench` needs: nginx, wrk, strace
set -euo pipefail

declare -A package=([cmake]=cmake [cc]=gcc [nginx]=nginx-light [wrk]=wrk [strace]=strace)

missing=()
need() { PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null || missing+=("${package[$1]}"); }

for group in "${@:-build}"; do
    case $group in
        build) need cmake; need cc ;;
        bench) need nginx; need wrk; need strace ;;
        *) echo "system: there is no group \`$group\`; known groups: build, bench" >&2; exit 2 ;;
    esac
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=(sudo -n); else as_root=(false); fi
fi
if ! command -v apt-get >/dev/null || [ "${as_root[0]:-}" = false ]; then
    echo "system: missing ${missing[*]}; install them first, on Debian or Ubuntu with: sudo apt-get install ${missing[*]}" >&2
    exit 1
fi

echo "system: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
# Debian starts a web server that it installs; the benchmark starts its own, and only when it is measured.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    "${as_root[@]}" chmod +x $policy
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" </dev/null >&2; }
if ! { apt update && apt install --yes --no-install-recommends "${missing[@]}"; }; then
    echo "system: apt could not install ${missing[*]}; install them by hand and start again" >&2
    exit 1
fi
