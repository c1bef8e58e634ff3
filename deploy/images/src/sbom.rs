//! The bill of materials of an image, as CycloneDX 1.6: its programs, and every crate that they link, with version,
//! licence and checksum, from `cargo tree` and Cargo.lock.
//!
//! What a task agent of the user's own links, nobody here knows: it is listed as a file alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::binary::Architecture;
use crate::blob;
use crate::moment;

/// A program of the image.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// Its name in the image.
    pub(crate) name: &'a str,
    pub(crate) bytes: &'a [u8],
    pub(crate) version: &'a str,
    /// The workspace and the crate that it is built from, where they are known.
    pub(crate) built_from: Option<(&'a Path, &'a str)>,
}

/// A crate that is linked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    licence: String,
    /// Of the package as the registry has it; none for our own.
    checksum: Option<String>,
}

/// The bill of the image `name` in that version, with these programs.
pub(crate) fn sbom(
    name: &str,
    version: &str,
    architecture: Architecture,
    time: u64,
    programs: &[Program<'_>],
) -> anyhow::Result<Vec<u8>> {
    let mut crates = BTreeSet::new();
    let mut files = Vec::new();
    let mut links = Vec::new();
    for program in programs {
        let linked = match program.built_from {
            Some((workspace, package)) => linked(workspace, package, architecture)?,
            None => BTreeSet::new(),
        };
        links.push(json!({
            "ref": program.name,
            "dependsOn": linked.iter().map(Crate::purl).collect::<BTreeSet<_>>(),
        }));
        files.push(json!({
            "type": "file",
            "bom-ref": program.name,
            "name": format!("/{}", program.name),
            "version": program.version,
            "hashes": [{"alg": "SHA-256", "content": blob::sha256_hex(program.bytes)}],
        }));
        crates.extend(linked);
    }
    // The same crate is one component, whichever workspace it was found in.
    let components: BTreeMap<String, Value> = crates
        .iter()
        .map(|linked| (linked.purl(), linked.component()))
        .collect();
    links.push(
        json!({"ref": "image", "dependsOn": programs.iter().map(|program| program.name).collect::<Vec<_>>()}),
    );
    let mut bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": moment::rfc3339(time),
            "component": {
                "type": "container",
                "bom-ref": "image",
                "name": name,
                "version": version,
                "properties": [{"name": "oci:platform", "value": format!("linux/{architecture}")}],
            },
        },
        "components": files.into_iter().chain(components.into_values()).collect::<Vec<_>>(),
        "dependencies": links,
    });
    bill["serialNumber"] = json!(serial(&blob::canonical(&bill)?));
    Ok(serde_json::to_vec_pretty(&bill)?)
}

/// A UUID that is the same for the same bill: version 8 of RFC 9562, which leaves the bits to us.
fn serial(bill: &[u8]) -> String {
    let digits = blob::sha256_hex(bill);
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-a{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

impl Crate {
    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version.replace('+', "%2B"))
    }

    fn component(&self) -> Value {
        let mut component = json!({
            "type": "library",
            "bom-ref": self.purl(),
            "purl": self.purl(),
            "name": self.name,
            "version": self.version,
            "licenses": [{"expression": self.licence}],
        });
        if let Some(checksum) = &self.checksum {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        component
    }
}

/// What `package` links for this architecture: itself and all crates below it, but none that only run while it is
/// built.
fn linked(workspace: &Path, package: &str, architecture: Architecture) -> anyhow::Result<BTreeSet<Crate>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--locked",
            "--offline",
            "--prefix=none",
            "--format={p}\t{l}",
        ])
        .args(["--edges=normal,no-proc-macro", "--package", package])
        .args(["--target", architecture.target()])
        .current_dir(workspace)
        .output()
        .context("could not run cargo")?;
    anyhow::ensure!(
        output.status.success(),
        "cargo could not say what `{package}` links: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let lock = workspace.join("Cargo.lock");
    let lock =
        std::fs::read_to_string(&lock).with_context(|| format!("could not read {}", lock.display()))?;
    crates(&String::from_utf8(output.stdout)?, &checksums(&lock)?)
}

/// Reads lines of `NAME vVERSION [(PATH)]`, a tab and the licence, with `(*)` at the end of those seen before.
fn crates(lines: &str, checksums: &BTreeMap<(String, String), String>) -> anyhow::Result<BTreeSet<Crate>> {
    let lines = lines.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let read = || {
                let (package, licence) = line.trim_end_matches(" (*)").split_once('\t')?;
                let mut words = package.split(' ');
                let name = words.next()?.to_owned();
                let version = words.next()?.strip_prefix('v')?.to_owned();
                let checksum = checksums.get(&(name.clone(), version.clone())).cloned();
                // Crates from before SPDX expressions write `MIT/Apache-2.0`.
                let licence = licence.replace('/', " OR ");
                (!licence.is_empty()).then_some(Crate {
                    name,
                    version,
                    licence,
                    checksum,
                })
            };
            read().with_context(|| format!("cargo names a crate without version or licence: {line}"))
        })
        .collect()
}

#[derive(Debug, Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    checksum: Option<String>,
}

fn checksums(lock: &str) -> anyhow::Result<BTreeMap<(String, String), String>> {
    let lock: Lock = toml::from_str(lock).context("Cargo.lock cannot be read")?;
    let with_checksum = lock.package.into_iter().filter_map(|package| {
        let checksum = package.checksum?;
        Some(((package.name, package.version), checksum))
    });
    Ok(with_checksum.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_cargo_becomes_a_crate() {
        let sums =
            checksums("[[package]]\nname = \"hex\"\nversion = \"0.4.3\"\nchecksum = \"ab\"\n").unwrap();

        let found = crates(
            "hex v0.4.3\tMIT/Apache-2.0 (*)\napi v0.1.0 (/some where)\tMIT OR Apache-2.0\n",
            &sums,
        )
        .unwrap();

        let found: Vec<_> = found
            .iter()
            .map(|found| (found.purl(), found.licence.as_str(), found.checksum.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("pkg:cargo/api@0.1.0".to_owned(), "MIT OR Apache-2.0", None),
                ("pkg:cargo/hex@0.4.3".to_owned(), "MIT OR Apache-2.0", Some("ab")),
            ]
        );
    }

    #[test]
    fn a_crate_without_a_licence_is_an_error() {
        let error = crates("secret v1.0.0\t\n", &BTreeMap::new()).unwrap_err();

        assert!(error.to_string().contains("secret v1.0.0"), "{error}");
    }
}
