//! Logging git in at a repository's source, so that neither the token nor the key is in an argument, a variable,
//! a file or a message.
//!
//! git asks a helper of ours, for the source's own server alone. The helper is a line of shell that reads the
//! answer from memory of the server (`memfd_create(2)`), which the kernel shows to processes of the same user
//! only, for as long as that git runs.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use api::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::process::Command;

use super::command::SSH;
use crate::config::Credential;

/// What one call of git needs to log in.
#[derive(Debug)]
pub(super) struct Login(How);

#[derive(Debug)]
enum How {
    None,
    Token {
        /// Lives as long as this.
        answer: File,
        /// The server that is logged in at.
        server: String,
        /// What must be in no message.
        hidden: Vec<Secret>,
    },
    Key {
        command: String,
    },
}

impl Login {
    /// For a source that lets everybody in, or that git's system configuration knows a credential for.
    pub(super) const fn none() -> Self {
        Self(How::None)
    }

    /// With a credential, as it is now.
    pub(super) fn new(credential: &Credential, source: &str) -> Result<Self, String> {
        match credential {
            Credential::Token { user, token } => {
                let token = token.read()?;
                let answer = in_memory(&format!("username={user}\npassword={}\n", token.expose()))
                    .map_err(|error| format!("the token could not be handed to git: {error}"))?;
                let basic = STANDARD.encode(format!("{user}:{}", token.expose()));
                Ok(Self(How::Token {
                    answer,
                    server: server_of(source).to_owned(),
                    hidden: vec![Secret::new(basic), token],
                }))
            }
            Credential::Key { key, known_hosts } => Ok(Self(How::Key {
                command: ssh(key, known_hosts),
            })),
        }
    }

    /// Before git's own words are added.
    pub(super) fn prepare(&self, command: &mut Command) {
        match &self.0 {
            How::None => {}
            How::Token { answer, server, .. } => {
                let place = format!("/proc/{}/fd/{}", std::process::id(), answer.as_raw_fd());
                let helper = format!(
                    "!f() {{ test \"$1\" = get || return 0; \
                     while read -r line; do printf '%s\\n' \"$line\"; done <{place}; }}; f"
                );
                // The empty one first: helpers of the system are not asked.
                command.args(["-c", "credential.helper="]);
                command.arg("-c");
                command.arg(format!("credential.{server}.helper={helper}"));
            }
            How::Key { command: ssh } => {
                command.env("GIT_SSH_COMMAND", ssh).env("GIT_SSH_VARIANT", "ssh");
            }
        }
    }

    /// A message in which a server has perhaps repeated what it was told.
    pub(super) fn without_secret(&self, words: &str) -> String {
        let hidden: &[Secret] = match &self.0 {
            How::Token { hidden, .. } => hidden,
            How::None | How::Key { .. } => &[],
        };
        hidden.iter().fold(words.to_owned(), |words, secret| {
            words.replace(secret.expose(), "***")
        })
    }
}

/// This key and these hosts alone: no agent, no configuration of a user or of the system.
fn ssh(key: &Path, known_hosts: &Path) -> String {
    format!(
        "{SSH} -F /dev/null -oIdentitiesOnly=yes -oIdentityAgent=none -oIdentityFile={} \
         -oStrictHostKeyChecking=yes -oUserKnownHostsFile={} -oGlobalKnownHostsFile=/dev/null",
        key.display(),
        known_hosts.display(),
    )
}

fn in_memory(text: &str) -> io::Result<File> {
    let memory: OwnedFd = memfd_create("goatherd-git", MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// `https://host:port` of a URL.
fn server_of(url: &str) -> &str {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(begin..).unwrap_or_default();
    let end = rest.find(['/', '?', '#']).map_or(url.len(), |at| begin + at);
    url.get(..end).unwrap_or(url)
}

#[cfg(test)]
mod tests;
