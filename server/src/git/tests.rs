//! Against the real git, with sources in temporary folders.

use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::config::Known;

struct Source {
    folder: TempDir,
}

impl Source {
    fn new() -> Self {
        Self::with(&[])
    }

    /// With options of `git init`.
    fn with(options: &[&str]) -> Self {
        let source = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        source.git(&[&["init", "--quiet", "--initial-branch=main"], options].concat());
        source
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.com"])
            .args(arguments)
            .current_dir(self.folder.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, file: &str, text: &str) -> String {
        let path = self.folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "Change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn repository(&self) -> Repository {
        Repository::new("acme/app", self.folder.path().to_str().unwrap()).unwrap()
    }
}

fn mirrors() -> (TempDir, Mirrors) {
    let data = tempfile::tempdir().unwrap();
    let mirrors = Mirrors::open(data.path(), &GitSettings::default()).unwrap();
    (data, mirrors)
}

const NAMES: &[&str] = &[".ci.yml", ".circleci/config.yml"];

#[tokio::test]
async fn the_first_config_file_that_is_there_is_read_at_its_commit() {
    let source = Source::new();
    let first = source.commit(".circleci/config.yml", "two");
    let second = source.commit(".ci.yml", "one");
    let (_data, mirrors) = mirrors();
    let repository = source.repository();

    mirrors.fetch(&repository, &second).await.unwrap();
    mirrors.fetch(&repository, &first).await.unwrap();

    let newest = mirrors.config_file(&repository, &second, NAMES).await.unwrap();
    let older = mirrors.config_file(&repository, &first, NAMES).await.unwrap();
    let found = |name, bytes: &[u8]| ConfigFile::Found {
        name,
        bytes: bytes.to_vec(),
    };
    assert_eq!(newest, found(".ci.yml", b"one"));
    assert_eq!(older, found(".circleci/config.yml", b"two"));
}

#[tokio::test]
async fn a_commit_without_a_config_file_says_so() {
    let source = Source::new();
    let commit = source.commit("README", "hello");
    let (_data, mirrors) = mirrors();

    mirrors.fetch(&source.repository(), &commit).await.unwrap();

    let file = mirrors
        .config_file(&source.repository(), &commit, NAMES)
        .await
        .unwrap();
    assert_eq!(file, ConfigFile::Missing);
}

#[tokio::test]
async fn a_config_file_that_is_a_link_is_followed_as_far_as_the_repository_goes() {
    let (_data, mirrors) = mirrors();
    for (target, part) in [
        ("ci/deep/build.yml", None),
        ("ci/../ci/deep/build.yml", None),
        ("./ci/deep/build.yml", Some("without `./` in it")),
        ("/etc/passwd", Some("leads out of the repository, to /etc/passwd")),
        (
            "../../etc/passwd",
            Some("leads out of the repository, to ../../etc/passwd"),
        ),
        ("ci/absent.yml", Some("not in the commit")),
        (".ci.yml", Some("leads back to itself")),
        ("ci", Some("no file")),
    ] {
        let source = Source::new();
        std::os::unix::fs::symlink(target, source.folder.path().join(".ci.yml")).unwrap();
        let commit = source.commit("ci/deep/build.yml", "jobs");

        mirrors.fetch(&source.repository(), &commit).await.unwrap();

        let file = mirrors
            .config_file(&source.repository(), &commit, NAMES)
            .await
            .unwrap();
        match (&file, part) {
            (ConfigFile::Found { name, bytes }, None) => {
                assert_eq!((*name, bytes.as_slice()), (".ci.yml", &b"jobs"[..]));
            }
            (ConfigFile::Unusable { why, .. }, Some(part)) => assert!(why.contains(part), "{target}: {why}"),
            _ => panic!("{target}: {file:?}"),
        }
    }
}

#[tokio::test]
async fn a_config_in_a_folder_that_is_a_link_is_found() {
    let source = Source::new();
    std::os::unix::fs::symlink("ci", source.folder.path().join(".circleci")).unwrap();
    let commit = source.commit("ci/config.yml", "jobs");
    let (_data, mirrors) = mirrors();

    mirrors.fetch(&source.repository(), &commit).await.unwrap();

    let file = mirrors
        .config_file(&source.repository(), &commit, NAMES)
        .await
        .unwrap();
    assert!(
        matches!(
            file,
            ConfigFile::Found {
                name: ".circleci/config.yml",
                ..
            }
        ),
        "{file:?}"
    );
}

#[tokio::test]
async fn a_config_file_that_is_too_large_is_told_with_its_size() {
    let source = Source::new();
    let commit = source.commit(".ci.yml", &"#".repeat(1024 * 1024 + 1));
    let (_data, mirrors) = mirrors();

    mirrors.fetch(&source.repository(), &commit).await.unwrap();

    let file = mirrors
        .config_file(&source.repository(), &commit, NAMES)
        .await
        .unwrap();
    assert!(matches!(file, ConfigFile::Unusable { why, .. } if why.contains("1048577 bytes")));
}

#[tokio::test]
async fn a_repository_with_sha_256_has_a_mirror_of_its_kind() {
    let source = Source::with(&["--object-format=sha256"]);
    let first = source.commit(".ci.yml", "one");
    let (_data, mirrors) = mirrors();
    let repository = source.repository();
    // Somebody asks for what cannot be there, before anything was fetched.
    mirrors.fetch(&repository, &"1".repeat(40)).await.unwrap_err();

    mirrors.fetch(&repository, &first).await.unwrap();

    let file = mirrors.config_file(&repository, &first, NAMES).await.unwrap();
    assert!(matches!(file, ConfigFile::Found { bytes, .. } if bytes == b"one"));
    let error = mirrors.fetch(&repository, &"1".repeat(40)).await.unwrap_err();
    assert!(
        matches!(&error, GitError::Refused(why) if why.contains("a SHA-1 object") && why.contains("SHA-256 ones")),
        "{error:?}"
    );
    let second = source.commit(".ci.yml", "two");
    mirrors.fetch(&repository, &second).await.unwrap();
}

#[tokio::test]
async fn a_commit_that_a_forced_push_took_off_its_branch_is_fetched_by_its_name() {
    let source = Source::new();
    source.commit("a", "1");
    let lost = source.commit("a", "2");
    source.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let (_data, mirrors) = mirrors();

    mirrors.fetch(&source.repository(), &lost).await.unwrap();
}

#[tokio::test]
async fn a_branch_may_take_the_place_of_a_folder_of_branches() {
    let source = Source::new();
    let first = source.commit("a", "1");
    source.git(&["branch", "topic/one"]);
    let (_data, mirrors) = mirrors();
    mirrors.fetch(&source.repository(), &first).await.unwrap();
    source.git(&["branch", "--quiet", "-D", "topic/one"]);
    source.git(&["checkout", "--quiet", "-b", "topic"]);
    let second = source.commit("a", "2");

    mirrors.fetch(&source.repository(), &second).await.unwrap();
}

#[tokio::test]
async fn an_unknown_commit_and_a_missing_source_are_certain() {
    let source = Source::new();
    source.commit("a", "1");
    let (_data, mirrors) = mirrors();
    let unknown = "0123456789abcdef0123456789abcdef01234567";
    let nowhere = Repository::new("acme/nowhere", "/nonexistent/app.git").unwrap();

    let commit = mirrors.fetch(&source.repository(), unknown).await.unwrap_err();
    let missing = mirrors.fetch(&nowhere, unknown).await.unwrap_err();

    assert!(
        matches!(&commit, GitError::Refused(message) if message.contains(unknown) && message.contains("not our ref")),
        "{commit:?}"
    );
    assert!(
        matches!(&missing, GitError::Refused(message) if message.contains("does not appear to be a git repository")),
        "{missing:?}"
    );
}

#[tokio::test]
async fn what_is_no_commit_is_told_by_what_it_is() {
    let source = Source::new();
    let commit = source.commit("a", "1");
    source.git(&["tag", "--annotate", "v1", "--message", "One"]);
    source.git(&[
        "tag",
        "--annotate",
        "of-a-tree",
        "--message",
        "Tree",
        "HEAD^{tree}",
    ]);
    let (_data, mirrors) = mirrors();
    let repository = source.repository();

    for (name, words) in [
        (
            "v1",
            format!("is an annotated tag, and no commit: the commit that it points to is {commit}"),
        ),
        ("of-a-tree", "is an annotated tag, and no commit".to_owned()),
        ("HEAD^{tree}", "is a folder (a tree), and no commit".to_owned()),
        ("HEAD:a", "is a file (a blob), and no commit".to_owned()),
    ] {
        let object = source.git(&["rev-parse", name]);

        let refused = mirrors.fetch(&repository, &object).await;

        assert_eq!(
            refused,
            Err(GitError::Refused(format!("{object} {words}"))),
            "{name}"
        );
    }
    mirrors.fetch(&repository, &commit).await.unwrap();
}

#[tokio::test]
async fn a_source_that_refuses_connections_may_come_back() {
    let (_data, mirrors) = mirrors();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let repository = Repository::new("acme/app", &format!("http://127.0.0.1:{port}/app")).unwrap();

    let error = mirrors.fetch(&repository, &"1".repeat(40)).await.unwrap_err();

    assert!(matches!(error, GitError::Failed(_)), "{error:?}");
}

#[tokio::test]
async fn a_git_that_takes_too_long_is_ended() {
    // It accepts, and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (data, patient) = mirrors();
    let repository = Repository::new("acme/app", &format!("http://{address}/app")).unwrap();
    let mirror = patient.mirror(&repository);
    patient.make(&mirror, Format::Sha1).await.unwrap();
    let settings = GitSettings {
        timeout: api::Millis::seconds(1),
        ..GitSettings::default()
    };
    let hasty = Mirrors::open(data.path(), &settings).unwrap();

    let error = hasty.fetch_branches_and_tags(&repository, &mirror).await;

    assert_eq!(
        error,
        Err(GitError::Failed("git took longer than 1 s".to_owned()))
    );
}

#[tokio::test]
async fn locks_of_a_killed_git_are_gone_after_a_new_start() {
    let source = Source::new();
    let commit = source.commit("a", "1");
    let (data, mirrors) = mirrors();
    mirrors.fetch(&source.repository(), &commit).await.unwrap();
    let mirror = mirrors.mirror(&source.repository());
    fs::write(mirror.join("packed-refs.lock"), "").unwrap();
    fs::write(mirror.join("refs/heads/main.lock"), "").unwrap();

    let mirrors = Mirrors::open(data.path(), &GitSettings::default()).unwrap();

    let next = source.commit("a", "2");
    mirrors.fetch(&source.repository(), &next).await.unwrap();
}

#[tokio::test]
async fn a_repository_that_is_served_in_place_has_no_mirror_and_one_commit() {
    let source = Source::new();
    let first = source.commit("README", "hello");
    let second = source.commit(".ci.yml", "in the commit");
    let (data, mirrors) = mirrors();
    let repository = source.repository().served_in_place(Known {
        commit: second.clone(),
        config: ".ci.yml",
        bytes: b"as it was told".to_vec(),
    });

    mirrors.fetch(&repository, &second).await.unwrap();
    let refused = mirrors.fetch(&repository, &first).await.unwrap_err();

    let config = mirrors.config_file(&repository, &second, NAMES).await.unwrap();
    let bytes = b"as it was told".to_vec();
    assert_eq!(
        config,
        ConfigFile::Found {
            name: ".ci.yml",
            bytes
        }
    );
    assert_eq!(refused, GitError::Refused(format!("there is no commit {first}")));
    assert_eq!(mirrors.mirror(&repository), source.folder.path());
    let made: Vec<_> = fs::read_dir(data.path().join("git"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(made, ["gitconfig"]);
}
