#!/bin/sh
# rootfs.sh BINARY FOLDER: lays out everything that the final image holds, and nothing else: the program, the
# libraries that it names, the public certificate authorities, the shipped settings and one account without
# rights. No shell, no package manager. The Containerfile and smoke.sh both use it, so what is tried is what
# is shipped.
set -eu

binary=$1 root=$2
config=$(dirname "$0")/../config
id=10001

mkdir -p "$root/usr/local/bin" "$root/etc/portcullis" "$root/etc/ssl/certs" "$root/var/lib/portcullis"
install -m 0755 "$binary" "$root/usr/local/bin/portcullis"

# "name => /path (address)" for libraries, "/path (address)" for the loader; the kernel's own has no path.
ldd "$binary" | sed -n -e 's/.*=> \(\/[^ ]*\) .*/\1/p' -e 's/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | sort -u |
    while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        install -m 0755 "$(readlink -f "$library")" "$root$library"
    done

# For Redis over TLS with a public certificate; an authority of your own is named in the settings.
install -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
install -m 0644 "$config/base.toml" "$config/production.toml" "$root/etc/portcullis/"
echo "portcullis:x:$id:$id::/var/lib/portcullis:/nonexistent" >"$root/etc/passwd"
echo "portcullis:x:$id:" >"$root/etc/group"
# Without it the C library may ask DNS before /etc/hosts.
echo "hosts: files dns" >"$root/etc/nsswitch.conf"

# The only place to which the program ever writes: keys, and SQLite where there is no PostgreSQL.
chmod 0700 "$root/var/lib/portcullis"
chown "$id:$id" "$root/var/lib/portcullis"
