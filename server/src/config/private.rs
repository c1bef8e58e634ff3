//! Files with secrets.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use api::Secret;

/// Reads a text of at most so many bytes from a file that is not for everybody.
pub(crate) fn read_private(path: &Path, most: usize) -> Result<Secret, String> {
    let shown = path.display();
    let cannot = |error: std::io::Error| format!("cannot read {shown}: {error}");
    let file = open_private(path)?;
    let mut text = String::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    file.take(limit.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(cannot)?;
    let text = Secret::new(text);
    if text.expose().len() > most {
        return Err(format!("{shown} is larger than {most} bytes"));
    }
    Ok(text)
}

/// Opens it; what everybody may read, and what is no file, is refused.
pub(super) fn open_private(path: &Path) -> Result<File, String> {
    let shown = path.display();
    let cannot = |error: std::io::Error| format!("cannot read {shown}: {error}");
    // First, because a pipe without a writer would be opened for ever.
    if !path.metadata().map_err(cannot)?.is_file() {
        return Err(format!("{shown} is no file"));
    }
    let file = File::open(path).map_err(cannot)?;
    let mode = file.metadata().map_err(cannot)?.permissions().mode() & 0o7777;
    if mode & 0o007 == 0 {
        Ok(file)
    } else {
        Err(format!(
            "{shown} is open to everybody on this machine (mode {mode:04o}): `chmod o= {shown}`"
        ))
    }
}
