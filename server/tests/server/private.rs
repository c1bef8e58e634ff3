//! Private repositories: a host that asks for a password, and a real sshd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use api::{Cause, PipelineOutcome, Secret};
use internal_testing::{HttpHost, SshHost};
use server::config::{Credential, Repository, Token};

use crate::harness::{ONE_JOB, Repo, Server, job};

const TOKEN: &str = "ghs_0123456789hunter2";

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn with_token(url: &str, token: Token) -> Repository {
    let user = "bot".to_owned();
    Repository::new("acme/app", url)
        .and_then(|repository| repository.with_credential(Credential::Token { user, token }))
        .unwrap()
}

fn with_key(url: &str, key: &Path, known_hosts: &Path) -> Repository {
    let credential = Credential::Key {
        key: key.to_owned(),
        known_hosts: known_hosts.to_owned(),
    };
    Repository::new("acme/app", url)
        .and_then(|repository| repository.with_credential(credential))
        .unwrap()
}

/// What a push comes to.
async fn pushed(repo: &Repo, commit: &str, known: Repository) -> Result<(), (String, bool)> {
    let server = Server::start_with(&[], |config| config.repositories = vec![known]).await;
    let view = server.push(repo, commit).await;
    let result = match &view.summary.cause {
        None => {
            assert_eq!(job(&view, "build").state, "queued");
            Ok(())
        }
        Some(Cause::Clone { message, certain }) => {
            assert_eq!(view.summary.outcome, Some(PipelineOutcome::InfraFailed));
            Err((message.clone(), *certain))
        }
        Some(other) => panic!("{other:?}"),
    };
    let mirror = fs::read_to_string(server.data.path().join("git/acme/app.git/config")).unwrap();
    assert!(!mirror.contains(TOKEN) && !mirror.contains("remote"), "{mirror}");
    server.stop().await;
    result
}

#[tokio::test]
async fn a_token_opens_a_private_repository_and_may_be_renewed_while_the_server_runs() {
    let (repo, first) = Repo::with_config("acme/app", ONE_JOB);
    let root = repo.path().parent().unwrap();
    let path = format!("{}/.git", repo.path().file_name().unwrap().to_str().unwrap());
    let old = HttpHost::start(root, "bot", "an older token");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    private(&file, "an older token\n");
    let known = with_token(&old.url(&path), Token::File(file.clone()));
    let server = Server::start_with(&[], |config| config.repositories = vec![known]).await;

    assert_eq!(server.push(&repo, &first).await.summary.cause, None);
    old.change_password("bot", TOKEN);
    let second = repo.commit("README", "more");
    private(&file, TOKEN);
    assert_eq!(server.push(&repo, &second).await.summary.cause, None);
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_token_is_certain_and_told_in_gits_words_without_it() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let root = repo.path().parent().unwrap();
    let host = HttpHost::start(root, "bot", "another token");
    let url = host.url(&format!(
        "{}/.git",
        repo.path().file_name().unwrap().to_str().unwrap()
    ));
    let known = with_token(&url, Token::Here(Secret::new(TOKEN)));

    let (message, certain) = pushed(&repo, &commit, known).await.unwrap_err();

    assert!(certain, "{message}");
    assert!(
        message.contains("Authentication failed for 'http://127.0.0.1:"),
        "{message}"
    );
    // The host repeats what it was told.
    assert!(message.contains("remote: refused: bot:***"), "{message}");
    assert!(!message.contains(TOKEN), "{message}");
}

#[tokio::test]
async fn no_token_is_certain_too() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let root = repo.path().parent().unwrap();
    let host = HttpHost::start(root, "bot", TOKEN);
    let url = host.url(&format!(
        "{}/.git",
        repo.path().file_name().unwrap().to_str().unwrap()
    ));

    let (message, certain) = pushed(&repo, &commit, Repository::new("acme/app", &url).unwrap())
        .await
        .unwrap_err();

    assert!(certain, "{message}");
    // The second since git 2.46.
    let words = ["could not read Username", "unable to get password from user"];
    assert!(words.iter().any(|words| message.contains(words)), "{message}");
}

#[tokio::test]
async fn a_token_file_that_is_gone_may_come_back() {
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let host = HttpHost::start(repo.path(), "bot", TOKEN);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    private(&file, TOKEN);
    let known = with_token(&host.url(".git"), Token::File(file.clone()));
    fs::remove_file(&file).unwrap();

    let (message, certain) = pushed(&repo, &commit, known).await.unwrap_err();

    assert!(
        !certain && message.starts_with(&format!("cannot read {}", file.display())),
        "{message}"
    );
}

/// Needs OpenSSH's server; what ssh is told is also tested without one.
#[tokio::test]
#[allow(clippy::print_stderr)]
async fn a_deploy_key_opens_a_private_repository_and_no_other_key_or_host_will_do() {
    let Some(program) = SshHost::program() else {
        eprintln!("there is no sshd on this machine");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let host = SshHost::start(program, folder.path());
    let (repo, commit) = Repo::with_config("acme/app", ONE_JOB);
    let url = host.url(&repo.path().join(".git"));
    let key = |key: &str, hosts: &str| with_key(&url, &host.file(key), &host.file(hosts));

    let good = pushed(&repo, &commit, key("deploy", "known_hosts")).await;
    let strange = pushed(&repo, &commit, key("stranger", "known_hosts")).await;
    let impostor = pushed(&repo, &commit, key("deploy", "wrong_hosts")).await;

    assert_eq!(good, Ok(()));
    let (message, certain) = strange.unwrap_err();
    assert!(
        certain && message.contains("Permission denied (publickey"),
        "{message}"
    );
    let (message, certain) = impostor.unwrap_err();
    assert!(
        certain && message.contains("Host key verification failed"),
        "{message}"
    );
}
