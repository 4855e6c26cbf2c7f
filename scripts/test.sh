#!/usr/bin/env bash
# `make test`: everything. Installs what is missing, starts a PostgreSQL of its own, runs the tests of the
# workspace, the vendor's clients and the demo, and clears away whatever happens.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh

folder=$(mktemp -d)
tidy() {
    stop_postgres immediate
    rm -rf "$folder"
}
trap tidy EXIT

section() { printf '\n--- %s (%d s so far)\n' "$*" "$SECONDS"; }

section "what the tests need"
scripts/needs.sh test
start_postgres -c fsync=off -c max_connections=500
export PORTCULLIS_TEST_POSTGRES=$postgres

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
