//! The git repository that `run` takes its commit from.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tokio::process::Command;

/// The largest config file that is read.
const LARGEST_CONFIG: usize = 1024 * 1024;

/// A git repository with a commit checked out.
#[derive(Debug)]
pub(crate) struct Worktree {
    /// Its top folder.
    pub(crate) top: PathBuf,
    /// The commit, in full.
    pub(crate) commit: String,
    /// The branch as a ref, or `HEAD` where none is checked out.
    pub(crate) reference: String,
    /// Whether files differ from the commit.
    pub(crate) changed: bool,
}

/// The config file of a commit.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    /// Its path in the repository.
    pub(crate) name: &'static str,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

impl Worktree {
    /// The repository that `folder` is in.
    pub(crate) async fn around(folder: &Path) -> anyhow::Result<Self> {
        let top = line(folder, &["rev-parse", "--show-toplevel"])
            .await
            .with_context(|| {
                format!(
                    "{} is in no git repository; `goatherd run` runs what is committed",
                    folder.display()
                )
            })?;
        let top = PathBuf::from(top);
        let commit = line(&top, &["rev-parse", "--verify", "HEAD^{commit}"])
            .await
            .context("there is no commit yet; `goatherd run` runs what is committed")?;
        // It fails where no branch is checked out.
        let reference = line(&top, &["symbolic-ref", "--quiet", "HEAD"])
            .await
            .unwrap_or_else(|_| "HEAD".to_owned());
        let changed = !line(&top, &["status", "--porcelain"]).await?.is_empty();
        Ok(Self {
            top,
            commit,
            reference,
            changed,
        })
    }

    /// The repository's name: its folder's, as far as a repository's name on a server may be.
    pub(crate) fn name(&self) -> String {
        let name = self.top.file_name().unwrap_or_default().to_string_lossy();
        let plain = |found: char| {
            if found.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&found) {
                found
            } else {
                '-'
            }
        };
        let name: String = name.chars().map(plain).take(100).collect();
        let name = name
            .trim_start_matches(['.', '-'])
            .trim_end_matches(".git")
            .trim_end_matches(".lock");
        if name.is_empty() {
            "repository".to_owned()
        } else {
            name.to_owned()
        }
    }

    /// The first of the config files that the commit has.
    pub(crate) async fn config(&self) -> anyhow::Result<Option<ConfigFile>> {
        for name in pipeline::CONFIG_FILES {
            let object = format!("{}:{name}", self.commit);
            let kind = git(&self.top, &["cat-file", "-t", &object]).await?;
            if !kind.status.success() {
                continue;
            }
            let content = git(&self.top, &["cat-file", "blob", &object]).await?;
            if !content.status.success() {
                bail!("{name} is no file in this commit: {}", words(&content.stderr));
            }
            if content.stdout.len() > LARGEST_CONFIG {
                bail!("{name} is larger than {LARGEST_CONFIG} bytes");
            }
            return Ok(Some(ConfigFile {
                name,
                bytes: content.stdout,
            }));
        }
        Ok(None)
    }
}

async fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<std::process::Output> {
    Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run git; is it installed?")
}

/// What git prints, without the line end.
async fn line(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = git(folder, arguments).await?;
    if !output.status.success() {
        bail!("git says: {}", words(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(top: &str) -> String {
        let worktree = Worktree {
            top: PathBuf::from(top),
            commit: String::new(),
            reference: String::new(),
            changed: false,
        };
        worktree.name()
    }

    #[test]
    fn any_folder_gives_a_name_that_a_server_takes() {
        assert_eq!(named("/home/me/app"), "app");
        assert_eq!(named("/home/me/.my app.git"), "my-app");
        assert_eq!(named("/"), "repository");
    }
}
