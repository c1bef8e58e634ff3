//! Finding all places of a place root, and clearing away what never became one.

use std::fs;
use std::io;
use std::path::Path;

use api::AttemptRef;

use super::folder::Folder;
use super::lock::Lock;
use super::removal;
use crate::Place;

/// All places of a root. A folder without labels that nobody holds is removed on the way: no agent and no server
/// can ever name it.
pub(super) fn list(root: &Path) -> io::Result<Vec<Place>> {
    let mut places = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(attempt) = name.to_str().and_then(|name| name.parse::<AttemptRef>().ok()) else {
            continue;
        };
        let folder = Folder::at(entry.path());
        match folder.labels() {
            Ok(Some(labels)) => {
                let running = folder.is_held()? && folder.ended()?.is_none();
                places.push(Place { labels, running });
            }
            Ok(None) => match remove_forsaken(&folder) {
                Ok(true) => tracing::info!(attempt = %attempt, "removed a place that nobody came to label"),
                // It is being made, or was removed just now.
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(attempt = %attempt, error = %error, "a place without labels cannot be removed");
                }
            },
            Err(error) => {
                tracing::warn!(
                    attempt = %attempt,
                    error = %error,
                    "a place's labels cannot be read; remove it by its name"
                );
            }
        }
    }
    Ok(places)
}

/// Removes a folder whose maker is gone before it wrote the labels, or whose remover after it took them away, and
/// says whether it was one. Labels are the first thing in a place and all but the last to go, so nothing of a task
/// runs in it.
///
/// A maker that lives loses nothing: it has the lock before it writes. One that finds its folder taken in the moment
/// before that makes it anew ([`making::claim`](super::making::claim)).
fn remove_forsaken(folder: &Folder) -> io::Result<bool> {
    let lock = match Lock::try_take(&folder.lock()) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let Some(_held) = lock else {
        return Ok(false);
    };
    // What was read without the lock may be older than a place that was made and ended since.
    if folder.labels()?.is_some() {
        return Ok(false);
    }
    match removal::remove(folder) {
        // A maker came in the moment in which there was no lock: the folder is its now.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        other => other.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(root: &Path) -> Folder {
        let folder = Folder::at(root.join("t.1"));
        fs::create_dir_all(folder.join("home")).unwrap();
        folder
    }

    #[test]
    fn a_folder_without_labels_goes_once_nobody_holds_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = place(root.path());
        let maker = Lock::try_take(&folder.lock()).unwrap().unwrap();

        assert_eq!(list(root.path()).unwrap(), []);
        assert!(folder.join("home").exists(), "its maker lives");

        drop(maker);
        assert_eq!(list(root.path()).unwrap(), []);
        assert!(!folder.exists().unwrap());
    }

    #[test]
    fn what_is_no_place_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        for name in ["not-an-attempt", ".t.1"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("t.2"), "").unwrap();

        assert_eq!(list(root.path()).unwrap(), []);

        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 3);
    }
}
