#!/usr/bin/env bash
# Installs what a Debian machine lacks, or says exactly what to install. `needs.sh build` is a C compiler,
# pkg-config and OpenSSL's headers; `needs.sh acceptance` also Node for the vendor's clients; `needs.sh test`
# also the databases and the PKCS#11 token that the tests start for themselves; `needs.sh cluster` the databases
# and no Node; `needs.sh faults` those, a clock and a network that can be broken.
set -euo pipefail

packages=()
lacks() { ! command -v "$1" >/dev/null 2>&1; }
need() { packages+=("$@"); }

lacks cargo && { echo "Rust is missing: see https://rustup.rs" >&2; exit 1; }
lacks cc && need gcc libc6-dev
lacks pkg-config && need pkg-config
if lacks pkg-config || ! pkg-config --exists openssl; then need libssl-dev; fi
lacks curl && need curl

for_what=${1:-build}
old_node() { lacks node || lacks npm || [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; }
lacks openssl && need openssl
wants_node() { [ "$for_what" = test ] || [ "$for_what" = acceptance ]; }
if wants_node && old_node; then need nodejs npm; fi
if [ "$for_what" = test ]; then lacks softhsm2-util && need softhsm2; fi
if [ "$for_what" = faults ]; then
    # Two of the faults step the clock of a machine, and one pulls the cable of a network.
    ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || need faketime
    lacks ip && [ ! -x /usr/sbin/ip ] && need iproute2
fi
if [ "$for_what" = test ] || [ "$for_what" = cluster ] || [ "$for_what" = faults ]; then
    lacks redis-server && need redis-server
    lacks haproxy && [ ! -x /usr/sbin/haproxy ] && need haproxy
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || ! lacks initdb || need postgresql
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
# At this run level the services that packages bring do not start by themselves; the tests start their own.
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >/dev/null

if wants_node && old_node; then
    echo "Node 20 or later is needed, and this machine's packages have only an older one: see https://nodejs.org" >&2
    exit 1
fi
