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
