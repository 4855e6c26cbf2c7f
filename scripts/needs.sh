#!/usr/bin/env bash
# Installs what a Debian machine lacks, or says exactly what to install. `needs.sh build` is a C compiler,
# pkg-config and OpenSSL's headers; `needs.sh test` is also what the whole test run talks to.
set -euo pipefail

packages=()
lacks() { ! command -v "$1" >/dev/null 2>&1; }
need() { packages+=("$@"); }

lacks cargo && { echo "Rust is missing: see https://rustup.rs" >&2; exit 1; }
lacks cc && need gcc libc6-dev
lacks pkg-config && need pkg-config
if lacks pkg-config || ! pkg-config --exists openssl; then need libssl-dev; fi
lacks curl && need curl

if [ "${1:-build}" = test ]; then
    lacks openssl && need openssl
    lacks redis-server && need redis-server
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || ! lacks initdb || need postgresql
    if lacks node || lacks npm || [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
        need nodejs npm
    fi
fi

[ ${#packages[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
if lacks apt-get || ! { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }; then
    echo "These packages (Debian's names) are missing and cannot be installed from here: ${packages[*]}" >&2
    echo "Install them, for example with: sudo apt-get install --no-install-recommends ${packages[*]}" >&2
    exit 1
fi
echo "Installing what is missing: ${packages[*]}"
"${as_root[@]}" apt-get update -qq
# Services that packages bring would start by themselves and take ports; nothing here needs that.
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >/dev/null
