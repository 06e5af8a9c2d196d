# Small words that the test scripts share. Sourced, never run; no effects of its own.

say() { printf '== %s\n' "$*"; }

warn() { printf '!! %s\n' "$*" >&2; }

die() {
    warn "$*"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

is_root() { [ "$(id -u)" -eq 0 ]; }

# wait_until SECONDS COMMAND...: repeats the command (its output dropped) until it succeeds; fails after SECONDS.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }

# end_process PID SECONDS: asks, waits, then insists.
end_process() {
    kill -TERM "$1" 2>/dev/null || return 0
    wait_until "$2" is_gone "$1" || kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# A TCP port of the loopback address that was free a moment ago; whoever binds it must be ready to try another one.
free_port() {
    /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
