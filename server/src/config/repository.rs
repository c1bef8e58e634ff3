//! A repository that the server knows, and what its source allows git to do.

use std::path::{Path, PathBuf};

use super::{ConfigError, Credential, SecretsSource};

/// A repository. Where it is cloned from is decided here and never by a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    name: String,
    source: String,
    protocol: Protocol,
    clone_url: Option<String>,
    in_place: Option<Known>,
    credential: Option<Credential>,
    secrets: Option<SecretsSource>,
}

/// A commit, and the config file in it, as whoever made the repository knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The commit, in full.
    pub commit: String,
    /// The config file's name, one of [`pipeline::CONFIG_FILES`].
    pub config: &'static str,
    /// What is in that file.
    pub bytes: Vec<u8>,
}

/// How git reaches a source: the only protocol that it may use then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A folder of this machine.
    File,
    /// HTTP with TLS.
    Https,
    /// HTTP without TLS.
    Http,
    /// SSH.
    Ssh,
    /// git's own, without TLS.
    Git,
}

impl Protocol {
    /// The word in `GIT_ALLOW_PROTOCOL`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::Git => "git",
        }
    }
}

impl Repository {
    /// Names a repository and says where the server clones it from: a path, or a URL that carries no
    /// password.
    ///
    /// # Errors
    /// When the name cannot be part of a path and a URL, or the source is no source.
    pub fn new(name: &str, source: &str) -> Result<Self, ConfigError> {
        Self::with_base(name, source, Path::new(""))
    }

    /// As [`new`](Self::new), with the folder that a relative path is relative to.
    pub(super) fn with_base(name: &str, source: &str, base: &Path) -> Result<Self, ConfigError> {
        check_name(name).map_err(|why| ConfigError::new(format!("repository `{name}`: {why}")))?;
        let (source, protocol) = check_source(source, base)
            .map_err(|why| ConfigError::new(format!("source of repository `{name}`: {why}")))?;
        Ok(Self {
            name: name.to_owned(),
            source,
            protocol,
            clone_url: None,
            in_place: None,
            credential: None,
            secrets: None,
        })
    }

    /// Tells task agents to check out from another URL than the server's own `/git/NAME`.
    ///
    /// # Errors
    /// When it is no URL, or carries a password.
    pub fn with_clone_url(mut self, url: &str) -> Result<Self, ConfigError> {
        let wrong = |why: String| ConfigError::new(format!("clone_url of repository `{}`: {why}", self.name));
        match check_source(url, Path::new("/")) {
            Ok((_, Protocol::File)) => {
                return Err(wrong("it must be a URL that task agents can reach".to_owned()));
            }
            Ok(_) => {}
            Err(why) => return Err(wrong(why)),
        }
        self.clone_url = Some(url.to_owned());
        Ok(self)
    }

    /// The source, a bare repository of this machine, is served as it is: no mirror is made, and git is not asked
    /// about the one commit, of which all is `known`. Only for a source that stays as it is while the server runs;
    /// no other commit of it can be built.
    #[must_use]
    pub fn served_in_place(mut self, known: Known) -> Self {
        self.in_place = (self.protocol == Protocol::File).then_some(known);
        self
    }

    /// Lets the server log in at the source.
    ///
    /// # Errors
    /// When the credential is not there, is open to everybody, or does not fit the source.
    pub fn with_credential(mut self, credential: Credential) -> Result<Self, ConfigError> {
        credential
            .check(&self.source, self.protocol)
            .map_err(|why| ConfigError::new(format!("credential of repository `{}`: {why}", self.name)))?;
        self.credential = Some(credential);
        Ok(self)
    }

    /// Gives secrets to the `run` steps of its jobs.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn with_secrets(mut self, source: SecretsSource) -> Result<Self, ConfigError> {
        source
            .check()
            .map_err(|why| ConfigError::new(format!("secrets of repository `{}`: {why}", self.name)))?;
        self.secrets = Some(source);
        Ok(self)
    }

    /// Its name: the provider's full name, such as `acme/app`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the server clones it from: an absolute path or a URL.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How git reaches the source.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The folder that stands in for a mirror, and the commit that can be built, where it is served as it is.
    pub(crate) fn in_place(&self) -> Option<(&Path, &Known)> {
        let source = self.source.strip_prefix("file://").unwrap_or(&self.source);
        self.in_place.as_ref().map(|known| (Path::new(source), known))
    }

    /// Where task agents check it out from; the server's own `/git/NAME` where absent.
    #[must_use]
    pub fn clone_url(&self) -> Option<&str> {
        self.clone_url.as_deref()
    }

    /// How the server logs in at the source. No task ever gets it.
    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    /// Where its secrets come from.
    pub(crate) fn secrets(&self) -> Option<&SecretsSource> {
        self.secrets.as_ref()
    }
}

/// Names become folders and URL paths, so each part is a plain word; `.git` is added there.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    for part in name.split('/') {
        if part.is_empty() || !part.bytes().all(plain) {
            return Err(
                "a name is words of a to z, digits, `.`, `-` and `_`, with `/` between them".to_owned(),
            );
        }
        if part.starts_with(['.', '-']) || part.ends_with(".git") || part.ends_with(".lock") {
            return Err("a word of it begins with `.` or `-`, or ends in `.git` or `.lock`".to_owned());
        }
    }
    if name.len() > 200 {
        Err("it is longer than 200 bytes".to_owned())
    } else {
        Ok(())
    }
}

fn check_source(source: &str, base: &Path) -> Result<(String, Protocol), String> {
    if source.is_empty() || source.starts_with('-') || source.chars().any(char::is_control) {
        return Err("it is empty, begins with `-` or holds control characters".to_owned());
    }
    if let Some((scheme, rest)) = source.split_once("://") {
        let protocol = match scheme {
            "file" => Protocol::File,
            "https" => Protocol::Https,
            "http" => Protocol::Http,
            "ssh" => Protocol::Ssh,
            "git" => Protocol::Git,
            other => return Err(format!("`{other}` is none of file, https, http, ssh and git")),
        };
        refuse_password(protocol, rest)?;
        return Ok((source.to_owned(), protocol));
    }
    let before_slash = source.split('/').next().unwrap_or_default();
    if before_slash.contains("::") {
        return Err("git's remote helpers (`NAME::ADDRESS`) are not allowed".to_owned());
    }
    if before_slash.contains(':') {
        return Ok((source.to_owned(), Protocol::Ssh));
    }
    let path = absolute(base, source)?;
    let text = path.to_str().ok_or("the path is no UTF-8")?;
    Ok((text.to_owned(), Protocol::File))
}

fn absolute(base: &Path, path: &str) -> Result<PathBuf, String> {
    std::path::absolute(base.join(path)).map_err(|error| format!("`{path}` cannot be made absolute: {error}"))
}

/// What is in a URL is in the argument list of git and its helpers, where every user of the machine reads it.
fn refuse_password(protocol: Protocol, rest: &str) -> Result<(), String> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else {
        return Ok(());
    };
    let secret = user.contains(':') || matches!(protocol, Protocol::Https | Protocol::Http);
    if secret {
        Err(
            "a URL must carry no credentials: give the repository a `token_file` or an `ssh_key_file`"
                .to_owned(),
        )
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_decides_the_only_protocol() {
        for (source, protocol) in [
            ("/srv/git/app", Protocol::File),
            ("file:///srv/git/app", Protocol::File),
            ("https://example.com/acme/app.git", Protocol::Https),
            ("http://localhost:3000/acme/app", Protocol::Http),
            ("ssh://git@example.com/acme/app", Protocol::Ssh),
            ("git@example.com:acme/app.git", Protocol::Ssh),
            ("git://example.com/acme/app", Protocol::Git),
        ] {
            let repository = Repository::new("acme/app", source).unwrap();

            assert_eq!(repository.protocol(), protocol, "{source}");
            assert_eq!(repository.source(), source);
        }
    }

    #[test]
    fn a_relative_path_is_relative_to_the_file() {
        let repository = Repository::with_base("app", "repos/app", Path::new("/etc/goatherd")).unwrap();

        assert_eq!(repository.source(), "/etc/goatherd/repos/app");
    }

    #[test]
    fn a_source_that_runs_programs_or_shows_a_password_is_refused() {
        for source in [
            "",
            "--upload-pack=x",
            "ext::sh -c true",
            "ext://x",
            "fd::17",
            "https://token@example.com/a",
            "https://user:password@example.com/a",
            "ssh://git:password@example.com/a",
            "/srv/a\nb",
        ] {
            assert!(Repository::new("app", source).is_err(), "{source}");
        }
    }

    #[test]
    fn a_name_that_could_leave_its_folder_is_refused() {
        for name in [
            "", "..", "a/../b", "/a", "a/", "a//b", ".a", "-a", "a.git", "a.git/b", "a b", "ä", "a\0",
        ] {
            assert!(Repository::new(name, "/srv/a").is_err(), "{name}");
        }
        assert!(Repository::new("acme/app.js", "/srv/a").is_ok());
    }

    #[test]
    fn a_clone_url_is_for_others_so_it_is_no_path() {
        let repository = Repository::new("app", "/srv/a").unwrap();

        assert!(repository.clone().with_clone_url("/srv/a").is_err());
        assert!(
            repository
                .clone()
                .with_clone_url("https://u:p@example.com/a")
                .is_err()
        );
        assert!(repository.with_clone_url("https://example.com/a").is_ok());
    }
}
