#!/usr/bin/env bash
# The main job, for real: a repository, a server, an agent, a signed push; then the live log, the artifact and the
# audit trail. Ends with 0 only if the pipeline succeeded, the artifact is the one that was built and nothing is left.
#
#   demo.sh [--keep]    --keep: leaves everything up, and says how to look around and how to stop it
#
# GOATHERD_BIN names the folder with the binaries; `./do demo` sets it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
goatherd=${GOATHERD_BIN:?names the folder with the binaries; use ./do demo}/goatherd
keep=no
case "${1:-}" in
'') ;;
--keep) keep=yes ;;
*) echo "demo: unknown argument '$1'; there is --keep alone" >&2 && exit 2 ;;
esac

home=$(mktemp -d "${TMPDIR:-/tmp}/goatherd-demo-XXXXXX")
chmod 711 "$home"
server_pid='' agent_pid=''

step() { printf '\n== %s\n' "$*"; }

stop() {
    for pid in $agent_pid $server_pid; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$home"
}

fail() {
    printf '\ndemo: %s\n' "$*" >&2
    for log in server agent; do
        printf -- '--- the end of the %s log\n' "$log" >&2
        tail -n 25 "$home/$log.log" >&2 2>/dev/null || true
    done
    exit 1
}

trap stop EXIT
trap 'exit 130' INT TERM

# Waits until a command succeeds, 30 s at most.
until_ok() {
    local tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || return 1
        sleep 0.1
    done
}

step 'a small git repository with a .ci.yml of three jobs'
mkdir "$home/herd"
cp "$here/project/herd.c" "$home/herd/"
cp "$here/project/ci.yml" "$home/herd/.ci.yml"
git_here() { git -C "$home/herd" -c user.name=Demo -c user.email=demo@localhost "$@"; }
git_here init --quiet --initial-branch=main
git_here add --all
git_here commit --quiet --message 'Count goats'
commit=$(git_here rev-parse HEAD)
git_here log --oneline

step 'a server and an agent, as two processes'
secret=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
(umask 077 && printf '%s' "$secret" >"$home/hook-secret")
cat >"$home/goatherd.toml" <<TOML
listen = "127.0.0.1:0"
data = "$home/server"

[[repository]]
name = "demo/herd"
source = "$home/herd"

[[hook]]
name = "github"
provider = "github"
secret_file = "$home/hook-secret"
TOML
"$goatherd" server --config "$home/goatherd.toml" --address-file "$home/address" --admin-token-file "$home/admin-token" \
    >"$home/server.out" 2>"$home/server.log" &
server_pid=$!
until_ok test -s "$home/address" || fail 'the server did not start'
url=http://$(cat "$home/address")
export GOATHERD_URL=$url GOATHERD_TOKEN
GOATHERD_TOKEN=$(cat "$home/admin-token")
echo "server: process $server_pid at $url"

(umask 077 && "$goatherd" token create --class default >"$home/agent-token")
"$goatherd" agent --server "$url" --token-file "$home/agent-token" --state "$home/agent" >"$home/agent.out" 2>"$home/agent.log" &
agent_pid=$!
agent_decided() { grep -q 'ready for tasks' "$home/agent.log" || ! kill -0 "$agent_pid"; }
{ until_ok agent_decided && kill -0 "$agent_pid" 2>/dev/null; } || fail 'the agent cannot work on this machine'
echo "agent:  process $agent_pid, local driver"

step 'a GitHub push, signed with HMAC-SHA256'
cat >"$home/push.json" <<JSON
{"ref": "refs/heads/main", "before": "0000000000000000000000000000000000000000", "after": "$commit", "created": true, "deleted": false,
 "repository": {"id": 1, "name": "herd", "full_name": "demo/herd", "clone_url": "https://example.invalid/demo/herd.git", "default_branch": "main"},
 "pusher": {"name": "demo"}, "head_commit": {"id": "$commit", "message": "Count goats"}, "commits": []}
JSON
answer=$("$goatherd" webhook send --hook github --secret-file "$home/hook-secret" --event push "$home/push.json") || fail 'the server refused the push'
echo "$answer"
pipeline=$(printf '%s' "$answer" | sed -n 's/.*"pipeline": *"\([^"]*\)".*/\1/p')
[ -n "$pipeline" ] || fail 'the answer names no pipeline'

step 'the log, live'
"$goatherd" follow "$pipeline" | tee "$home/follow.txt" || fail 'the pipeline did not succeed'

step 'the artifact'
"$goatherd" artifact get "$pipeline" package herd.tar.gz --output "$home/herd.tar.gz" || fail 'there is no artifact'
built=$(sed -n 's/^.* \([0-9a-f]\{64\}\)  herd.tar.gz$/\1/p' "$home/follow.txt")
got=$(sha256sum "$home/herd.tar.gz" | cut -d ' ' -f 1)
tar -tzf "$home/herd.tar.gz"
[ -n "$built" ] && [ "$built" = "$got" ] || fail "the artifact ($got) is not what was built ($built)"
echo "sha256 $got: the one that was built"

step 'what the server recorded'
"$goatherd" audit

if [ "$keep" = yes ]; then
    trap - EXIT
    cat <<TEXT

It stays up. Look around:
  export GOATHERD_URL=$url GOATHERD_TOKEN=\$(cat $home/admin-token)
  $goatherd pipeline show $pipeline
  $goatherd follow $pipeline
  git -C $home/herd log; less $home/server.log $home/agent.log
Stop it:
  kill $agent_pid $server_pid && rm -r $home
TEXT
    exit 0
fi

step 'the end: everything is stopped'
trap - EXIT
stop
"$here/leftovers.sh" || { echo 'demo: there is something of Goatherd on this machine (above): left behind, or another one that runs' >&2; exit 1; }
echo 'The push ran three jobs, the artifact is the one that was built, and nothing is left behind.'
