#!/usr/bin/env bash
# `make run`: the server with its demo organization, and the shop behind the guard, until Ctrl-C.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
trap leave EXIT
trap 'exit 0' INT TERM

port=${PORT:-8080} shop_port=${SHOP_PORT:-8081} admin_port=${ADMIN_PORT:-8090}
build

for taken in "$port" "$shop_port" "$admin_port"; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$taken") 2>/dev/null; then
        fail "port $taken is taken; choose others: PORT=9080 SHOP_PORT=9081 ADMIN_PORT=9090 make run"
    fi
done

mkdir -p run
export PORTCULLIS__STORE__URL=sqlite:run/portcullis.db PORTCULLIS__KEYS__DIRECTORY=run/keys
export PORTCULLIS__ADMIN__ENABLED=true PORTCULLIS__ADMIN__PORT=$admin_port
export PORTCULLIS__ISSUER=http://127.0.0.1:$port PORTCULLIS__LISTEN__PORT=$port
start server run/server "$portcullis" serve --demo
address portcullis run/server "$server_pid" >/dev/null
PORTCULLIS_GUARD_SECRET=demo-guard-secret start shop run/shop \
    "$shop" --listen "127.0.0.1:$shop_port" --issuer "$PORTCULLIS__ISSUER" --environment test
address portcullis-shop run/shop "$shop_pid" >/dev/null
await "http://127.0.0.1:$shop_port/readyz"

say
say "server  http://127.0.0.1:$port        its data and log are in run/"
say "admin   http://127.0.0.1:$admin_port        where operators come in"
say "shop    http://127.0.0.1:$shop_port/api    a commerce service behind the guard; Ctrl-C stops both"
# The server's own story, without its addresses and what it says about starting the shop; and its command line is
# called as it can be from here.
sed -e '1,/^operators come in/d' -e '/^Start the example shop/,/cargo run/d' -e 's/^In a third:/In a second terminal:/' \
    -e 's/, see below$//' -e "s|^    portcullis |    $portcullis |" \
    -e "s/127\.0\.0\.1:8081/127.0.0.1:$shop_port/g" run/server.out
wait -n "$server_pid" "$shop_pid" || true
fail "one of the two has ended by itself; see run/server.log and run/shop.log"
