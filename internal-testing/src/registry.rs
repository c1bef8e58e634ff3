//! A real registry on loopback: Debian's `docker-registry`, with its store in a temporary folder.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::wait;

/// How long it may take to listen.
const START: Duration = Duration::from_secs(30);

/// Who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everyone, without a name.
    Anyone,
    /// The user `goat` with the password `hay`.
    Goat,
    /// Who has [`TOKEN`], which is to be had at `realm`.
    Token {
        /// A URL.
        realm: String,
    },
}

/// A token that may read and write `acme/runner-init` until 2100, signed by the key of `issuer.pem`, which nobody has
/// any more.
pub const TOKEN: &str = include_str!("registry/token");
/// Whose tokens the registry takes.
const ISSUER: &str = include_str!("registry/issuer.pem");

/// `goat:hay`, as `htpasswd -B` writes it.
const PASSWORDS: &str = "goat:$2b$05$NkSOap9dR3r6Gc9qFLEaUOivlJEwOwAMH6bVdVY/1OkZ8/NmTOOvG\n";

/// A running registry, which ends with the test.
#[derive(Debug)]
pub struct Registry {
    address: String,
    _daemon: Daemon,
    _folder: TempDir,
}

impl Registry {
    /// Starts one on a free port; none where the program is not installed, which is a failure in CI.
    ///
    /// # Panics
    /// When it does not start, or is missing in CI.
    #[must_use]
    pub fn start(access: &Access) -> Option<Self> {
        let program = "docker-registry";
        if !on_path(program) {
            assert!(
                std::env::var_os("CI").is_none(),
                "{program} is missing: `./do test` brings it"
            );
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let config = folder.path().join("config.yml");
        std::fs::write(&config, settings(folder.path(), access)).expect("a config can be written");
        let mut command = Command::new(program);
        command.arg("serve").arg(&config);
        let daemon = Daemon::start("registry", command, folder.path());
        let address = wait::until("the registry to listen", START, || {
            let log = daemon.log() + &daemon.output();
            let (_, rest) = log.split_once("listening on ")?;
            // The line is complete only with what follows the address.
            let (address, _) = rest.split_once(['"', ' ', ','])?;
            Some(address.to_owned())
        });
        Some(Self {
            address,
            _daemon: daemon,
            _folder: folder,
        })
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

fn settings(folder: &Path, access: &Access) -> String {
    let store = folder.join("store");
    let mut text = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
        store.display()
    );
    let keep = |name: &str, contents: &str| {
        let path = folder.join(name);
        std::fs::write(&path, contents).expect("a file of the registry can be written");
        path.display().to_string()
    };
    match access {
        Access::Anyone => {}
        Access::Goat => {
            let path = keep("passwords", PASSWORDS);
            text += &format!("auth: {{htpasswd: {{realm: goats, path: '{path}'}}}}\n");
        }
        Access::Token { realm } => {
            let path = keep("issuer.pem", ISSUER);
            text += &format!(
                "auth: {{token: {{realm: '{realm}', service: registry, issuer: goats, rootcertbundle: '{path}'}}}}\n"
            );
        }
    }
    text
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
