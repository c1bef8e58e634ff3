#!/usr/bin/env bash
# Makes a minimal Debian with nothing but git and sudo, and in it clones what is committed here, runs `./do demo`
# twice and `./do test`, and prints how long each took. Needs root. Its processes and mounts are in namespaces of its
# own, so that they go with it however it ends; the network is the host's.
#
#   bare.sh [--user|--root] [SUITE [COMMAND...]]
#
# --user: an ordinary user who may use sudo (as without any); --root: root. SUITE: trixie (as without any) or another
# of Debian's. COMMAND is run in the clone instead. The root's archive stays in target/bare for the next time.
set -euo pipefail

# As process 1 of the namespaces: makes ROOT that of a machine, goes there for good and runs /bare/run as USER.
# Not by chroot: who is in one may not make user namespaces.
inside() {
    local root=$1 user=$2
    shift 2
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 dev "$root/dev"
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
    cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$root/dev/"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    hostname bare
    cd "$root"
    pivot_root . .
    umount --lazy .
    cd /
    exec setpriv --reuid "$user" --regid "$user" --init-groups env -i "$@" bash /bare/run
}

# What the user runs.
run() {
    cat <<'RUN'
set -euo pipefail
timed() {
    TIMEFORMAT="## $* as $(id -un): %1R s"
    time "$@"
}
cd
git -c init.defaultBranch=main -c advice.detachedHead=false clone --quiet /bare/goatherd.bundle goatherd
cd goatherd
RUN
    if [ "$#" -gt 0 ]; then printf 'timed%s\n' "$(printf ' %q' "$@")"
    else printf 'timed %s\n' './do demo' './do demo' './do test'; fi
}

if [ "${1:-}" = --inside ]; then
    shift
    inside "$@"
fi

user=dev home=/home/dev
case "${1:-}" in
--user) shift ;;
--root) user=root home=/root && shift ;;
-*) echo "bare: $1 is not known: [--user|--root] [SUITE [COMMAND...]]" >&2 && exit 2 ;;
esac
suite=${1:-trixie}
[ "$#" = 0 ] || shift
[ "$(id -u)" = 0 ] || { echo 'bare: making a Debian needs root' >&2 && exit 1; }

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
archive=$top/target/bare/$suite.tar
mkdir -p "$top/target/bare"
if ! [ -e "$archive" ]; then
    echo "bare: making a minimal Debian $suite; it stays in ${archive#"$top"/}" >&2
    mmdebstrap --quiet --variant=minbase --include=git,sudo,ca-certificates --format=tar "$suite" "$archive.new"
    mv "$archive.new" "$archive"
fi

# Not below /tmp, which may be in memory: a build takes some gigabytes.
work=$(mktemp -d "$top/target/bare/work-XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM
root=$work/root
mkdir "$root"
tar --extract --numeric-owner --file "$archive" --directory "$root" --exclude='./dev/*'

# What the host needs to reach the network, this root needs too.
cp --dereference /etc/resolv.conf "$root/etc/resolv.conf"
echo '127.0.0.1 localhost bare' >"$root/etc/hosts"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
settings=(HOME="$home" USER="$user" LOGNAME="$user" LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin)
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL RUSTUP_DIST_SERVER RUSTUP_UPDATE_ROOT; do
    [ -z "${!name:-}" ] || settings+=("$name=${!name}")
done

if [ "$user" != root ]; then
    chroot "$root" useradd --create-home --shell /bin/bash "$user"
    echo "$user ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/$user"
    chmod 440 "$root/etc/sudoers.d/$user"
else
    settings[4]=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
fi
mkdir "$root/bare"
git -C "$top" bundle create --quiet "$root/bare/goatherd.bundle" HEAD
run "$@" >"$root/bare/run"
chmod -R a+rX "$root/bare"

unshare --mount --propagation private --pid --fork --kill-child --uts --ipc --cgroup \
    "${BASH_SOURCE[0]}" --inside "$root" "$user" "${settings[@]}" </dev/null
