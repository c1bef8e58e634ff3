//! What jobs on one's own machine see of one's home: the folders of tools, read-only, and no others.
//!
//! They are at the same paths as outside, because tools have their own paths in them. Credentials are kept
//! beside them (`.cargo/credentials.toml`, `.npmrc`, `.netrc`, `.ssh`), and stay out of sight.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The folders, below the home.
const FOLDERS: [&str; 7] = [
    ".cargo/bin",
    ".rustup",
    ".local/bin",
    ".nvm",
    ".pyenv",
    "go",
    ".sdkman",
];
/// Where programs are in them, for those that no `PATH` leads to.
const PROGRAMS: [&str; 5] = [".cargo/bin", ".local/bin", "go/bin", ".pyenv/shims", ".pyenv/bin"];
/// What jobs see of the system's folders, and what is on every `PATH`.
const SYSTEM: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
/// Variables that say where tools are, and the folder that they mean where they are not set.
const HOMES: [(&str, &str); 6] = [
    ("RUSTUP_HOME", ".rustup"),
    ("PYENV_ROOT", ".pyenv"),
    ("NVM_DIR", ".nvm"),
    ("SDKMAN_DIR", ".sdkman"),
    ("JAVA_HOME", ".sdkman/candidates/java/current"),
    ("GOROOT", ""),
];
/// Jobs have a home of their own, with nothing of this one in it.
const JOBS_HOME: &str = "/home/goatherd";

/// What jobs get for their tools.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tools {
    /// The folders that there are.
    pub(crate) expose: Vec<PathBuf>,
    /// `PATH`, and the variables that tools look for.
    pub(crate) environment: BTreeMap<String, String>,
    /// What people should know.
    pub(crate) notes: Vec<String>,
}

impl Tools {
    /// The tools of whoever runs this; `exposed` are further paths that jobs see.
    pub(crate) fn of_this_user(exposed: &[PathBuf]) -> Self {
        let variable = |name: &str| std::env::var_os(name);
        Self::find(&variable, exposed, nix_user())
    }

    fn find(variable: &dyn Fn(&str) -> Option<OsString>, exposed: &[PathBuf], user: Option<u32>) -> Self {
        let mut tools = Self::default();
        let home = variable("HOME")
            .map(PathBuf::from)
            .filter(|home| home.is_absolute());
        if let Some(home) = &home {
            tools.look_into(home, user);
        }
        let shown: Vec<PathBuf> = tools.expose.iter().chain(exposed).cloned().collect();
        let is_seen = |path: &Path| {
            path.starts_with("/usr")
                || SYSTEM.iter().any(|system| path.starts_with(system))
                || shown.iter().any(|folder| path.starts_with(folder))
        };
        let mut path: Vec<PathBuf> = Vec::new();
        let mut lead_to = |folder: PathBuf| {
            if is_seen(&folder) && !path.contains(&folder) {
                path.push(folder);
            }
        };
        // First what the user's own leads to, in the user's order; the rest has its place at the end.
        let own = variable("PATH").unwrap_or_default();
        std::env::split_paths(&own)
            .filter(|folder| folder.is_dir())
            .for_each(&mut lead_to);
        SYSTEM.iter().map(PathBuf::from).for_each(&mut lead_to);
        if let Some(home) = &home {
            programs(home).into_iter().for_each(&mut lead_to);
        }
        if let Some(path) = std::env::join_paths(path)
            .ok()
            .and_then(|path| path.into_string().ok())
        {
            tools.environment.insert("PATH".to_owned(), path);
        }
        for (name, folder) in HOMES {
            let own = variable(name).map(PathBuf::from);
            let usual = home
                .as_ref()
                .filter(|_| !folder.is_empty())
                .map(|home| home.join(folder));
            let found = [own, usual]
                .into_iter()
                .flatten()
                .find(|path| is_seen(path) && path.is_dir());
            if let Some(found) = found.and_then(|path| path.into_os_string().into_string().ok()) {
                tools.environment.insert(name.to_owned(), found);
            }
        }
        tools
    }

    fn look_into(&mut self, home: &Path, user: Option<u32>) {
        for name in FOLDERS {
            let folder = home.join(name);
            // A link leads to the folder itself, wherever that is.
            let Ok(real) = folder.canonicalize() else { continue };
            let Ok(found) = real.metadata() else { continue };
            if !found.is_dir() {
                continue;
            }
            let all_of_home = || home.canonicalize().is_ok_and(|home| home.starts_with(&real));
            let shown = folder.display();
            if folder.starts_with(JOBS_HOME) {
                self.notes.push(format!(
                    "jobs do not see {shown}: {JOBS_HOME} is their own home inside"
                ));
            } else if all_of_home() {
                self.notes.push(format!(
                    "jobs do not see {shown}: it leads to {}, which holds more than tools",
                    real.display()
                ));
            } else if user == Some(0) && found.mode() & 0o005 != 0o005 {
                self.notes.push(format!(
                    "jobs do not see {shown}: they run as a user of their own, and its mode is {:04o}",
                    found.mode() & 0o7777
                ));
            } else {
                self.expose.push(folder);
            }
        }
    }
}

/// Where programs may be that no `PATH` leads to.
fn programs(home: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = PROGRAMS.iter().map(|name| home.join(name)).collect();
    found.extend(node(&home.join(".nvm")));
    let candidates = std::fs::read_dir(home.join(".sdkman/candidates"))
        .into_iter()
        .flatten()
        .flatten();
    let mut candidates: Vec<PathBuf> = candidates.map(|entry| entry.path().join("current/bin")).collect();
    candidates.sort();
    found.extend(candidates);
    found.retain(|folder| folder.is_dir());
    found
}

/// The programs of nvm's default version: of the newest that its alias fits, or of the newest.
fn node(nvm: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(nvm.join("versions/node")).ok()?;
    let numbers = |name: &str| -> Option<Vec<u32>> {
        name.trim_start_matches('v')
            .split('.')
            .map(|part| part.parse().ok())
            .collect()
    };
    let mut versions: Vec<(Vec<u32>, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((numbers(entry.file_name().to_str()?)?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    let alias = std::fs::read_to_string(nvm.join("alias/default")).unwrap_or_default();
    let wanted = numbers(alias.trim()).unwrap_or_default();
    let fitting = versions
        .iter()
        .rev()
        .find(|(version, _)| version.starts_with(&wanted));
    fitting.or(versions.last()).map(|(_, bin)| bin.clone())
}

/// Who runs this.
fn nix_user() -> Option<u32> {
    std::fs::metadata("/proc/self").ok().map(|own| own.uid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn home_with(folders: &[&str]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for folder in folders {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        home
    }

    fn found(home: &Path, path: &str, user: u32) -> Tools {
        let (home, path) = (OsString::from(home), OsString::from(path));
        let variable = move |name: &str| match name {
            "HOME" => Some(home.clone()),
            "PATH" => Some(path.clone()),
            _ => None,
        };
        Tools::find(&variable, &[], Some(user))
    }

    #[test]
    fn folders_of_tools_are_shown_and_nothing_beside_them() {
        let home = home_with(&[".cargo/bin", ".rustup", ".ssh", ".aws", ".config", "work"]);
        fs::write(home.path().join(".cargo/credentials.toml"), "").unwrap();

        let tools = found(home.path(), "/usr/bin", 1000);

        assert_eq!(
            tools.expose,
            [home.path().join(".cargo/bin"), home.path().join(".rustup")]
        );
        assert_eq!(
            tools.environment["RUSTUP_HOME"],
            home.path().join(".rustup").to_str().unwrap()
        );
        assert!(!tools.environment.contains_key("PYENV_ROOT"));
        assert_eq!(tools.notes, Vec::<String>::new());
    }

    #[test]
    fn the_users_path_decides_the_order_and_what_it_lacks_comes_last() {
        let home = home_with(&[".cargo/bin", ".pyenv/shims", "secret/bin"]);
        let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        let path = format!("{}:/usr/bin:{}", at(".pyenv/shims"), at("secret/bin"));

        let tools = found(home.path(), &path, 1000);

        let path = &tools.environment["PATH"];
        assert!(
            path.starts_with(&format!("{}:/usr/bin:/usr/local/sbin:", at(".pyenv/shims"))),
            "{path}"
        );
        assert!(path.ends_with(&format!("/bin:{}", at(".cargo/bin"))), "{path}");
        assert!(!path.contains("secret"), "{path}");
    }

    #[test]
    fn a_link_to_the_home_itself_shows_nothing() {
        let home = home_with(&[]);
        std::os::unix::fs::symlink(home.path(), home.path().join("go")).unwrap();

        let tools = found(home.path(), "", 1000);

        assert_eq!(tools.expose, Vec::<PathBuf>::new());
        assert!(tools.notes[0].contains("more than tools"), "{tools:?}");
    }

    #[test]
    fn roots_private_folders_are_named_because_jobs_could_not_read_them() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = home_with(&[".rustup"]);
        fs::set_permissions(home.path().join(".rustup"), fs::Permissions::from_mode(0o700)).unwrap();

        assert!(found(home.path(), "", 0).notes[0].contains("0700"));
        assert_eq!(found(home.path(), "", 1000).expose.len(), 1);
    }

    #[test]
    fn node_is_nvms_default() {
        let home = home_with(&[
            ".nvm/versions/node/v9.1.0/bin",
            ".nvm/versions/node/v18.2.0/bin",
            ".nvm/versions/node/v20.0.1/bin",
            ".nvm/alias",
        ]);
        let nvm = home.path().join(".nvm");
        let version = || {
            node(&nvm)
                .unwrap()
                .parent()
                .unwrap()
                .file_name()
                .unwrap()
                .to_owned()
        };

        assert_eq!(version(), "v20.0.1");
        fs::write(nvm.join("alias/default"), "18\n").unwrap();
        assert_eq!(version(), "v18.2.0");
        fs::write(nvm.join("alias/default"), "lts/*\n").unwrap();
        assert_eq!(version(), "v20.0.1");
    }
}
