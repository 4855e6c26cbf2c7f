#!/usr/bin/env bash
# `make test`: everything. Installs what is missing, starts a PostgreSQL of its own, runs the tests of the
# workspace, the vendor's clients and the demo, and clears away whatever happens.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
tidy() {
    [ -s "$folder/postgres/postmaster.pid" ] && as_nobody "$postgres_bin/pg_ctl" -D "$folder/postgres" -m immediate -w stop >/dev/null
    rm -rf "$folder"
}
trap tidy EXIT

section() { printf '\n--- %s (%d s so far)\n' "$*" "$SECONDS"; }

# PostgreSQL refuses to run as root, so a root borrows a user who may do little else.
as_nobody() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd "$folder" && setpriv --reuid=nobody --regid=nogroup --clear-groups "$@")
    else
        "$@"
    fi
}

# A cluster of our own on a socket and a port that are free, thrown away at the end.
start_postgres() {
    local try port bins=(/usr/lib/postgresql/*/bin)
    postgres_bin=${bins[-1]}
    [ -x "$postgres_bin/initdb" ] || postgres_bin=$(dirname "$(readlink -f "$(command -v initdb)")")
    mkdir "$folder/postgres"
    chmod 711 "$folder"
    [ "$(id -u)" -ne 0 ] || chown nobody:nogroup "$folder/postgres"
    as_nobody "$postgres_bin/initdb" -D "$folder/postgres" -U portcullis -A trust -E UTF8 --no-sync >/dev/null
    for try in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000))
        if as_nobody "$postgres_bin/pg_ctl" -D "$folder/postgres" -w -l "$folder/postgres/log" start -o \
            "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder/postgres -c fsync=off -c max_connections=500" >/dev/null; then
            export PORTCULLIS_TEST_POSTGRES=postgres://portcullis@127.0.0.1:$port/postgres
            return
        fi
        echo "port $port did not do (try $try)"
    done
    cat "$folder/postgres/log" >&2
    exit 1
}

section "what the tests need"
scripts/needs.sh test
start_postgres

# Servers of it and of this one work side by side in tests/tests/cluster. It is built first, because both leave their
# program at the same place.
section "the version before"
if scripts/previous.sh has; then export PORTCULLIS_TEST_PREVIOUS=required; fi
scripts/previous.sh

# Once, with the features that the whole workspace asks for, so that what follows builds nothing twice.
section "building"
cargo build --locked --workspace --all-targets
export PORTCULLIS_BUILT=yes PORTCULLIS_TEST_REDIS=required PORTCULLIS_TEST_SOFTHSM=required

section "the vendor's clients"
scripts/acceptance.sh

section "the demo"
scripts/demo.sh

section "three servers behind one address"
CHECK=1 scripts/cluster.sh

section "the tests of the workspace"
cargo test --locked --workspace --no-fail-fast
