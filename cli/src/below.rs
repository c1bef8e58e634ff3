//! Paths below a folder of the user's, made of names that a repository or a job chose: none leads elsewhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A job's name as that of a folder: another one for each job, and never one that means another place.
pub(crate) fn folder_of_job(name: &str) -> String {
    if name.chars().all(|letter| letter == '.') {
        name.replace('.', "%2E")
    } else {
        name.replace('%', "%25").replace('/', "%2F")
    }
}

/// Refuses a relative folder behind a symbolic link, which the repository may have brought.
pub(crate) fn refuse_links(folder: &Path) -> anyhow::Result<()> {
    if folder.is_absolute() {
        return Ok(());
    }
    let mut path = PathBuf::new();
    for part in folder.components() {
        path.push(part);
        refuse_link(&path)?;
    }
    Ok(())
}

/// Makes what is missing of the folders between `folder` and the file `below` it, and refuses a link among them.
pub(crate) fn make_parents(folder: &Path, below: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut path = folder.to_owned();
    for part in below.parent().into_iter().flat_map(Path::components) {
        path.push(part);
        refuse_link(&path)?;
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot make {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A new file at this path, in the place of whatever is there: a link there is not followed.
pub(crate) fn create(path: &Path) -> io::Result<fs::File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::File::create_new(path)
}

fn refuse_link(path: &Path) -> anyhow::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|there| there.is_symlink()) {
        bail!(
            "{} is a symbolic link, and could lead anywhere: remove it, or give the folder that it names as an absolute path",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn each_job_has_a_folder_of_its_own_and_none_is_elsewhere() {
        for (name, folder) in [
            ("build", "build"),
            ("a b", "a b"),
            ("a/b", "a%2Fb"),
            ("a_b", "a_b"),
            ("a%2Fb", "a%252Fb"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("../..", "..%2F.."),
            ("...", "%2E%2E%2E"),
        ] {
            assert_eq!(folder_of_job(name), folder);
        }
    }

    #[test]
    fn a_link_on_the_way_is_refused_and_nothing_is_made_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let (out, victim) = (folder.path().join("out"), folder.path().join("victim"));
        fs::create_dir(&out).unwrap();
        fs::create_dir(&victim).unwrap();
        symlink(&victim, out.join("build")).unwrap();

        assert!(make_parents(&out, Path::new("build/deep/file")).is_err());

        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
        make_parents(&out, Path::new("test/deep/file")).unwrap();
        assert!(out.join("test/deep").is_dir());
    }

    #[test]
    fn a_file_takes_the_place_of_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("file"), folder.path().join("victim"));
        fs::write(&victim, "as it was").unwrap();
        symlink(&victim, &path).unwrap();

        create(&path).unwrap();

        assert_eq!(fs::read_to_string(&victim).unwrap(), "as it was");
        assert!(!path.is_symlink());
    }
}
