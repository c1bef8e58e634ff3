#!/usr/bin/env bash
# A Docker engine for the tests, beside any that this machine has: engine.sh start|stop|status|socket
#
#   start    starts it unless it runs, and prints its socket; GOATHERD_ENGINE_OWNER=GID may use it besides root
#   stop     ends it and all that runs in it, and removes what it stored
#   status   says how it stands: ends with 0 where it runs, 1 where a dead one left something, 3 where there is none
#   socket   prints where its socket is when it runs
#
# Each clone of this repository has one of its own. It has PID and mount namespaces of its own: whoever kills any of
# it, its containers, daemons and mounts go with it, and what is left is files and empty control groups. A start
# begins with removing these, those of clones that are gone included. Nothing in it is kept from one start to the
# next. It has no bridge and no rules for packets: containers have the host's network or none.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
name=goatherd-engine-$(printf %s "$top" | sha256sum | cut -c 1-8)
# Short, because the path of a socket has at most 107 bytes (unix(7)).
run=/run/$name
data=$top/target/engine

say() { printf 'engine: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# The start time of a process (proc_pid_stat(5), field 22): a number alone may be another's by now.
born() { sed -n 's/^.*) //p' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

# Whether the engine with this folder lives.
lives() {
    local pid time
    read -r pid time 2>/dev/null <"$1/pid" && [ -n "$time" ] && [ "$(born "$pid")" = "$time" ]
}

answers() { timeout 10 docker -H "unix://$run/docker.sock" version --format '{{.Server.Version}}' 2>/dev/null; }

# Ends the engine with this folder, whatever is left of it, and removes its files.
end() {
    local folder=$1 store=$2 pid group tries
    if lives "$folder"; then
        read -r pid _ <"$folder/pid"
        # Its end is that of the first process of its namespace, and with it of all.
        kill -9 "$pid" 2>/dev/null || true
    fi
    for group in /sys/fs/cgroup/{,*/}"${folder##*/}"; do
        [ -d "$group" ] || continue
        for tries in {1..200}; do
            # The deepest first. One is busy until the last of its processes is collected.
            find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
            [ -d "$group" ] || break
            sleep 0.05
        done
        [ ! -d "$group" ] || die "$group cannot be removed after $tries looks: something runs in it"
    done
    # Seen from here nothing is mounted there, and in its own namespace nothing is any more.
    rm -rf --one-file-system "$store" "$folder"
}

# Those whose clone is gone, which nobody else will ever end.
end_forsaken() {
    local folder clone
    for folder in /run/goatherd-engine-*; do
        [ -f "$folder/clone" ] || continue
        clone=$(cat "$folder/clone")
        [ -e "$clone/do" ] || { say "removing the engine of $clone, which is gone"; end "$folder" "$clone/target/engine"; }
    done
}

# The first process of the namespaces. Mounts of the host that come later are seen, and none goes back.
inside() {
    mount -t tmpfs -o mode=755 run /run/containerd
    # Here, so that nothing is there before the engine is.
    rm -rf "$run/exec"
    exec docker-init -s -- dockerd --host "unix://$run/docker.sock" --group "${GOATHERD_ENGINE_OWNER:-0}" \
        --data-root "$data" --exec-root "$run/exec" --pidfile "$run/dockerd.pid" --config-file "$run/config.json" \
        --cgroup-parent "/$name" --exec-opt native.cgroupdriver=cgroupfs \
        --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --userland-proxy=false
}

start() {
    local version pid tries
    if lives "$run" && version=$(answers); then
        say "Docker $version runs already"
        echo "$run/docker.sock"
        return
    fi
    for program in dockerd containerd runc docker docker-init; do
        command -v "$program" >/dev/null || die "there is no $program: ./do engine installs it"
    done
    end_forsaken
    end "$run" "$data"
    mkdir -p "$data" /run/containerd
    mkdir -m 755 "$run"
    printf '%s' "$top" >"$run/clone"
    echo '{}' >"$run/config.json"
    # Its group is that of whoever may use it; nobody else gets at the socket.
    setsid unshare --mount --propagation slave --pid --fork --kill-child --mount-proc \
        "$top/demo/engine.sh" inside </dev/null >"$run/log" 2>&1 9>&- &
    pid=$!
    echo "$pid $(born "$pid")" >"$run/pid"
    for tries in {1..300}; do
        if version=$(answers); then
            say "started Docker $version"
            echo "$run/docker.sock"
            return
        fi
        lives "$run" || break
        sleep 0.1
    done
    say "Docker does not start, looked $tries times. The end of its log:"
    tail -n 8 "$run/log" >&2
    end "$run" "$data"
    exit 1
}

status() {
    local version
    if lives "$run" && version=$(answers); then
        say "Docker $version runs, $run/docker.sock"
    elif [ -e "$run" ] || [ -e "$data" ]; then
        say 'one was killed or does not answer: start it, or stop it to remove what is left'
        exit 1
    else
        say 'there is none'
        exit 3
    fi
}

case "${1:-}" in
inside | start | stop | status) ;;
socket) echo "$run/docker.sock" && exit ;;
*) echo 'usage: demo/engine.sh start|stop|status|socket' >&2 && exit 2 ;;
esac
# Whoever this is: what root makes here the others could not remove.
mkdir -p "$top/target"
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die 'an engine needs root, and there is no sudo'
    exec sudo -n GOATHERD_ENGINE_OWNER="${GOATHERD_ENGINE_OWNER:-$(id -g)}" "$top/demo/engine.sh" "$1"
fi
if [ "$1" = inside ]; then inside; fi
# One at a time.
exec 9>"$top/target/engine.lock"
flock 9
case "$1" in
start) start ;;
status) status ;;
stop) end "$run" "$data" ;;
esac
