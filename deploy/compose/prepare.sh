#!/usr/bin/env bash
# prepare.sh [HOST]: makes the secrets of compose.yaml beside it, where there are none yet: passwords out of
# /dev/urandom, and a certificate for HOST (auth.localhost) that only machines of yours will believe. Put the
# chain and key of a real one into secrets/tls.pem for anything else. PORTCULLIS_SECRETS names another folder.
set -euo pipefail

host=${1:-auth.localhost}
secrets=${PORTCULLIS_SECRETS:-$(dirname "$0")/secrets}
if [ -e "$secrets" ]; then
    echo "prepare: $secrets is there already; nothing was changed" >&2
    exit 1
fi
# The folder keeps others on this machine out. The files themselves are read in containers by accounts that
# this machine does not know, and compose hands them in with the mode that they have here.
umask 022
mkdir -m 700 -p "$secrets"
secret() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }

postgres=$(secret) publisher=$(secret) guard=$(secret)
printf %s "$postgres" >"$secrets/postgres-password"
printf %s "postgres://portcullis:$postgres@postgres/portcullis" >"$secrets/store-url"
printf %s "$publisher" >"$secrets/redis-password"
printf %s "$guard" >"$secrets/redis-guard-password"
# As in docs/redis.md.
cat >"$secrets/redis-users" <<USERS
user default off
user portcullis-publisher on >$publisher resetkeys ~rv:* resetchannels -@all +ping +eval +evalsha +script|load +xadd +xrevrange +hmget +hget +hset +hdel +hgetall +get +set +setex +del +expire +expireat +ttl +time +config|get
user portcullis-guard on >$guard resetkeys %R~rv:* resetchannels -@all +ping +xread +get
USERS
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$host" \
    -addext "subjectAltName=DNS:$host" -keyout "$secrets/tls.key" -out "$secrets/tls.crt" 2>/dev/null
cat "$secrets/tls.crt" "$secrets/tls.key" >"$secrets/tls.pem"
rm "$secrets/tls.key"
chmod 444 "$secrets"/*
echo "prepare: $secrets holds $(ls "$secrets" | wc -l) files; keep it private, and give guards redis-guard-password"
