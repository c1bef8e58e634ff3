//! `checkout`: the task's commit in a folder, by the git of the image.

use std::fs;
use std::path::Path;
use std::time::Duration;

use api::Cause;

use super::git::{Git, GitError, Remote, is_about_the_commit, is_certain};
use super::{Current, Failure};
use crate::decide::Ending;

/// The pauses before a fetch that failed is tried again.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(9),
];

/// Checks out.
pub(super) async fn checkout(current: Current<'_>, path: Option<&str>) -> Result<(), Failure> {
    let context = current.context;
    let source = &context.task.source;
    let folder = path.map_or_else(|| context.folder.clone(), |path| context.path(path));
    if !is_commit(&source.commit) || source.reference.starts_with('-') {
        let sentence = format!(
            "`{}` at `{}` is nothing that git knows",
            source.commit, source.reference
        );
        return Err(current.fail(1, &sentence).await);
    }
    if let Err(sentence) = prepare(&folder) {
        return Err(current.fail(1, &sentence).await);
    }
    let remote = Remote::of(source, context.client.base_url());
    let line = format!(
        "checking out {} of {} into {}",
        source.commit,
        remote.url,
        folder.display()
    );
    current.say(&line).await;
    let git = Git {
        current,
        folder: &folder,
    };
    for words in [
        init(&source.commit),
        &["config", "remote.origin.url", &remote.url],
        &[
            "config",
            "remote.origin.fetch",
            "+refs/heads/*:refs/remotes/origin/*",
        ],
    ] {
        local(&git, words).await?;
    }
    fetch(&git, &remote).await?;
    local(&git, &["checkout", "--force", "--detach", &source.commit]).await?;
    if source.reference.starts_with("refs/heads/") {
        local(&git, &["update-ref", &source.reference, &source.commit]).await?;
    }
    Ok(())
}

/// A repository has one kind of objects; which one is seen from the length of a commit's name.
fn init(commit: &str) -> &'static [&'static str] {
    match commit.len() {
        64 => &["init", "-q", "--object-format=sha256"],
        // A git before 2.29 knows no other, and no such option.
        _ => &["init", "-q"],
    }
}

fn is_commit(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The folder exists after this, and is empty or git's.
fn prepare(folder: &Path) -> Result<(), String> {
    let said = |what: &str, error: std::io::Error| format!("{} {what}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(|error| said("cannot be made", error))?;
    if folder.join(".git").exists() {
        return Ok(());
    }
    let mut content = fs::read_dir(folder).map_err(|error| said("cannot be read", error))?;
    if content.next().is_some() {
        return Err(format!(
            "{} is not empty and no git repository, so nothing is checked out into it",
            folder.display()
        ));
    }
    Ok(())
}

/// A call that talks to nobody. Its failure is the folder's or the disk's.
async fn local(git: &Git<'_>, words: &[&str]) -> Result<(), Failure> {
    match git.call(words).await? {
        Ok(()) => Ok(()),
        Err(GitError { code, words }) => Err(Failure::Failed {
            ending: Ending::code(code),
            cause: Cause::Clone {
                message: git.current.context.output.mask(&words),
                certain: false,
            },
        }),
    }
}

/// Fetches the commit; a failure that may pass is tried again.
async fn fetch(git: &Git<'_>, remote: &Remote) -> Result<(), Failure> {
    let current = git.current;
    let mut pauses = PAUSES.iter();
    loop {
        let Err(error) = fetch_once(git, remote).await? else {
            return Ok(());
        };
        let message = current.context.output.mask(&error.words);
        let certain = is_certain(&message);
        let Some(pause) = pauses.next().filter(|_| !certain) else {
            return Err(Failure::Failed {
                ending: Ending::code(error.code),
                cause: Cause::Clone { message, certain },
            });
        };
        let line = format!("the fetch failed and is tried again in {} s", pause.as_secs());
        current.say(&line).await;
        tokio::select! {
            () = tokio::time::sleep(*pause) => {}
            _ = current.context.supervisor.control.stopped() => {
                return Err(Failure::Stopped { ending: Ending::code(error.code) });
            }
        }
    }
}

/// Exactly the commit; where the server does not give out single commits, the whole ref, which must have it.
async fn fetch_once(git: &Git<'_>, remote: &Remote) -> Result<Result<(), GitError>, Failure> {
    let source = &git.current.context.task.source;
    let (commit, reference) = (source.commit.as_str(), source.reference.as_str());
    let target = match reference.strip_prefix("refs/heads/") {
        Some(branch) => format!("refs/remotes/origin/{branch}"),
        None => "refs/goatherd/fetched".to_owned(),
    };
    let fetch = |what: &str| format!("+{what}:{target}");
    let begin = [
        "fetch",
        "--no-tags",
        "--no-recurse-submodules",
        "--no-write-fetch-head",
        // Else nothing is taken from a source that has not all of its history itself.
        "--update-shallow",
        "origin",
    ];
    let exact = fetch(commit);
    let by_commit = git.call_remote(remote, &[&begin[..], &[&exact]].concat()).await?;
    match by_commit {
        Err(error) if is_about_the_commit(&error.words) => {}
        other => return Ok(other),
    }
    let whole = fetch(reference);
    if let Err(error) = git.call_remote(remote, &[&begin[..], &[&whole]].concat()).await? {
        return Ok(Err(error));
    }
    let there = format!("{commit}^{{commit}}");
    Ok(git
        .call(&["cat-file", "-e", &there])
        .await?
        .map_err(|_| GitError {
            code: 1,
            words: format!("commit {commit} is not found in {reference}: it was pushed over"),
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_commit_is_one() {
        assert!(is_commit(&"a1".repeat(20)));
        assert!(is_commit(&"a1".repeat(32)));
        for text in ["", "main", "--upload-pack=x", "a1b2c3d"] {
            assert!(!is_commit(text), "{text}");
        }
    }

    #[test]
    fn a_folder_with_something_else_in_it_is_refused_in_a_sentence() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("x"), "").expect("written");

        let sentence = prepare(folder.path()).expect_err("it is not empty");

        assert!(sentence.contains("is not empty"), "{sentence}");
        assert_eq!(prepare(&folder.path().join("new/deep")), Ok(()));
        fs::create_dir(folder.path().join(".git")).expect("made");
        assert_eq!(prepare(folder.path()), Ok(()));
    }
}
