//! What the operator decides, and the only reader of the environment in this crate.

mod credential;
mod duration;
mod environment;
mod file;
mod private;
mod repository;
mod retention;
mod statuses;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use api::{Millis, Secret, Terms};
use forge::Forge;

pub use credential::{Credential, Token};
pub use duration::parse as parse_duration;
pub(crate) use environment::inherited;
pub(crate) use private::read_private;
pub use repository::{Known, Protocol, Repository};
pub use retention::Retention;
pub use statuses::StatusAccess;
pub use store::Durability;

pub use crate::secrets::{SecretsSettings, SecretsSource};

/// The port where none is chosen.
pub const DEFAULT_PORT: u16 = 7624;

/// Everything that the server is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who may reach it.
    pub exposure: Exposure,
    /// The data folder. One server at a time works on it.
    pub data: PathBuf,
    /// The URL under which agents and task agents reach it; made from the address where absent.
    pub public_url: Option<String>,
    /// All durations that clients live by.
    pub terms: Terms,
    /// The resource class of a job that names none.
    pub default_resource_class: String,
    /// The time limit of a job that names none.
    pub default_time_limit: Millis,
    /// The time limit of every job, over what configs say.
    pub time_limit: Option<Millis>,
    /// Variables for every job, over its own; a step's win over them.
    pub extra_environment: BTreeMap<String, String>,
    /// Secrets for every job. In memory only, and given to `run` steps alone.
    pub extra_secrets: BTreeMap<String, Secret>,
    /// The repositories that it knows.
    pub repositories: Vec<Repository>,
    /// The webhooks that it takes.
    pub hooks: Vec<Hook>,
    /// Where it tells how commits do.
    pub statuses: Vec<StatusAccess>,
    /// How it reads repositories.
    pub git: GitSettings,
    /// How long secrets may take.
    pub secrets: SecretsSettings,
    /// The largest artifact that it takes, in bytes.
    pub largest_artifact: u64,
    /// What callers may take.
    pub limits: Limits,
    /// How long things are kept.
    pub retention: Retention,
    /// The least free space, in bytes, with which new work is taken; 512 MiB, or 5 % of a smaller disk, where
    /// absent.
    pub least_free: Option<u64>,
    /// An admin token beside the stored one, for as long as the process runs: never on disk.
    pub admin_token: Option<Secret>,
    /// What the data folder survives.
    pub durability: Durability,
}

/// Who may reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Whoever the network lets.
    Network,
    /// Only this machine: an address that is not a loopback address is refused.
    Loopback,
}

/// A webhook that the server takes, at `/webhook/NAME`.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Its name, in the URL and in the audit log.
    pub name: String,
    /// Who sends it.
    pub provider: &'static dyn Forge,
    /// The secret that it is signed with.
    pub secret: Secret,
}

impl Hook {
    /// Names a hook of a provider.
    ///
    /// # Errors
    /// When the name cannot be in a URL as it is, the provider is not known or the secret is empty.
    pub fn new(name: &str, provider: &str, secret: Secret) -> Result<Self, ConfigError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(word) {
            return Err(ConfigError::new(format!(
                "hook `{name}`: a name is 1 to 64 of the letters a to z, digits, `-` and `_`"
            )));
        }
        let Some(forge) = forge::registry::find(provider) else {
            return Err(ConfigError::new(format!(
                "hook `{name}`: there is no provider `{provider}`; known: {}",
                forge::registry::names()
            )));
        };
        if secret.is_empty() {
            return Err(ConfigError::new(format!("hook `{name}`: the secret is empty")));
        }
        Ok(Self {
            name: name.to_owned(),
            provider: forge,
            secret,
        })
    }
}

/// How the server reads repositories.
#[derive(Debug, Clone)]
pub struct GitSettings {
    /// How often a failed fetch is tried in all, when trying again can help.
    pub tries: u32,
    /// The wait after the first failed try; it doubles with each further one.
    pub backoff: Millis,
    /// The longest that one call of git may take.
    pub timeout: Millis,
}

impl Default for GitSettings {
    fn default() -> Self {
        Self {
            tries: 5,
            backoff: Millis::seconds(1),
            timeout: Millis::seconds(300),
        }
    }
}

/// What callers may take before they have shown any right to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most connections at once; further ones are turned away. Fewer where the process may not have as many
    /// files open.
    pub connections: u32,
    /// How long a request's header may take, and how long a connection may wait for its next request.
    pub header_timeout: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            header_timeout: Millis::seconds(30),
        }
    }
}

impl Config {
    /// The defaults for a data folder: this machine only, nothing known yet.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT),
            exposure: Exposure::Network,
            data: data.into(),
            public_url: None,
            terms: Terms::default(),
            default_resource_class: "default".to_owned(),
            default_time_limit: Millis::seconds(3600),
            time_limit: None,
            extra_environment: BTreeMap::new(),
            extra_secrets: BTreeMap::new(),
            repositories: Vec::new(),
            hooks: Vec::new(),
            statuses: Vec::new(),
            git: GitSettings::default(),
            secrets: SecretsSettings::default(),
            largest_artifact: 5 * 1024 * 1024 * 1024,
            limits: Limits::default(),
            retention: Retention::default(),
            least_free: None,
            admin_token: None,
            durability: Durability::Lasting,
        }
    }

    /// Reads a configuration file's text. Relative paths in it are relative to `base`, the file's folder.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn from_toml(text: &str, base: &Path) -> Result<Self, ConfigError> {
        file::read(text, base)
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Its line in the file, from 1, where it has one.
    pub line: Option<usize>,
    /// What is wrong, for people.
    pub message: String,
}

impl ConfigError {
    /// Something that is wrong, at no line.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            line: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}
