//! Where a config file's links lead. git keeps a link as the words in it, so that one which leads out of the
//! repository, or names a place from `/` on, leads nowhere in another clone.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// How many links are followed: as many as the kernel does (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// The target of the link by which a repository's config leaves the repository. None for a config that does not, and
/// for a file that no repository has as its config.
pub(super) fn out_of_the_repository(file: &Path) -> Option<PathBuf> {
    let file = std::path::absolute(file).ok()?;
    let (top, name) = pipeline::CONFIG_FILES.iter().find_map(|name| {
        let mut top = file.clone();
        for _ in Path::new(name).components() {
            top.pop();
        }
        (top.join(name) == file && top.join(".git").exists()).then_some((top, name))
    })?;
    leaving(&top, Path::new(name))
}

fn leaving(top: &Path, path: &Path) -> Option<PathBuf> {
    let mut links = 0;
    let mut reached: Vec<OsString> = Vec::new();
    let mut ahead: VecDeque<OsString> = path.iter().map(OsString::from).collect();
    // The link that is being followed.
    let mut last = PathBuf::new();
    while let Some(word) = ahead.pop_front() {
        match Path::new(&word).components().next()? {
            Component::CurDir => continue,
            Component::ParentDir => {
                if reached.pop().is_none() {
                    return Some(last);
                }
                continue;
            }
            Component::Normal(name) => reached.push(name.to_owned()),
            Component::RootDir | Component::Prefix(_) => return Some(last),
        }
        let here = top.join(reached.iter().collect::<PathBuf>());
        if let Ok(target) = std::fs::read_link(here) {
            links += 1;
            if links > MOST_LINKS {
                return None;
            }
            reached.pop();
            for word in target.iter().rev() {
                ahead.push_front(word.to_owned());
            }
            last = target;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_may_lead_anywhere_within_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path();
        std::fs::create_dir_all(top.join("ci/deep")).unwrap();
        symlink("ci", top.join(".circleci")).unwrap();
        for (target, leaves) in [
            ("deep/x.yml", false),
            ("../ci/deep/../x.yml", false),
            ("absent", false),
            ("config.yml", false),
            ("../../x.yml", true),
            ("/etc/passwd", true),
        ] {
            let link = top.join("ci/config.yml");
            symlink(target, &link).unwrap();

            let found = leaving(top, Path::new(".circleci/config.yml"));

            assert_eq!(found, leaves.then(|| PathBuf::from(target)), "{target}");
            std::fs::remove_file(&link).unwrap();
        }
    }
}
