#!/usr/bin/env bash
# `make acceptance`: the vendor's published JavaScript clients, unmodified, against the server and the shop
# over TLS. The server is every host of cl.test but one, on 127.0.0.1; the shop is my-org.cl.test, on
# 127.0.0.2 and the same port. Packages come from the npm registry, certificates are made here.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
folder=$(mktemp -d)
tidy() {
    local status=$?
    leave
    if [ "$status" -ne 0 ]; then tail -20 "$folder"/*.log >&2 2>/dev/null || true; fi
    rm -rf "$folder"
}
trap tidy EXIT

# A throw-away authority and a leaf for *.cl.test.
make_certificates() {
    local names=DNS:cl.test,DNS:*.cl.test,DNS:localhost,IP:127.0.0.1,IP:127.0.0.2
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=Portcullis acceptance" \
        -addext basicConstraints=critical,CA:TRUE -keyout "$folder/ca.key" -out "$folder/ca.pem" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj /CN=cl.test -keyout "$folder/leaf.key" \
        -out "$folder/leaf.csr" 2>/dev/null
    openssl x509 -req -in "$folder/leaf.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial \
        -days 2 -extfile <(printf 'subjectAltName=%s\n' "$names") -out "$folder/leaf.pem" 2>/dev/null
}

# Only when package.json has changed; the packages stay beside it, ignored by git.
install_clients() {
    local stamp=node_modules/.installed
    cd tests/acceptance
    if ! cmp -s package.json "$stamp"; then
        say "Installing the vendor's clients from the npm registry ..."
        npm install --no-package-lock --no-audit --no-fund --loglevel=error
        cp package.json "$stamp"
    fi
    cd "$root"
}

open_the_hosts() {
    export PORTCULLIS__STORE__URL=sqlite:$folder/portcullis.db PORTCULLIS__KEYS__DIRECTORY=$folder/keys
    export PORTCULLIS__ISSUER=https://auth.cl.test:0 PORTCULLIS__DOMAIN=cl.test PORTCULLIS__LISTEN__PORT=0
    export PORTCULLIS__TLS__CERTIFICATE=$folder/leaf.pem PORTCULLIS__TLS__KEY=$folder/leaf.key
    "$portcullis" keys init --algorithms ES256,RS512
    "$portcullis" seed tests/fixtures/acceptance.toml
    start server "$folder/server" "$portcullis" serve
    port=$(address portcullis "$folder/server" "$server_pid")
    port=${port##*:}
    export NODE_EXTRA_CA_CERTS=$folder/ca.pem
    PORTCULLIS_GUARD_SECRET=shop-secret start shop "$folder/shop" \
        "$shop" --listen "127.0.0.2:$port" --issuer "https://auth.cl.test:$port" --environment any \
        --commerce-layer --tls-cert "$folder/leaf.pem" --tls-key "$folder/leaf.key" \
        --feed-url "https://127.0.0.1:$port" --ca "$folder/ca.pem"
    address portcullis-shop "$folder/shop" "$shop_pid" >/dev/null
    await "https://127.0.0.2:$port/readyz" --cacert "$folder/ca.pem"
}

scripts/needs.sh acceptance
build
install_clients
make_certificates
open_the_hosts
cd tests/acceptance
CL_LOCAL_DOMAIN=cl.test:$port node --require ./local-dns.cjs drive.mjs
CL_LOCAL_DOMAIN=cl.test:$port node --require ./local-dns.cjs provisioning.mjs
