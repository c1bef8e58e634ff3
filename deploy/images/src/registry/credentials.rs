//! Who we are to a registry: what `docker login` and its like have stored, by `config.json` itself or by the helper
//! program that it names.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use api::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// A name and its password.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Secret,
}

/// `config.json`, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Auth {
    auth: Option<Secret>,
}

/// What a helper program answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: Secret,
}

/// The credentials for this registry, if there are any: from the folder `DOCKER_CONFIG`, or `~/.docker`.
pub(crate) fn find(registry: &str) -> anyhow::Result<Option<Credentials>> {
    let folder = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
    let Some(folder) = folder else { return Ok(None) };
    let path = folder.join("config.json");
    match std::fs::read(&path) {
        Ok(bytes) => read(&bytes, registry).with_context(|| format!("{} cannot be used", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

fn read(config: &[u8], registry: &str) -> anyhow::Result<Option<Credentials>> {
    let config: Config = serde_json::from_slice(config)?;
    // `docker login` stores the credentials for docker.io under the address of its first registry.
    let key = match registry {
        "docker.io" => "https://index.docker.io/v1/",
        other => other,
    };
    let helper = config.cred_helpers.get(key).or(config.creds_store.as_ref());
    if let Some(helper) = helper {
        return ask(Path::new(&format!("docker-credential-{helper}")), key);
    }
    let Some(auth) = config.auths.get(key).and_then(|auth| auth.auth.as_ref()) else {
        return Ok(None);
    };
    let text = STANDARD
        .decode(auth.expose())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.with_context(|| format!("`auth` of {key} is no base64 of text"))?;
    let (user, password) = text
        .split_once(':')
        .with_context(|| format!("`auth` of {key} is no base64 of NAME:PASSWORD"))?;
    Ok(Some(Credentials {
        user: user.to_owned(),
        password: Secret::new(password),
    }))
}

/// Asks a helper program; that it knows nothing of a registry is no error.
fn ask(helper: &Path, registry: &str) -> anyhow::Result<Option<Credentials>> {
    let asked = || -> anyhow::Result<_> {
        let mut child = Command::new(helper)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut input = child.stdin.take().context("the child has a standard input")?;
        input.write_all(registry.as_bytes())?;
        drop(input);
        Ok(child.wait_with_output()?)
    };
    let output = asked().with_context(|| format!("could not ask {}", helper.display()))?;
    if !output.status.success() {
        return Ok(None);
    }
    let answer: Answer = serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "{} answers with something else than credentials",
            helper.display()
        )
    })?;
    Ok(Some(Credentials {
        user: answer.username,
        password: answer.secret,
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn credentials_are_those_of_the_registry_that_is_asked_for() {
        let config =
            br#"{"auths": {"r.example.com": {"auth": "Z29hdDpoYXk6MQ=="}, "other": {}}, "detachKeys": ""}"#;

        let found = read(config, "r.example.com").unwrap().unwrap();

        assert_eq!((found.user.as_str(), found.password.expose()), ("goat", "hay:1"));
        for unknown in ["other", "example.com"] {
            assert!(read(config, unknown).unwrap().is_none(), "{unknown}");
        }
    }

    #[test]
    fn a_broken_auth_is_told_without_its_contents() {
        let error = read(br#"{"auths": {"r": {"auth": "c2VjcmV0"}}}"#, "r").unwrap_err();

        let error = format!("{error:#}");
        assert!(error.contains("NAME:PASSWORD"), "{error}");
        assert!(
            !error.contains("c2VjcmV0") && !error.contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn a_helper_is_asked_for_the_registry() {
        let folder = tempfile::tempdir().unwrap();
        let helper = folder.path().join("helper");
        let script = "#!/bin/sh\nread -r name; [ \"$1/$name\" = get/r ] && echo '{\"Username\": \"goat\", \"Secret\": \"hay\"}'\n";
        std::fs::write(&helper, script).unwrap();
        std::fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();

        let found = ask(&helper, "r").unwrap().unwrap();

        assert_eq!((found.user.as_str(), found.password.expose()), ("goat", "hay"));
        assert!(ask(&helper, "another").unwrap().is_none());
    }
}
