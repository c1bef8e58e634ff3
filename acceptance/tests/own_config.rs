//! This repository's own config is one that Goatherd takes.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use internal_testing::binaries;

#[test]
fn the_config_of_this_repository_has_no_error_and_no_warning() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci.yml");

    let output = Command::new(binaries::goatherd())
        .arg("check")
        .arg(&config)
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("warning"), "{said}");
}
