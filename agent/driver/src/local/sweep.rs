//! Clearing a place root whose driver is gone for good, with no driver of its own.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use api::AttemptRef;

use super::folder::Folder;
use super::{MOMENT, remove_unless_held};

/// Removes all places of a root, and what may still run in them. For roots that no driver will use again: how the
/// places ended is lost. Whoever still supervises one has `patience` to end, as sandboxes with a lifeline do
/// once their driver is gone; nobody is signalled who does. A root that is not there is no error. Blocks.
///
/// # Errors
/// When a place is still supervised after that, or cannot be removed. The rest is left as it is then.
pub fn sweep(root: &Path, patience: Duration) -> io::Result<()> {
    let until = Instant::now() + patience;
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name
            .to_str()
            .is_none_or(|name| name.parse::<AttemptRef>().is_err())
        {
            continue;
        }
        let folder = Folder::at(entry.path());
        while folder.exists()? && !remove_unless_held(&folder)? {
            if Instant::now() > until {
                let shown = folder.path().display();
                return Err(io::Error::other(format!("somebody still supervises {shown}")));
            }
            std::thread::sleep(MOMENT);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::lock::Lock;
    use super::*;

    #[test]
    fn a_place_that_is_supervised_stays_and_the_others_go() {
        let root = tempfile::tempdir().unwrap();
        let attempt: AttemptRef = "jg36dp0bxm-1.1".parse().unwrap();
        let folder = Folder::new(root.path(), &attempt);
        fs::create_dir_all(folder.join("home/deep")).unwrap();
        let held = Lock::try_take(&folder.lock()).unwrap().unwrap();

        let error = sweep(root.path(), Duration::ZERO).unwrap_err();

        assert!(error.to_string().contains("still supervises"), "{error}");
        assert!(folder.join("home/deep").exists());
        drop(held);
        sweep(root.path(), Duration::ZERO).unwrap();
        assert!(!folder.exists().unwrap());
        sweep(&root.path().join("absent"), Duration::ZERO).unwrap();
    }
}
