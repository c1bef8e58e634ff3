//! What git and ssh are told, with the real git and a stand-in for ssh. Real servers are in the tests over the
//! binaries.

use std::ffi::OsStr;

use super::*;
use crate::config::Token;

fn token() -> Credential {
    Credential::Token {
        user: "bot".to_owned(),
        token: Token::Here(Secret::new("hunter2hunter2")),
    }
}

/// What git's own machinery gets for a server from the helper.
async fn asked(login: &Login, question: &str) -> (bool, String) {
    let mut command = Command::new("git");
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env_remove("GIT_ASKPASS")
        .env_remove("SSH_ASKPASS");
    login.prepare(&mut command);
    let script = command.args(["credential", "fill"]);
    let mut child = script
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, question.as_bytes())
        .await
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn the_helper_answers_for_the_sources_own_server_and_as_often_as_it_is_asked() {
    let login = Login::new(&token(), "https://git.example.com:8443/acme/app.git").unwrap();

    for _ in 0..2 {
        let (found, answer) = asked(&login, "protocol=https\nhost=git.example.com:8443\n\n").await;
        assert!(
            found && answer.contains("username=bot\npassword=hunter2hunter2\n"),
            "{answer}"
        );
    }
    for question in [
        "protocol=https\nhost=git.example.com\n\n",
        "protocol=http\nhost=git.example.com:8443\n\n",
        "protocol=https\nhost=evil.example.com:8443\n\n",
    ] {
        let (found, answer) = asked(&login, question).await;
        assert!(!found && !answer.contains("hunter2"), "{question}: {answer}");
    }
}

#[test]
fn the_token_is_in_no_argument_and_no_variable() {
    let login = Login::new(&token(), "https://git.example.com/a").unwrap();
    let mut command = Command::new("git");

    login.prepare(&mut command);

    let command = command.as_std();
    let told = command
        .get_args()
        .chain(command.get_envs().filter_map(|(_, value)| value))
        .map(OsStr::to_string_lossy);
    for text in told {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_message_in_which_a_server_repeats_the_token_is_cleaned() {
    let login = Login::new(&token(), "https://git.example.com/a").unwrap();
    let basic = STANDARD.encode("bot:hunter2hunter2");

    let words = login.without_secret(&format!("remote: bad token hunter2hunter2, {basic}"));

    assert_eq!(words, "remote: bad token ***, ***");
}

#[test]
fn ssh_is_told_of_one_key_and_one_list_of_hosts() {
    let credential = Credential::Key {
        key: "/etc/goatherd/key".into(),
        known_hosts: "/etc/goatherd/hosts".into(),
    };
    let login = Login::new(&credential, "git@example.com:acme/app").unwrap();
    let mut command = Command::new("git");

    login.prepare(&mut command);

    let ssh = command
        .as_std()
        .get_envs()
        .find(|(name, _)| *name == "GIT_SSH_COMMAND")
        .and_then(|(_, value)| value)
        .unwrap()
        .to_string_lossy();
    for option in [
        "-F /dev/null",
        "-oBatchMode=yes",
        "-oIdentitiesOnly=yes",
        "-oIdentityAgent=none",
        "-oIdentityFile=/etc/goatherd/key",
        "-oStrictHostKeyChecking=yes",
        "-oUserKnownHostsFile=/etc/goatherd/hosts",
        "-oGlobalKnownHostsFile=/dev/null",
    ] {
        assert!(ssh.contains(option), "{option} in {ssh}");
    }
}

#[test]
fn the_server_of_a_url_is_its_scheme_host_and_port() {
    for (url, server) in [
        ("https://example.com/acme/app.git", "https://example.com"),
        ("https://example.com:8443", "https://example.com:8443"),
        ("http://[::1]:80/a?b", "http://[::1]:80"),
    ] {
        assert_eq!(server_of(url), server);
    }
}
