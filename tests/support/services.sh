# PostgreSQL, Redis and a Docker engine of the tests' own: on free ports and sockets, with their data in one temporary
# directory, beside whatever runs on this machine. Sourced; needs common.sh, install.sh and machine.sh.
#
#   services_open     makes the directory; from here on services_close must run, however the script ends
#   services_start    starts what this machine can run and exports HEALER_TEST_*; says what it cannot, and why
#   services_close    stops by pid what was started, unmounts and removes the directory

SERVICES=             # the temporary directory
STARTED=()            # pids, in the order of their start
IMAGE=healer-test:busybox

services_open() {
    SERVICES=$(mktemp -d /tmp/healer-test.XXXXXX)
    chmod 755 "$SERVICES"
    # What killed tests leave behind goes away with it.
    mkdir -m 1777 "$SERVICES/tmp"
    export TMPDIR=$SERVICES/tmp
    export HEALER_TEST_SKIPS=$SERVICES/skips
    : >"$HEALER_TEST_SKIPS"
    chmod 666 "$HEALER_TEST_SKIPS"
}

services_start() {
    unset HEALER_TEST_POSTGRES HEALER_TEST_POSTGRES_TLS HEALER_TEST_REDIS HEALER_TEST_DOCKER HEALER_TEST_IMAGE
    unset HEALER_TEST_REDIS_TLS HEALER_TEST_MACHINE_IMAGE
    start_postgres || service_skipped PostgreSQL
    start_redis || service_skipped Redis
    start_docker || service_skipped Docker
    import_machine || service_skipped 'a machine with systemd'
}

# A service that was to start and did not is shown with the end of its log. The tests that need it record their skips.
service_skipped() {
    warn "$1 is not available: ${WHY:-it did not start}; the tests that need it are skipped"
    [ -z "${LOG:-}" ] || tail -n 15 "$LOG" >&2 || true
}

services_close() {
    [ -n "$SERVICES" ] || return 0
    [ -z "${HEALER_TEST_DOCKER:-}" ] || remove_containers
    local i
    for ((i = ${#STARTED[@]} - 1; i >= 0; i--)); do end_process "${STARTED[i]}" 20; done
    STARTED=()
    unmount_below "$SERVICES"
    rm -rf --one-file-system "$SERVICES"
    SERVICES=
}

# start NAME COMMAND...: in a session of its own, so that Ctrl-C reaches this script first and the end is orderly.
start() {
    LOG=$SERVICES/$1.log
    shift
    setsid "$@" >"$LOG" 2>&1 </dev/null &
    STARTED+=($!)
    LAST=$!
}

# ready SECONDS COMMAND...: waits until COMMAND succeeds; fails at once when the process started last has ended.
ready() {
    local seconds=$1
    shift
    wait_until "$seconds" ready_or_gone "$@" && ! is_gone "$LAST"
}

ready_or_gone() { is_gone "$LAST" || "$@"; }

# --- PostgreSQL -------------------------------------------------------------------------------------------------------

start_postgres() {
    WHY='' LOG=''
    local bin data=$SERVICES/postgres try port as=()
    bin=$(postgres_bin) || { WHY="no server is installed"; return 1; }
    mkdir "$data"
    if is_root; then
        # The server refuses to run as root; the package brings the user.
        chown postgres: "$data"
        as=(setpriv --reuid=postgres --regid=postgres --init-groups)
    fi
    printf 'secret-of-the-tests\n' >"$SERVICES/pgpass"
    chmod 644 "$SERVICES/pgpass"
    LOG=$SERVICES/initdb.log
    (cd / && "${as[@]}" "$bin/initdb" -D "$data/db" -U healer --pwfile="$SERVICES/pgpass" --auth-local=trust \
        --auth-host=scram-sha-256 --encoding=UTF8 --locale=C --no-sync) >"$LOG" 2>&1 || return 1
    sed -i '1i hostnossl all healer_tls all reject' "$data/db/pg_hba.conf"
    # The server insists on a key that nobody else can read.
    cp "$(dirname "${BASH_SOURCE[0]}")"/../fixtures/tls/server.{pem,key} "$data/"
    chmod 600 "$data/server.key"
    ! is_root || chown postgres: "$data/server.pem" "$data/server.key"
    for try in 1 2 3; do
        port=$(free_port)
        start postgres "${as[@]}" "$bin/postgres" -D "$data/db" -p "$port" -k "$data" -c listen_addresses=127.0.0.1 \
            -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=60 -c shared_buffers=16MB \
            -c ssl=on -c ssl_cert_file="$data/server.pem" -c ssl_key_file="$data/server.key"
        if ready 20 "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; then
            export HEALER_TEST_POSTGRES=postgres://healer:secret-of-the-tests@127.0.0.1:$port/postgres
            export HEALER_TEST_POSTGRES_TLS=$HEALER_TEST_POSTGRES
            say "PostgreSQL $("$bin/postgres" --version | cut -d' ' -f3) on port $port"
            return 0
        fi
    done
    return 1
}

# --- Redis ------------------------------------------------------------------------------------------------------------

start_redis() {
    WHY='' LOG=''
    local try port tls_port dir=$SERVICES/redis fixtures
    # It reads them from its own directory.
    fixtures=$(cd "$(dirname "${BASH_SOURCE[0]}")/../fixtures/tls" && pwd)
    have redis-server || { WHY="no server is installed"; return 1; }
    mkdir "$dir"
    for try in 1 2 3; do
        port=$(free_port)
        tls_port=$(free_port)
        # The certificate is made out to 127.0.0.1, not to 127.0.0.2.
        start redis redis-server --bind 127.0.0.1 127.0.0.2 --port "$port" --unixsocket "$dir/redis.sock" --dir "$dir" \
            --save '' --appendonly no --daemonize no --tls-port "$tls_port" --tls-auth-clients no \
            --tls-cert-file "$fixtures/server.pem" --tls-key-file "$fixtures/server.key" --tls-ca-cert-file "$fixtures/ca.pem"
        if ready 20 redis-cli -p "$port" ping; then
            export HEALER_TEST_REDIS=redis://127.0.0.1:$port/0 HEALER_TEST_REDIS_TLS=rediss://127.0.0.1:$tls_port/0
            say "Redis $(redis-server --version | sed 's/.* v=\([^ ]*\).*/\1/') on port $port"
            return 0
        fi
    done
    return 1
}

# --- Docker -----------------------------------------------------------------------------------------------------------

on_docker() { docker --host "unix://$SERVICES/docker.sock" "$@"; }

# The engine has its own containerd, data, sockets and no network of its own (no bridge, no packet filter rules, no
# forwarding): containers run with `--network host` or `none`, and a system engine beside it notices nothing.
start_docker() {
    WHY='' LOG=''
    is_root || { WHY="an engine of its own needs root"; return 1; }
    local program
    for program in dockerd containerd runc docker; do
        have "$program" || { WHY="$program is not installed"; return 1; }
    done
    have_static_busybox || { WHY="no static busybox is installed"; return 1; }
    start_containerd || return 1
    printf '{}\n' >"$SERVICES/docker.json"
    start docker dockerd --config-file "$SERVICES/docker.json" --containerd "$SERVICES/containerd.sock" \
        --data-root "$SERVICES/docker" --exec-root "$SERVICES/docker-exec" --pidfile "$SERVICES/docker.pid" \
        --host "unix://$SERVICES/docker.sock" --bridge none --iptables=false --ip6tables=false --ip-forward=false \
        --ip-masq=false --userland-proxy=false
    ready 40 on_docker version || return 1
    export HEALER_TEST_DOCKER=unix://$SERVICES/docker.sock
    import_image || { WHY="the image could not be made"; unset HEALER_TEST_DOCKER; return 1; }
    export HEALER_TEST_IMAGE=$IMAGE
    say "Docker $(on_docker version --format '{{.Server.Version}}') on $HEALER_TEST_DOCKER, image $IMAGE"
}

start_containerd() {
    cat >"$SERVICES/containerd.toml" <<TOML
version = 2
root = "$SERVICES/containerd"
state = "$SERVICES/containerd-run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$SERVICES/containerd.sock"
TOML
    start containerd containerd --config "$SERVICES/containerd.toml"
    ready 20 test -S "$SERVICES/containerd.sock"
}

# A static busybox with its applets, and empty places for what is mounted: -v /usr:/usr:ro -v /lib:/lib:ro
# -v /lib64:/lib64:ro brings the host's Python.
import_image() {
    local root=$SERVICES/image applet
    mkdir -p "$root"/{bin,dev,etc,lib,lib64,proc,run,sys,tmp,usr}
    chmod 1777 "$root/tmp"
    cp "$(command -v busybox)" "$root/bin/busybox"
    for applet in $(busybox --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    printf 'root:x:0:0:root:/:/bin/sh\n' >"$root/etc/passwd"
    printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
    tar -C "$root" -c . | on_docker import --change 'ENV PATH=/bin:/usr/bin' - "$IMAGE" >/dev/null
}

remove_containers() {
    local ids
    ids=$(on_docker ps --all --quiet 2>/dev/null) || return 0
    # Word splitting is meant: one argument for each id.
    [ -z "$ids" ] || on_docker rm --force $ids >/dev/null 2>&1 || true
}

# Deepest first; what a killed engine left mounted would keep the directory busy.
unmount_below() {
    local point
    while read -r point; do
        umount --lazy "$point" 2>/dev/null || true
    done < <(cut -d' ' -f5 /proc/self/mountinfo | grep -F "$1/" | sort -r || true)
}
