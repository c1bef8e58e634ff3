//! Runs `images`, and reads what it wrote.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// The commit that the images of these tests claim to be built from.
pub(crate) const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// A folder to work in, with small programs for both architectures.
pub(crate) struct Scene {
    folder: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (architecture, machine) in [("amd64", 0x3e), ("arm64", 0xb7)] {
            let binaries = folder.path().join(architecture);
            fs::create_dir(&binaries).unwrap();
            for name in ["orchestrator", "circleci-agent"] {
                fs::write(binaries.join(name), elf(machine, name.as_bytes())).unwrap();
            }
        }
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `images assemble` for both architectures, with these words more.
    pub(crate) fn assemble(&self, out: &str, more: &[&str]) -> Output {
        let amd64 = format!("amd64={}", self.path("amd64").display());
        let arm64 = format!("arm64={}", self.path("arm64").display());
        let mut words = vec!["--binaries", &amd64, "--binaries", &arm64];
        words.extend(more);
        assemble(&self.path(out), &words)
    }
}

/// A file that has an ELF header, and nothing that could be run.
pub(crate) fn elf(machine: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
    bytes[18] = machine;
    bytes.extend(rest);
    bytes
}

/// `images` with these words.
pub(crate) fn images() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_images"));
    // Nobody's own credentials are for a test.
    command.env("DOCKER_CONFIG", "/nonexistent");
    command
}

/// `images assemble` into `out`.
pub(crate) fn assemble(out: &Path, words: &[&str]) -> Output {
    let name: &[&str] = if words.contains(&"--name") {
        &[]
    } else {
        &["--name=goatherd/runner-init"]
    };
    images()
        .args(["assemble", "--tag=1.2.3", "--version=1.2.3"])
        .args(["--revision", REVISION, "--created=1772323200"])
        .args([OsStr::new("--workspace"), workspace().as_os_str()])
        .args([OsStr::new("--out"), out.as_os_str()])
        .args(name)
        .args(words)
        .output()
        .unwrap()
}

/// The folder of this repository.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// What a command that must succeed wrote to standard output.
pub(crate) fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An OCI layout, read without the code that wrote it.
pub(crate) struct Layout(pub(crate) PathBuf);

impl Layout {
    pub(crate) fn index(&self) -> Value {
        serde_json::from_slice(&fs::read(self.0.join("index.json")).unwrap()).unwrap()
    }

    /// The bytes that a descriptor names, whose digest and size are looked at.
    pub(crate) fn blob(&self, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let bytes = fs::read(self.0.join("blobs").join(digest.replace(':', "/"))).unwrap();
        assert_eq!(format!("sha256:{}", sha256(&bytes)), digest);
        assert_eq!(
            Some(u64::try_from(bytes.len()).unwrap()),
            descriptor["size"].as_u64()
        );
        bytes
    }

    pub(crate) fn json(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(&self.blob(descriptor)).unwrap()
    }

    /// The descriptor of the image itself, which is an index of architectures.
    pub(crate) fn image(&self) -> Value {
        self.index()["manifests"][0].clone()
    }

    /// The descriptors of the images for each architecture.
    pub(crate) fn manifests(&self) -> Vec<Value> {
        self.json(&self.image())["manifests"].as_array().unwrap().clone()
    }

    /// The files of a layer: name, permission bits, contents.
    pub(crate) fn files(&self, layer: &Value) -> Vec<(String, u32, Vec<u8>)> {
        let bytes = self.blob(layer);
        files(flate2::read::GzDecoder::new(bytes.as_slice()))
    }
}

/// The files of an archive: name, permission bits, contents.
pub(crate) fn files(archive: impl std::io::Read) -> Vec<(String, u32, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            let mode = header.mode().unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), mode, bytes)
        })
        .collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// All files of a folder, with their contents, in order.
pub(crate) fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
