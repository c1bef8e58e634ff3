//! A program for an image: its bytes, and what it runs on.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::Context as _;
use oci_spec::image::Arch;

/// What an image runs on. The system is always Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    /// All that images are made for.
    pub(crate) const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// As the OCI specification names it.
    pub(crate) const fn oci(self) -> Arch {
        match self {
            Self::Amd64 => Arch::Amd64,
            Self::Arm64 => Arch::ARM64,
        }
    }

    /// The target for which Rust builds the binaries.
    pub(crate) const fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-musl",
            Self::Arm64 => "aarch64-unknown-linux-musl",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        })
    }
}

impl FromStr for Architecture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "amd64" => Ok(Self::Amd64),
            "arm64" => Ok(Self::Arm64),
            _ => Err(format!("`{text}` is no architecture of ours: amd64 or arm64")),
        }
    }
}

/// What a file runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunsOn {
    /// A machine program for this architecture.
    One(Architecture),
    /// A script.
    Any,
}

impl RunsOn {
    pub(crate) fn includes(self, architecture: Architecture) -> bool {
        self == Self::Any || self == Self::One(architecture)
    }
}

/// Reads a program, and what it runs on.
///
/// # Errors
/// When it cannot be read, is no program, or is one for another machine than an image of ours.
pub(crate) fn read(path: &Path) -> anyhow::Result<(Vec<u8>, RunsOn)> {
    let bytes = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    let runs_on = runs_on(&bytes).with_context(|| format!("{} cannot go into an image", path.display()))?;
    Ok((bytes, runs_on))
}

/// Reads a program for this architecture.
///
/// # Errors
/// As [`read`], and when it is for another architecture.
pub(crate) fn read_for(path: &Path, architecture: Architecture) -> anyhow::Result<Vec<u8>> {
    let (bytes, runs_on) = read(path)?;
    anyhow::ensure!(
        runs_on.includes(architecture),
        "{} is not for {architecture}",
        path.display()
    );
    Ok(bytes)
}

/// `e_ident` and `e_machine` of the ELF header, elf(5).
fn runs_on(bytes: &[u8]) -> anyhow::Result<RunsOn> {
    if bytes.starts_with(b"#!") {
        return Ok(RunsOn::Any);
    }
    anyhow::ensure!(
        bytes.starts_with(b"\x7fELF"),
        "it is neither an ELF program nor a script"
    );
    // 64 bits, little endian.
    anyhow::ensure!(bytes.get(4..6) == Some(&[2, 1]), "it is for another machine");
    match bytes.get(18..20) {
        Some([0x3e, 0]) => Ok(RunsOn::One(Architecture::Amd64)),
        Some([0xb7, 0]) => Ok(RunsOn::One(Architecture::Arm64)),
        _ => anyhow::bail!("it is for another machine than amd64 and arm64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(class: u8, machine: u8) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1]);
        bytes[18] = machine;
        bytes
    }

    #[test]
    fn the_architecture_is_that_of_the_elf_header() {
        assert_eq!(runs_on(&elf(2, 0x3e)).unwrap(), RunsOn::One(Architecture::Amd64));
        assert_eq!(runs_on(&elf(2, 0xb7)).unwrap(), RunsOn::One(Architecture::Arm64));
        assert_eq!(runs_on(b"#!/bin/sh\n").unwrap(), RunsOn::Any);
    }

    #[test]
    fn what_an_image_cannot_run_is_refused() {
        for bytes in [elf(1, 0x3e), elf(2, 0xf3), b"PK".to_vec(), Vec::new()] {
            assert!(runs_on(&bytes).is_err(), "{bytes:?}");
        }
    }
}
