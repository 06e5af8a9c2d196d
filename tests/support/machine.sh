# An image with systemd as its first process, for the tests of the units: made of the files that the distribution's
# installed packages own, so that it costs a second and needs no download. Sourced; needs common.sh and services.sh.

MACHINE_IMAGE=healer-test:machine

# Imports the image into the engine that runs.
import_machine() {
    WHY='' LOG=''
    local root=$SERVICES/machine link
    [ -n "${HEALER_TEST_DOCKER:-}" ] || { WHY="there is no Docker engine"; return 1; }
    [ -x /usr/lib/systemd/systemd ] || [ -x /lib/systemd/systemd ] || { WHY="systemd is not installed"; return 1; }
    have apt-cache || { WHY="this is no Debian"; return 1; }
    mkdir -p "$root"/{dev,etc/systemd/system,proc,root,run,srv,sys,tmp,var} "$root"/usr/{bin,sbin,lib,lib64}
    for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
    chmod 1777 "$root/tmp"
    LOG=$SERVICES/machine.log
    packages_with systemd dash bash coreutils grep sed dpkg diffutils libc-bin init-system-helpers perl-base >"$SERVICES/machine.packages"
    packaged_files "$SERVICES/machine.packages" >"$SERVICES/machine.files"
    tar -C / -c --no-recursion -T "$SERVICES/machine.files" | tar -C "$root" -x --keep-directory-symlink 2>"$LOG" || return 1
    configure_machine "$root"
    package_database "$root" "$SERVICES/machine.packages"
    ldconfig -r "$root" 2>>"$LOG" || return 1
    tar -C "$root" -c . | on_docker import - "$MACHINE_IMAGE" >/dev/null 2>>"$LOG" || return 1
    rm -rf "$root"
    export HEALER_TEST_MACHINE_IMAGE=$MACHINE_IMAGE
    say "systemd $(systemctl --version | sed -n '1s/.*(\(.*\))/\1/p') in image $MACHINE_IMAGE"
}

# packages_with PACKAGE...: these and what they depend on, as far as they are installed.
packages_with() {
    local names
    names=$(apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks \
        --no-replaces --no-enhances "$@" | grep '^[a-z]' | sort -u)
    # Names of virtual packages among them make dpkg-query fail beside its answer. Word splitting is meant.
    dpkg-query -f '${db:Status-Status} ${binary:Package}\n' -W $names 2>/dev/null | sed -n 's/^installed //p' || true
}

# packaged_files LIST: the files of the packages in a list, without this machine's settings.
packaged_files() {
    dpkg-query -L $(cat "$1") | grep -vE '^/(etc|var|usr/share/(doc|man|locale))/' | sort -u |
        while read -r file; do
            if [ -L "$file" ] || [ -f "$file" ]; then printf '%s\n' "${file#/}"; fi
        done
}

# package_database ROOT LIST: dpkg knows these packages as installed, so that one more can be installed.
package_database() {
    local database=$1/var/lib/dpkg package
    mkdir -p "$database"/{info,parts,triggers,updates}
    while read -r package; do
        dpkg-query --status "$package"
        echo
        cp "/var/lib/dpkg/info/$package.list" "$database/info/"
    done <"$2" >"$database/status"
    mkdir -p "$1/etc/dpkg/dpkg.cfg.d" "$1/var/log" "$1/var/cache"
}

# Boots to basic.target and no further: nothing runs but the journal and what a test starts.
configure_machine() {
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$1/etc/passwd"
    printf 'root:x:0:\nhealer:x:990:\n' >"$1/etc/group"
    # With an id it is no first boot, on which systemd would enable every unit it finds.
    printf '6865616c65720000746573746d616368\n' >"$1/etc/machine-id"
    printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' >"$1/etc/systemd/system/default.target"
    ln -s /dev/null "$1/etc/systemd/system/console-getty.service"
}
