//! The paths that `--expose` names.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::Failure;
use crate::output;

/// Where credentials usually are, below a home.
const CREDENTIALS: [&str; 12] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".config/gcloud",
    ".config/gh",
    ".netrc",
    ".npmrc",
    ".git-credentials",
    ".cargo/credentials.toml",
];

/// The paths as jobs will see them, from `/` on. A path that is not there, or cannot be shown, is a mistake on the
/// command line; credentials that become visible are warned about, because whoever names them may mean it.
pub(super) fn paths(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut paths = Vec::new();
    for path in named {
        let shown = path.display();
        let absolute =
            from_root(path).map_err(|error| Failure::usage(format!("--expose {shown}: {error}")))?;
        driver::local::may_be_exposed(&absolute)
            .map_err(|error| Failure::usage(format!("--expose {shown}: {error}")))?;
        let seen: Vec<PathBuf> = home
            .iter()
            .filter(|home| home.is_absolute())
            .flat_map(|home| credentials_in(&absolute, home))
            .collect();
        if let [first, rest @ ..] = seen.as_slice() {
            let more = match rest.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            output::complain(&format!(
                "warning: --expose {shown} lets every job read credentials: {}{more}",
                first.display()
            ));
        }
        paths.push(absolute);
    }
    Ok(paths)
}

/// A relative path is meant from here, and `..` is followed as the kernel does; a link stays one, because tools know
/// their own path.
fn from_root(path: &Path) -> io::Result<PathBuf> {
    std::fs::metadata(path)?;
    let absolute = std::path::absolute(path)?;
    let leads_up = absolute
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    if leads_up {
        absolute.canonicalize()
    } else {
        Ok(absolute)
    }
}

/// What of the usual credentials a path shows: itself, what is in it, or what it is in.
fn credentials_in(path: &Path, home: &Path) -> Vec<PathBuf> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let all = CREDENTIALS.iter().map(|name| home.join(name));
    let seen = |one: &PathBuf| {
        let Ok(one) = one.canonicalize() else { return false };
        one.starts_with(&real) || real.starts_with(&one)
    };
    all.filter(seen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_seen_where_they_are_shown_from_above_or_from_within() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        std::fs::create_dir_all(at(".ssh/keys")).unwrap();
        std::fs::create_dir_all(at("work")).unwrap();
        std::os::unix::fs::symlink(at(".ssh"), at("link")).unwrap();

        for (path, count) in [(".ssh", 1), (".ssh/keys", 1), ("", 1), ("link", 1), ("work", 0)] {
            assert_eq!(credentials_in(&at(path), home.path()).len(), count, "{path}");
        }
    }
}
