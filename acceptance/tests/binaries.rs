//! What ships: three static programs.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use internal_testing::binaries;

const NAMES: [&str; 3] = ["goatherd", "orchestrator", "circleci-agent"];

#[test]
fn no_binary_needs_an_interpreter_or_a_shared_library() {
    for name in NAMES {
        let path = binaries::folder().join(name);

        let output = Command::new("readelf")
            .args(["--wide", "--program-headers", "--dynamic"])
            .arg(&path)
            .output();

        let output = output.expect("readelf runs; Debian's binutils has it");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("LOAD"),
            "readelf could not read {}",
            path.display()
        );
        for sign in ["INTERP", "(NEEDED)"] {
            assert!(!text.contains(sign), "{name} has {sign}:\n{text}");
        }
    }
}

#[test]
fn every_binary_says_its_version() {
    for name in NAMES {
        let output = Command::new(binaries::folder().join(name))
            .arg("--version")
            .output()
            .unwrap();

        let text = String::from_utf8_lossy(&output.stdout);
        // A build that is no release calls itself `dev`.
        let is_version = |word: &str| word == "dev" || word.starts_with(|first: char| first.is_ascii_digit());
        assert!(
            output.status.success() && text.split_whitespace().any(is_version),
            "{name}: {text}"
        );
    }
}
