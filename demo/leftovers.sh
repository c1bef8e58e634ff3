#!/usr/bin/env bash
# Prints every process, mount, cgroup, socket and temporary folder of Goatherd's on this machine, and exits 1
# when there is one. What a running server or agent rightly has is shown too: stop them first.
set -euo pipefail

found=0
show() {
    printf '%s\n' "$1"
    found=1
}

for process in /proc/[0-9]*; do
    program=$(readlink "$process/exe" 2>/dev/null) || continue
    case "${program% (deleted)}" in
    */goatherd | */orchestrator | */circleci-agent) ;;
    *)
        # What a task without namespaces started has its place in its environment. Whoever runs this in such a task
        # has it too, and is none.
        grep -qszE '^GOATHERD_PLACE=' "$process/environ" || continue
        grep -qszxF "GOATHERD_PLACE=${GOATHERD_PLACE-}" "$process/environ" && continue
        ;;
    esac
    show "process ${process#/proc/}: $(tr '\0' ' ' 2>/dev/null <"$process/cmdline" | cut -c 1-160)"
done

while read -r line; do
    show "mount: $line"
done < <(awk '$5 ~ /goatherd/ || $4 ~ /goatherd/ { print $5 }' /proc/self/mountinfo)

# The engine for tests (demo/engine.sh) is none while it runs.
engine_runs() {
    local pid
    read -r pid _ 2>/dev/null <"/run/${1##*/}/pid" && [ -e "/proc/$pid" ]
}

while read -r folder; do
    engine_runs "$folder" || show "cgroup: $folder"
done < <(find /sys/fs/cgroup -type d -name 'goatherd*' 2>/dev/null)

while read -r socket; do
    show "socket: $socket"
done < <(awk '$8 ~ /goatherd/ && $8 !~ "^/run/goatherd-engine-" { print $8 }' /proc/net/unix)

while read -r folder; do
    engine_runs "$folder" || show "temporary folder: $folder"
done < <(find "${TMPDIR:-/tmp}" /tmp /run /dev/shm -maxdepth 1 -name 'goatherd-*' 2>/dev/null | sort -u)

exit "$found"
