#!/usr/bin/env bash
# `make cluster`: three servers over PostgreSQL and Redis of their own behind one address (HAProxy), and the
# shop behind the guard, until Ctrl-C. `CHECK=1 make cluster` tells the demo's story through them instead,
# replaces each server while tokens are asked for, and ends with a verdict.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
. scripts/postgres.sh
folder=$(mktemp -d)
haproxy=$(command -v haproxy || echo /usr/sbin/haproxy)

tidy() {
    local status=$?
    trap - EXIT
    leave
    stop_postgres fast
    if [ "$status" -ne 0 ] && [ "$status" -ne 130 ]; then
        tail -n 5 "$folder"/*.log >&2 || true
    fi
    rm -rf "$folder"
    exit "$status"
}
trap tidy EXIT
trap 'exit 0' INT TERM

# port: one that nobody has, of those that a kernel does not hand out by itself.
port() {
    local try
    for try in $(seq 50); do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
    done
    fail "no port is free (after $try looks)"
}

start_redis() {
    port
    mkdir "$folder/redis-data"
    start redis "$folder/redis" redis-server --bind 127.0.0.1 --port "$port" --dir "$folder/redis-data" \
        --appendonly yes --save "" --maxmemory-policy noeviction
    export PORTCULLIS__REDIS__URL=redis://127.0.0.1:$port
}

# serve N: starts the Nth server at the port that it always has.
serve() {
    # One door for operators is enough, at the first.
    local office=false
    [ "$1" != 1 ] || office=true
    PORTCULLIS__ADMIN__ENABLED=$office PORTCULLIS__ADMIN__PORT=0 PORTCULLIS__LISTEN__PORT=${ports[$1]} \
        start "server$1" "$folder/server-$1" "$portcullis" serve --demo
    local named=server$1_pid
    address portcullis "$folder/server-$1" "${!named}" >/dev/null
}

start_balancer() {
    {
        printf '%s\n' 'global' '    maxconn 4096' 'defaults' '    mode http' '    timeout connect 3s' \
            '    timeout http-request 10s' '    timeout client 65s' '    timeout server 65s' \
            '    option redispatch' '    retry-on conn-failure' '    retries 2' \
            'frontend public' "    bind 127.0.0.1:$front" \
            '    http-request set-header X-Forwarded-For %[src]' '    default_backend servers' \
            'backend servers' '    balance roundrobin' '    option httpchk GET /readyz' \
            '    default-server check inter 200ms fall 1 rise 1'
        local at
        for at in 1 2 3; do printf '    server server-%d 127.0.0.1:%d\n' "$at" "${ports[$at]}"; done
    } >"$folder/haproxy.cfg"
    start balancer "$folder/haproxy" "$haproxy" -db -f "$folder/haproxy.cfg"
}

# Asks for tokens through the one address until it is told to stop, one line for each answer.
ask_on() {
    while [ ! -e "$folder/enough" ]; do
        curl -s -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:$front/oauth/token" -d \
            'grant_type=client_credentials&client_id=demo-backend&client_secret=demo-backend-secret' || true
    done >"$folder/statuses"
}

# forget PID: it has ended, and its number may become somebody else's.
forget() {
    local pid left=()
    for pid in "${actors[@]}"; do [ "$pid" = "$1" ] || left+=("$pid"); done
    actors=("${left[@]}")
}

replace_each() {
    local asking at named sent failed
    ask_on & asking=$!
    for at in 1 2 3; do
        named=server${at}_pid
        kill "${!named}"
        wait "${!named}" || fail "server $at ended badly"
        forget "${!named}"
        serve "$at"
        await "http://127.0.0.1:${ports[$at]}/readyz"
        sleep 0.5
    done
    touch "$folder/enough"
    wait "$asking"
    sent=$(wc -l <"$folder/statuses") failed=$(grep -cvx 200 "$folder/statuses" || true)
    say "Each server was replaced: requests sent $sent, failed $failed."
    [ "$sent" -gt 0 ] && [ "$failed" -eq 0 ] || fail "requests failed while servers were replaced"
}

scripts/needs.sh cluster
build
front=${PORT:-}
[ -n "$front" ] || { port; front=$port; }
ports=(0)
for _ in 1 2 3; do port; ports+=("$port"); done
start_postgres
export PORTCULLIS__STORE__URL=$postgres
start_redis
export PORTCULLIS__KEYS__DIRECTORY=$folder/keys PORTCULLIS__ISSUER=http://127.0.0.1:$front
export PORTCULLIS__LISTEN__DRAIN_DELAY_MS=1000 PORTCULLIS__TRUSTED_PROXIES=127.0.0.1
# The first makes the keys and the shop; the others find them.
for at in 1 2 3; do serve "$at"; done
start_balancer
await "http://127.0.0.1:$front/.well-known/jwks.json"

if [ -n "${CHECK:-}" ]; then
    office=http://$(sed -n 's/^operators come in at //p' "$folder/server-1.out")
    PORTCULLIS_DEMO_SERVER=http://127.0.0.1:$front PORTCULLIS_DEMO_OFFICE=$office PORTCULLIS_BUILT=yes scripts/demo.sh
    replace_each
    say "cluster: three servers over PostgreSQL and Redis behind one address told the whole story: PASS"
    exit 0
fi

port
shop_port=${SHOP_PORT:-$port}
PORTCULLIS_GUARD_SECRET=demo-guard-secret start shop "$folder/shop" \
    "$shop" --listen "127.0.0.1:$shop_port" --issuer "$PORTCULLIS__ISSUER" --environment test
await "http://127.0.0.1:$shop_port/readyz"
cat <<END

one address  http://127.0.0.1:$front
servers      ${ports[*]:1} (processes $server1_pid $server2_pid $server3_pid)
shop         http://127.0.0.1:$shop_port/api
data, logs   $folder; Ctrl-C stops all of it and deletes them

In a second terminal:

    token=\$(curl -s http://127.0.0.1:$front/oauth/token -d grant_type=client_credentials \\
        -d client_id=demo-backend -d client_secret=demo-backend-secret | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
    curl -s http://127.0.0.1:$shop_port/api/orders -H "Authorization: Bearer \$token"
    kill $server2_pid    # the others go on
    curl -s http://127.0.0.1:$front/oauth/revoke -d client_id=demo-backend \\
        -d client_secret=demo-backend-secret -d token=\$token
    curl -s http://127.0.0.1:$shop_port/api/orders -H "Authorization: Bearer \$token"
END
wait "$balancer_pid" || true
fail "the balancer has ended by itself"
