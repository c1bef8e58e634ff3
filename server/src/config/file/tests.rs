//! Configuration files, good and bad.

use super::*;
use crate::config::{Exposure, Protocol};

fn base() -> &'static Path {
    Path::new("/etc/goatherd")
}

fn error(text: &str) -> String {
    read(text, base()).unwrap_err().to_string()
}

#[test]
fn a_data_folder_is_enough() {
    let config = read("data = \"data\"", base()).unwrap();

    assert_eq!(config.data, Path::new("/etc/goatherd/data"));
    assert_eq!(config.listen.to_string(), "127.0.0.1:7624");
    assert_eq!(config.exposure, Exposure::Network);
    assert_eq!(config.terms, Terms::default());
    assert_eq!(config.default_resource_class, "default");
}

#[test]
fn everything_can_be_said() {
    let text = r#"
listen = "[::1]:80"
data = "/var/lib/goatherd"
public_url = "https://ci.example.com/"
default_resource_class = "acme/small"
default_time_limit = "2h"
largest_artifact_mib = 10

[terms]
presence = "3s"
lease_after = "10s"

[git]
tries = 2
backoff = "10ms"
timeout = "1m"

[[repository]]
name = "acme/app"
source = "repos/app.git"
clone_url = "https://example.com/acme/app.git"

[[hook]]
name = "github"
provider = "github"
secret = "hush"
"#;

    let config = read(text, base()).unwrap();

    assert_eq!(config.listen.to_string(), "[::1]:80");
    assert_eq!(config.public_url.as_deref(), Some("https://ci.example.com"));
    assert_eq!(config.default_time_limit, Millis::seconds(7200));
    assert_eq!(config.largest_artifact, 10 * 1024 * 1024);
    assert_eq!(config.terms.presence, Millis::seconds(3));
    assert_eq!(config.terms.lease_before, Millis::seconds(60));
    assert_eq!(config.git.tries, 2);
    assert_eq!(config.repositories[0].source(), "/etc/goatherd/repos/app.git");
    assert_eq!(config.repositories[0].protocol(), Protocol::File);
    assert_eq!(config.hooks[0].secret.expose(), "hush");
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let message = error("data = \"d\"\nlistne = \"127.0.0.1:1\"\n");

    assert!(message.starts_with("line 2: unknown field `listne`"), "{message}");
}

#[test]
fn broken_toml_is_named_with_its_line() {
    let message = error("data = \"d\"\n\n[terms\n");

    assert!(message.starts_with("line 3: "), "{message}");
}

#[test]
fn a_wrong_value_is_named_with_its_line() {
    for (text, start) in [
        (
            "data = \"d\"\nlisten = \"example.com\"",
            "line 2: `listen` is no address",
        ),
        (
            "data = \"d\"\npublic_url = \"ci\"",
            "line 2: `public_url` is no URL",
        ),
        (
            "data = \"d\"\ndefault_time_limit = \"5\"",
            "line 2: `5` is no duration",
        ),
        (
            "data = \"d\"\n\n[terms]\npresence = \"0s\"",
            "line 3: `presence` is shorter",
        ),
        (
            "data = \"d\"\n[[repository]]\nname = \"../x\"\nsource = \"/s\"",
            "line 3: repository `../x`: ",
        ),
        (
            "data = \"d\"\n[[repository]]\nname = \"x\"\nsource = \"ext::sh\"",
            "line 4: source of repository `x`: ",
        ),
        (
            "data = \"d\"\n[[hook]]\nname = \"x\"\nprovider = \"gitbub\"\nsecret = \"s\"",
            "line 4: hook `x`: there is no provider `gitbub`; known: github",
        ),
        (
            "data = \"d\"\n[[hook]]\nname = \"x\"\nprovider = \"github\"",
            "line 3: hook `x` needs exactly one of",
        ),
        (
            "data = \"d\"\n[[hook]]\nname = \"x\"\nprovider = \"github\"\nsecret = \"\"",
            "line 3: hook `x`: the secret is empty",
        ),
    ] {
        let message = error(text);

        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn the_same_name_twice_is_refused() {
    let message = error(
        "data = \"d\"\n[[repository]]\nname = \"a\"\nsource = \"/a\"\n[[repository]]\nname = \"A\"\nsource = \"/b\"",
    );

    assert_eq!(message, "line 6: repository `A` is there twice");
}

#[test]
fn a_secret_can_be_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "hush\n").unwrap();
    let text = "data = \"d\"\n[[hook]]\nname = \"x\"\nprovider = \"github\"\nsecret_file = \"secret\"";

    let config = read(text, folder.path()).unwrap();

    assert_eq!(config.hooks[0].secret.expose(), "hush");
}

#[test]
fn a_secret_that_is_nowhere_is_named_with_its_place() {
    let from_file =
        error("data = \"d\"\n[[hook]]\nname = \"x\"\nprovider = \"github\"\nsecret_file = \"none\"");
    let from_variable = error(
        "data = \"d\"\n[[hook]]\nname = \"x\"\nprovider = \"github\"\nsecret_env = \"GOATHERD_NO_SUCH\"",
    );

    assert!(
        from_file.starts_with("line 3: hook `x`: cannot read /etc/goatherd/none"),
        "{from_file}"
    );
    assert_eq!(
        from_variable,
        "line 3: hook `x`: the environment has no variable `GOATHERD_NO_SUCH`"
    );
}

/// A file of the operator's, for nobody else.
fn private(folder: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(folder.join(name), text).unwrap();
    std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_repository_has_a_credential_and_secrets() {
    use crate::config::{Credential, SecretsSource, Token};
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    for (name, text) in [("token", "t"), ("key", "k"), ("hosts", "h"), ("secrets", "A=b")] {
        private(base, name, text);
    }
    let text = r#"
data = "d"
secrets = {timeout = "5s", patience = "1m"}

[[repository]]
name = "acme/web"
source = "https://example.com/acme/web"
token_file = "token"
secrets_file = "secrets"

[[repository]]
name = "acme/app"
source = "ssh://git@example.com/acme/app"
ssh_key_file = "key"
known_hosts_file = "hosts"
secrets_command = ["bin/secrets", "acme/app"]

[[repository]]
name = "acme/lib"
source = "https://example.com/acme/lib"
token_file = "token"
token_user = "deploy-bot"
secrets_command = ["vault"]
"#;

    let config = read(text, base).unwrap();

    let token = |user: &str| Credential::Token {
        user: user.to_owned(),
        token: Token::File(base.join("token")),
    };
    let key = Credential::Key {
        key: base.join("key"),
        known_hosts: base.join("hosts"),
    };
    let command =
        |words: &[&str]| SecretsSource::Command(words.iter().map(|&word| word.to_owned()).collect());
    let [web, app, lib] = &config.repositories[..] else {
        panic!("three repositories")
    };
    assert_eq!(web.credential(), Some(&token("x-access-token")));
    assert_eq!(web.secrets(), Some(&SecretsSource::File(base.join("secrets"))));
    assert_eq!(app.credential(), Some(&key));
    let program = base.join("bin/secrets");
    assert_eq!(
        app.secrets(),
        Some(&command(&[program.to_str().unwrap(), "acme/app"]))
    );
    assert_eq!(lib.credential(), Some(&token("deploy-bot")));
    assert_eq!(lib.secrets(), Some(&command(&["vault"])));
    assert_eq!(config.secrets.timeout, Millis::seconds(5));
    assert_eq!(config.secrets.patience, Millis::seconds(60));
}

#[test]
fn a_credential_that_cannot_work_or_would_be_seen_is_refused_in_a_sentence() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    for name in ["token", "key", "hosts", "a key", "open"] {
        private(base, name, "x");
    }
    std::fs::set_permissions(base.join("open"), std::fs::Permissions::from_mode(0o604)).unwrap();
    private(base, "empty", "\n");
    private(base, "two", "a\nb\n");
    let (https, ssh) = ("https://example.com/a", "git@example.com:a");
    for (source, keys, why) in [
        (https, "token_file = 'none'", "cannot read "),
        (https, "token_file = 'open'", "(mode 0604): `chmod o= "),
        (https, "token_file = 'empty'", "is empty"),
        (https, "token_file = 'two'", "more than one line"),
        (
            https,
            "token_file = 'token'\ntoken_env = 'X'",
            "both `token_file` and `token_env`",
        ),
        (
            https,
            "token_env = 'GOATHERD_NO_SUCH'",
            "no variable `GOATHERD_NO_SUCH`",
        ),
        (https, "token_user = 'x'", "needs `token_file` or `token_env`"),
        (
            https,
            "ssh_key_file = 'key'\nknown_hosts_file = 'hosts'",
            "a key is for a source of ssh",
        ),
        (
            https,
            "token_file = 'token'\nssh_key_file = 'key'",
            "both a token and a key",
        ),
        ("http://example.com/a", "token_file = 'token'", "use https"),
        (
            "http://localhost.example.com/a",
            "token_file = 'token'",
            "use https",
        ),
        (
            "/srv/a",
            "token_file = 'token'",
            "a token is for a source of https",
        ),
        (ssh, "token_file = 'token'", "for ssh there is ssh_key_file"),
        (ssh, "ssh_key_file = 'key'", "needs `known_hosts_file`"),
        (ssh, "known_hosts_file = 'hosts'", "needs `ssh_key_file`"),
        (
            ssh,
            "ssh_key_file = 'open'\nknown_hosts_file = 'hosts'",
            "(mode 0604)",
        ),
        (
            ssh,
            "ssh_key_file = 'key'\nknown_hosts_file = 'none'",
            "cannot read ",
        ),
        (
            ssh,
            "ssh_key_file = 'a key'\nknown_hosts_file = 'hosts'",
            "ssh cannot be told of ",
        ),
        (https, "secrets_file = 'open'", "(mode 0604)"),
        (https, "secrets_file = 'token'", "line 1: it is no NAME=VALUE"),
        (https, "secrets_command = []", "a program with its arguments"),
        (
            https,
            "secrets_command = ['x']\nsecrets_file = 'token'",
            "both `secrets_file` and",
        ),
    ] {
        let text = format!("data = 'd'\n[[repository]]\nname = 'a'\nsource = '{source}'\n{keys}\n");

        let message = read(&text, base).unwrap_err().to_string();

        assert!(
            message.starts_with("line ") && message.contains(why),
            "{keys}: {message}"
        );
    }
    for url in [
        "http://127.0.0.1:3000/a",
        "http://localhost/a",
        "http://[::1]:80/a",
    ] {
        let text =
            format!("data = 'd'\n[[repository]]\nname = 'a'\nsource = '{url}'\ntoken_file = 'token'\n");
        assert!(read(&text, base).is_ok(), "{url}");
    }
}

#[test]
fn secrets_may_not_take_longer_than_a_task_agent_waits() {
    for (keys, why) in [
        ("timeout = '16s'", "longer than 15s"),
        ("patience = '5m'", "longer than 4m"),
    ] {
        let message = error(&format!("data = 'd'\n[secrets]\n{keys}"));

        assert!(
            message.starts_with("line 2: ") && message.contains(why),
            "{message}"
        );
    }
}

#[test]
fn a_repository_has_a_status_token_in_a_file_and_the_provider_an_api() {
    let folder = tempfile::tempdir().unwrap();
    private(folder.path(), "token", "hush\n");
    let text = "data = \"d\"\n[forge.github]\napi_url = \"https://ghe.example.com/api/v3/\"\n\
                [[repository]]\nname = \"acme/app\"\nsource = \"/a\"\nstatus_token_file = \"token\"\n\
                [[repository]]\nname = \"acme/quiet\"\nsource = \"/b\"\n";

    let config = read(text, folder.path()).unwrap();

    assert_eq!(config.statuses.len(), 1);
    let access = &config.statuses[0];
    assert_eq!(access.repository(), "acme/app");
    assert_eq!(access.api_url(), "https://ghe.example.com/api/v3");
    assert_eq!(access.token().expose(), "hush");
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn a_status_token_that_cannot_be_had_is_named_with_its_place() {
    let repository = "data = \"d\"\n[[repository]]\nname = \"a\"\nsource = \"/a\"\n";
    for (more, start) in [
        (
            "status_token_file = \"none\"",
            "line 3: repository `a`: cannot read /etc/goatherd/none",
        ),
        (
            "status_token_env = \"GOATHERD_NO_SUCH\"",
            "line 3: repository `a`: the environment has no variable",
        ),
        (
            "status_token_file = \"x\"\nstatus_token_env = \"Y\"",
            "line 3: repository `a`: it has both `status_token_file` and",
        ),
        (
            "[forge.github]\napi_url = \"http://ghe.example.com\"",
            "line 6: `api_url` is no URL of https",
        ),
        ("[forge.gitlab]", "line 5: unknown field `gitlab`"),
    ] {
        let message = error(&format!("{repository}{more}\n"));

        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn what_is_kept_is_told_in_days_or_never() {
    let text = "data = \"d\"\n[retention]\npipelines = \"never\"\nlogs = \"7d\"\nmax_logs_mib = 2\n\
                [limits]\nmin_free_mib = 3\nconnections = 4\nheader_timeout = \"5s\"";

    let config = read(text, Path::new("/etc/goatherd")).unwrap();

    assert_eq!(config.retention.pipelines, None);
    assert_eq!(config.retention.logs, Some(Millis::seconds(7 * 24 * 3600)));
    assert_eq!(config.retention.artifacts, Some(Millis::seconds(30 * 24 * 3600)));
    assert_eq!(config.retention.most_log_bytes, Some(2 * 1024 * 1024));
    assert_eq!(config.least_free, Some(3 * 1024 * 1024));
    assert_eq!(config.limits.connections, 4);
    assert_eq!(config.limits.header_timeout, Millis::seconds(5));
}

#[test]
fn what_would_be_kept_for_no_time_is_refused() {
    let message = error("data = \"d\"\n[retention]\nlogs = \"59m\"");

    assert!(
        message.starts_with("line 2: `logs` is kept for less than an hour"),
        "{message}"
    );
    let message = error("data = \"d\"\n[retention]\nlogs = \"soon\"");
    assert!(message.contains("`never`"), "{message}");
}
