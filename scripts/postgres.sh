# A PostgreSQL of the script's own: on a port and a socket that are free, in the script's $folder, and thrown away with
# it. Sourced, not run.

# PostgreSQL refuses to run as root, so a root borrows a user who may do little else.
as_nobody() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd "$folder" && setpriv --reuid=nobody --regid=nogroup --clear-groups "$@")
    else
        "$@"
    fi
}

# start_postgres [OPTIONS OF THE SERVER]: leaves its address in $postgres.
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
            "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder/postgres $*" >/dev/null; then
            postgres=postgres://portcullis@127.0.0.1:$port/postgres
            return
        fi
        echo "port $port did not do (try $try)"
    done
    cat "$folder/postgres/log" >&2
    exit 1
}

# stop_postgres HOW: as pg_ctl has it (fast, immediate), if it was started.
stop_postgres() {
    [ ! -s "$folder/postgres/postmaster.pid" ] ||
        as_nobody "$postgres_bin/pg_ctl" -D "$folder/postgres" -m "$1" -w stop >/dev/null || true
}
