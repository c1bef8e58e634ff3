//! The list of pinned task agents: which versions of the task agent get an image of their own.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    task_agent: Vec<Pin>,
}

/// A version of the task agent, and the commit of this repository that it is built from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    version: String,
    revision: String,
}

/// Checks the list, and gives `VERSION REVISION` of each pin in a line.
pub(crate) fn lines(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    read(&text).with_context(|| format!("the list {} cannot be used", path.display()))
}

fn read(text: &str) -> anyhow::Result<String> {
    let list: List = toml::from_str(text)?;
    let mut lines = String::new();
    let mut versions = BTreeSet::new();
    for pin in &list.task_agent {
        anyhow::ensure!(
            is_tag(&pin.version),
            "`{}` cannot be part of an image's tag: letters, digits, `.`, `_` and `-`, at most 100",
            pin.version
        );
        anyhow::ensure!(versions.insert(&pin.version), "`{}` is there twice", pin.version);
        // A branch or a tag can be moved, and then it pins nothing.
        anyhow::ensure!(
            pin.revision.len() == 40 && pin.revision.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "`{}` is no commit: all its 40 digits are needed",
            pin.revision
        );
        let _ = writeln!(lines, "{} {}", pin.version, pin.revision);
    }
    Ok(lines)
}

/// Whether a tag may hold it, by the distribution specification's grammar.
fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 100
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || b".-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "cf34283f00000000000000000000000000000000";

    fn pin(version: &str, revision: &str) -> String {
        format!("[[task_agent]]\nversion = \"{version}\"\nrevision = \"{revision}\"\n")
    }

    #[test]
    fn each_pin_is_a_line() {
        let text = pin("0.1.0", COMMIT) + &pin("0.2.0", COMMIT);

        assert_eq!(read(&text).unwrap(), format!("0.1.0 {COMMIT}\n0.2.0 {COMMIT}\n"));
    }

    #[test]
    fn what_pins_nothing_is_refused() {
        for (text, why) in [
            (pin("0.1.0", "main"), "no commit"),
            (pin("0.1 0", COMMIT), "tag"),
            (pin("-rc", COMMIT), "tag"),
            (pin("0.1.0", COMMIT) + &pin("0.1.0", COMMIT), "twice"),
            (pin("0.1.0", COMMIT) + "branch = \"main\"\n", "unknown field"),
        ] {
            let error = format!("{:#}", read(&text).unwrap_err());

            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_list_of_this_repository_can_be_used() {
        let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("task-agents.toml");

        assert!(!lines(&list).unwrap().is_empty());
    }
}
