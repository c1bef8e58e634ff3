//! Children and orphans: this program again, told something else. Their standard input is at its end: a pipe, because
//! an empty image has no `/dev/null`.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::acts::Error;

/// Starts a child that does `words`. Nobody waits for it.
pub(crate) fn child(words: &[String]) -> io::Result<()> {
    Command::new(own_path())
        .args(words)
        .stdin(Stdio::piped())
        .spawn()
        .map(drop)
}

/// Starts a child that starts another one, which does `words`, and ends: whoever adopts orphans adopts this one.
pub(crate) fn orphan(words: &[String]) -> Result<(), Error> {
    let status = Command::new(own_path())
        .arg(format!("child={}", words.join(",")))
        .stdin(Stdio::piped())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the parent of an orphan ended with {status}").into())
    }
}

/// Where there is no `/proc`, the name that this process was called by has to do.
fn own_path() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| std::env::args_os().next().unwrap_or_default().into())
}
