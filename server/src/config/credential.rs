//! How the server logs in where a repository is.

use std::fs::File;
use std::path::{Path, PathBuf};

use api::Secret;

use super::Protocol;
use super::private::{open_private, read_private};

/// The user that a token goes with where none is named: GitHub's, and any will do for most others.
pub(super) const DEFAULT_USER: &str = "x-access-token";
/// The longest token.
const LONGEST: usize = 16 * 1024;

/// A credential for a repository's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A token, for HTTP.
    Token {
        /// The user that it goes with.
        user: String,
        /// The token.
        token: Token,
    },
    /// A deploy key, for SSH.
    Key {
        /// The private key's file.
        key: PathBuf,
        /// The file with the public keys of the hosts that are trusted.
        known_hosts: PathBuf,
    },
}

/// Where a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// In a file, which is read for each fetch: whoever renews the token need not tell the server.
    File(PathBuf),
    /// Here.
    Here(Secret),
}

impl Token {
    /// The token now.
    pub(crate) fn read(&self) -> Result<Secret, String> {
        let text = match self {
            Self::File(path) => read_private(path, LONGEST)?,
            Self::Here(token) => token.clone(),
        };
        let token = Secret::new(text.expose().trim());
        let place = match self {
            Self::File(path) => path.display().to_string(),
            Self::Here(_) => "the token".to_owned(),
        };
        if token.is_empty() {
            Err(format!("{place} is empty"))
        } else if token.expose().chars().any(char::is_control) {
            Err(format!("{place} holds more than one line, or control characters"))
        } else {
            Ok(token)
        }
    }
}

impl Credential {
    /// Refuses what cannot work with a source, and what would show it to others.
    pub(super) fn check(&self, source: &str, protocol: Protocol) -> Result<(), String> {
        match self {
            Self::Token { user, token } => {
                match protocol {
                    Protocol::Https => {}
                    Protocol::Http if is_loopback(source) => {}
                    Protocol::Http => {
                        return Err("a token over http can be read by the network: use https".to_owned());
                    }
                    _ => {
                        return Err(
                            "a token is for a source of https; for ssh there is ssh_key_file".to_owned()
                        );
                    }
                }
                if user.is_empty() || user.chars().any(char::is_control) {
                    return Err("`token_user` is empty, or holds control characters".to_owned());
                }
                token.read().map(drop)
            }
            Self::Key { key, known_hosts } => {
                if protocol != Protocol::Ssh {
                    return Err("a key is for a source of ssh; for https there is token_file".to_owned());
                }
                plain(key)?;
                plain(known_hosts)?;
                open_private(key)?;
                let hosts = File::open(known_hosts);
                hosts.map_err(|error| format!("cannot read {}: {error}", known_hosts.display()))?;
                Ok(())
            }
        }
    }
}

/// ssh splits its options at spaces and expands `%` and `${}` in them, and a shell reads its command line.
fn plain(path: &Path) -> Result<(), String> {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+@,".contains(letter);
    match path.to_str() {
        Some(text) if text.chars().all(is_plain) => Ok(()),
        _ => Err(format!(
            "ssh cannot be told of {}: a path of letters, digits and `/._-+@,` is needed",
            path.display()
        )),
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split(['/', '?', '#']).next())
        .unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}
