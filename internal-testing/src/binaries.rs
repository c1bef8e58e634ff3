//! Where the compiled binaries are.

use std::path::PathBuf;

/// The folder that `./do build` fills, or `GOATHERD_BIN`.
///
/// # Panics
/// Where a binary is missing, with what to do about it.
#[must_use]
pub fn folder() -> PathBuf {
    let folder = std::env::var_os("GOATHERD_BIN").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bin/linux/amd64")),
        PathBuf::from,
    );
    for name in ["goatherd", "orchestrator", "circleci-agent"] {
        let path = folder.join(name);
        assert!(
            path.is_file(),
            "{} is missing: run `./do build` first",
            path.display()
        );
    }
    folder.canonicalize().expect("a folder that holds files exists")
}

/// The `goatherd` program.
#[must_use]
pub fn goatherd() -> PathBuf {
    folder().join("goatherd")
}

/// The task agent that obeys and misbehaves on request, which `./do test` builds. `src/bin/fake_task_agent` says
/// what it understands.
///
/// # Panics
/// Where it is missing, with what to do about it.
#[must_use]
pub fn fake_task_agent() -> PathBuf {
    let path = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/bin/testing/fake_task_agent"
    ));
    path.canonicalize()
        .unwrap_or_else(|_| panic!("{} is missing: run `./do build-fakes` first", path.display()))
}
