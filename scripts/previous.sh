#!/usr/bin/env bash
# Builds the server of the version before (tests/previous-version names its commit), out of this clone's own history
# and with its own Cargo.lock, and prints where it lies. Third-party crates that are the same are not built again;
# the result is kept by its commit. A clone without that history cannot build it: that is said, and is an end of 1
# where PORTCULLIS_TEST_PREVIOUS=required and of 0 elsewhere. `previous.sh has` only says by its end (0 or 1) whether
# the history is there.
set -euo pipefail
cd "$(dirname "$0")/.."

commit=$(head -n 1 tests/previous-version)
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
place=$target/previous
built=$place/portcullis-$commit

in_history() { git cat-file -e "$commit^{tree}" 2>/dev/null; }

[ "${1:-}" != has ] || { in_history || [ -x "$built" ]; exit; }
if [ -x "$built" ]; then
    echo "$built"
    exit 0
fi
if ! in_history; then
    echo "The version before ($commit) is not in this clone: a shallow clone, or none of git." >&2
    echo "Servers of two versions side by side: the rule DID NOT RUN. git fetch --unshallow brings it." >&2
    [ "${PORTCULLIS_TEST_PREVIOUS:-}" != required ] || exit 1
    exit 0
fi

# Both versions leave their program at the same place. Whichever lies there now is put back, so that nobody takes the
# one for the other.
shared=$target/debug/portcullis
kept=$place/kept-$$
source=$place/source-$$
tidy() {
    if [ -e "$kept" ]; then mv -f "$kept" "$shared"; else rm -f "$shared"; fi
    rm -rf "$source"
}
mkdir -p "$place"
[ ! -e "$shared" ] || ln "$shared" "$kept"
rm -rf "$source"
mkdir "$source"
trap tidy EXIT

echo "Building the version before ($commit) ..." >&2
git archive "$commit" | tar -x -C "$source"
# The features of the whole workspace, so that what others made is the same as in the build of this version.
CARGO_TARGET_DIR=$target CARGO_INCREMENTAL=0 cargo build --locked --workspace --bin portcullis \
    --manifest-path "$source/Cargo.toml" >&2
cp "$shared" "$built.new"
mv "$built.new" "$built"
echo "$built"
