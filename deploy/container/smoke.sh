#!/usr/bin/env bash
# smoke.sh BINARY: runs the server in the image's own files without a container engine: a root of exactly what
# rootfs.sh lays out, mounted read-only, an account without rights, no capability, one writable folder; asks
# /readyz, and ends it as an orchestrator does. Mounting needs root; without, it says so and does nothing.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" -ne 0 ]; then
    echo "smoke: NOT RUN. It mounts a read-only root, which needs root: sudo $0 BINARY"
    exit 0
fi
if [ "${INSIDE:-}" != yes ]; then
    # Mounts of our own, so that nothing stays behind.
    exec unshare --mount --propagation private env INSIDE=yes "$0" "$@"
fi

work=$(mktemp -d)
server=
tidy() {
    if [ -n "$server" ]; then
        kill -KILL "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    umount "$work/root/var/lib/portcullis" "$work/root" 2>/dev/null || true
    rm -rf "$work"
}
trap tidy EXIT
fail() { echo "smoke: FAILED: $*"; cat "$work/log" 2>/dev/null || true; exit 1; }

"$here/rootfs.sh" "$1" "$work/root"
mount --bind "$work/root" "$work/root"
mount -o remount,bind,ro,nosuid,nodev "$work/root"
mount -t tmpfs -o size=64m,mode=0700,uid=10001,gid=10001,nosuid,nodev,noexec tmpfs "$work/root/var/lib/portcullis"

inside=(
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin PORTCULLIS__STORE__URL=sqlite:/var/lib/portcullis/books.db
    PORTCULLIS__LISTEN__ADDRESS=127.0.0.1 PORTCULLIS__LISTEN__PORT=0 PORTCULLIS__ADMIN__PORT=0
    PORTCULLIS__METRICS__PORT=0 PORTCULLIS__KEYS__KEK=env:SMOKE_KEK SMOKE_KEK="$(head -c 32 /dev/urandom | base64)"
    PORTCULLIS__TRUSTED_PROXIES=127.0.0.1
    setpriv --no-new-privs chroot --userspec=10001:10001 --groups= "$work/root"
    /usr/local/bin/portcullis --config /etc/portcullis/base.toml --config /etc/portcullis/production.toml
)

files=$(find "$work/root" -type f | sed "s|^$work/root||" | sort)
echo "$files" | grep -qE '/(sh|bash|busybox|dash|apt|dpkg|perl)$' && fail "there is a shell or a package manager"
touch "$work/root/etc/portcullis/mine" 2>/dev/null && fail "the root can be written to"

"${inside[@]}" keys init --algorithms ES256 >/dev/null || fail "the keys could not be made"
"${inside[@]}" serve >"$work/out" 2>"$work/log" &
server=$!
for try in $(seq 100); do
    address=$(sed -n 's/^portcullis ready at \([^ ]*\) .*/\1/p' "$work/out")
    [ -z "$address" ] || break
    kill -0 "$server" 2>/dev/null || fail "it ended by itself (look $try)"
    sleep 0.1
done
[ -n "$address" ] || fail "it never said that it is ready"
curl -fsS --max-time 5 "http://$address/readyz" >/dev/null || fail "/readyz does not answer well"
curl -fsS --max-time 5 "http://$address/.well-known/jwks.json" | grep -q '"keys"' || fail "there are no keys"

# What the kernel says of the running process.
has() { grep -qP "$1" "/proc/$server/$2" || fail "$3"; }
has '^Uid:\t10001\t10001\t10001\t10001$' status "it does not run as the account without rights"
has '^CapEff:\t0+$' status "it has capabilities"
has '^NoNewPrivs:\t1$' status "it could gain rights"
has ' / ro,' mountinfo "its root can be written to"

kill -TERM "$server"
wait "$server" || fail "it did not end well"
server=
echo "smoke: $(echo "$files" | wc -l) files, read-only root, account 10001, no capability, /readyz 200, ended well"
