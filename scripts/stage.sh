# Sets the stage for run, demo and acceptance: builds, starts the server and the shop, waits for them, and
# clears away afterwards. Sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

actors=()
say() { printf '%s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# Where cargo puts programs; the dev profile, because it is built in a third of the time and ring, Argon2 and
# SQLite are optimised in it anyway.
target=${CARGO_TARGET_DIR:-$root/target}
portcullis=$target/debug/portcullis
shop=$target/debug/portcullis-shop

# build [CARGO OPTIONS]: the server, the shop, and what else is named. Nothing to do when whoever calls has
# built everything already.
build() {
    [ -z "${PORTCULLIS_BUILT:-}" ] || return 0
    scripts/needs.sh build
    say "Building the server and the shop (dev profile; the first time takes some minutes) ..."
    cargo build --locked -p portcullis -p portcullis-shop "$@" --bins
}

# start NAME LOG COMMAND...: starts a program and remembers it for leave.
start() {
    local name=$1 log=$2
    shift 2
    "$@" >"$log.out" 2>"$log.log" &
    actors+=("$!")
    eval "${name}_pid=$!"
}

# address NAME LOG: the address of a program that says "NAME ready at ADDRESS (...)".
address() {
    local name=$1 log=$2 pid=$3 try
    for try in $(seq 300); do
        sed -n "s/^$name ready at \([^ ]*\) .*/\1/p" "$log.out" | grep . && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    cat "$log.log" >&2
    fail "$name did not start (after $try looks)"
}

# await URL [CURL OPTIONS]: until it answers well.
await() {
    local url=$1 try
    shift
    for try in $(seq 300); do
        curl -fs -o /dev/null "$@" "$url" && return
        sleep 0.1
    done
    fail "$url does not answer (after $try looks)"
}

# Ends what was started, and nothing else.
leave() {
    local pid at
    # The last one first: the shop lets go of the feed, and then the server has nobody to wait for.
    for ((at = ${#actors[@]} - 1; at >= 0; at--)); do
        pid=${actors[at]}
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    actors=()
}
