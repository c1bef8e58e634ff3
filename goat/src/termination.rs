//! The termination message: why this process ended, for whoever collects the place when no API could be told.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use api::goat::{TerminationKind, TerminationMessage};
use sys::file::{self, Missing};

use crate::error::GoatError;

/// Where Kubernetes mounts a file for it.
const DEFAULT_PATH: &str = "/dev/termination-log";
/// More is not read.
const LIMIT: u16 = 4096;

/// Takes the space that a message needs, before the task can fill the disk. Best effort.
pub(crate) fn reserve(path: &str) {
    if let Ok(file) = open(path) {
        let _ = file::reserve(&file, LIMIT);
    }
}

/// Writes the message to `path`, or, where that is empty, to the usual place if there is one. Best effort: the
/// log has the reason as well.
pub(crate) fn write(path: &str, message: &TerminationMessage) {
    let written = match open(path) {
        Ok(file) => put(&file, &render(message)),
        Err(error) if path.is_empty() && error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        let path = if path.is_empty() { DEFAULT_PATH } else { path };
        tracing::warn!(path, %error, "the termination message could not be written");
    }
}

/// The message for a process that was told nothing usable, or cannot do it here; `path` as in [`write`].
pub(crate) fn write_unusable(path: &str, error: &GoatError) {
    let message = TerminationMessage {
        kind: TerminationKind::Configuration,
        message: crate::logs::chain(error),
        exit_code: None,
        signal: None,
        interrupted_by: None,
        oom: false,
        reported: false,
        duration_ms: 0,
        max_rss_kib: 0,
    };
    write(path, &message);
}

fn open(path: &str) -> io::Result<File> {
    if path.is_empty() {
        file::open_for_writing(Path::new(DEFAULT_PATH), Missing::Refuse)
    } else {
        file::open_for_writing(Path::new(path), Missing::Create)
    }
}

/// In place: it may be a file that is mounted on its own, which cannot be renamed over. What was there is
/// overwritten first and cut off then, because a full disk may not give back what it was given.
fn put(mut file: &File, text: &[u8]) -> io::Result<()> {
    file.write_all(text)?;
    let metadata = file.metadata()?;
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if metadata.is_file() && metadata.len() > length {
        file.set_len(length)?;
    }
    Ok(())
}

/// As JSON within the limit; the sentence for people is shortened for it.
fn render(message: &TerminationMessage) -> Vec<u8> {
    let mut message = message.clone();
    loop {
        let text = serde_json::to_vec(&message).expect("text and numbers always serialize");
        let excess = text.len().saturating_sub(LIMIT.into());
        if excess == 0 || message.message.is_empty() {
            return text;
        }
        // An escape is longer than what it stands for, so this may take more than one round.
        let wanted = message.message.len().saturating_sub(excess.div_ceil(6).max(1));
        message
            .message
            .truncate(message.message.floor_char_boundary(wanted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: String) -> TerminationMessage {
        TerminationMessage {
            kind: TerminationKind::TaskAgentEnded,
            message: text,
            exit_code: Some(1),
            signal: None,
            interrupted_by: None,
            oom: false,
            reported: true,
            duration_ms: 1,
            max_rss_kib: 1,
        }
    }

    #[test]
    fn a_long_message_is_shortened_to_the_limit_and_no_further() {
        for letter in ["a", "\u{1}", "\u{fc}", "\u{1f410}"] {
            let text = render(&message(letter.repeat(5000)));

            assert!(
                text.len() <= LIMIT.into() && text.len() > usize::from(LIMIT) - 12,
                "{letter:?}: {}",
                text.len()
            );
            serde_json::from_slice::<TerminationMessage>(&text).expect("it is whole");
        }
    }

    #[test]
    fn the_file_holds_the_last_message_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("message");
        let path = path.to_str().expect("a plain path");
        write(path, &message("a".repeat(500)));

        write(path, &message("b".into()));

        let text = std::fs::read(path).expect("it is there");
        assert_eq!(
            serde_json::from_slice::<TerminationMessage>(&text).expect("it is whole"),
            message("b".into())
        );
    }
}
