# Set-up: installs from the distribution what the tests need and is missing. The only part that may download.
# Sourced; needs common.sh.

# The directory of the newest installed PostgreSQL server's programs.
postgres_bin() {
    local newest
    newest=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)
    [ -x "$newest" ] && dirname "$newest"
}

have_static_busybox() { have busybox && ! ldd "$(command -v busybox)" >/dev/null 2>&1; }

have_venv() { /usr/bin/python3 -c 'import ensurepip' 2>/dev/null; }

# need PACKAGES COMMAND...: adds PACKAGES to `missing` unless COMMAND succeeds.
need() {
    local packages=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=($packages)
}

missing_for_tests() {
    need "gcc libc6-dev" have cc
    need binutils have strip
    need python3 test -x /usr/bin/python3
    need util-linux have setpriv
    need strace have strace
    need e2fsprogs have mkfs.ext4
    need xfsprogs have mkfs.xfs
    need openssl have openssl
    need redis-server have redis-server
    need postgresql postgres_bin
    need docker.io have dockerd
    need containerd have containerd
    need runc have runc
    need busybox-static have_static_busybox
    need systemd have systemctl
    need prometheus have promtool
    need chromium have chromium
    need haproxy have haproxy
    need icinga2-bin have icinga2
    need zsh have zsh
    need fish have fish
    need chromium-driver have chromedriver
    need python3-venv have_venv
    need man-db have man
    need mandoc have mandoc
}

missing_for_measurements() {
    need monit have monit
    need ripgrep have rg
    need wrk have wrk
}

# install_missing KIND...: KIND is `tests` or `measurements`. Without root, or on another distribution, it only tells.
install_missing() {
    local missing=() kind
    for kind in "$@"; do "missing_for_$kind"; done
    # A package of its own in newer releases, part of docker.io in older ones.
    if ! have docker; then missing+=(docker.io docker-cli); fi
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! is_root || ! have apt-get; then
        warn "missing here: ${missing[*]} (as root on Debian they would be installed)"
        return 0
    fi
    apt_install "${missing[@]}"
}

apt_install() {
    say "installing: $*"
    apt-get update -q
    local known=() package
    for package in "$@"; do
        if apt-cache show "$package" >/dev/null 2>&1; then known+=("$package"); fi
    done
    install_without_starting "${known[@]}"
}

# Installing a server must not start one on this machine: the tests start their own.
install_without_starting() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null
)
