//! The termination message: why this process ended, for whoever collects the place when no API could be told.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use api::goat::{TerminationKind, TerminationMessage};

use crate::error::GoatError;

/// Where Kubernetes mounts a file for it.
const DEFAULT_PATH: &str = "/dev/termination-log";
/// More is not read.
const LIMIT: usize = 4096;

/// Writes the message to `path`, or, where that is empty, to the usual place if there is one. Best effort: the
/// log has the reason as well.
pub(crate) fn write(path: &str, message: &TerminationMessage) {
    let text = render(message);
    let written = if path.is_empty() {
        put(Path::new(DEFAULT_PATH), &text, Missing::Ignore)
    } else {
        put(Path::new(path), &text, Missing::Create)
    };
    if let Err(error) = written {
        tracing::warn!(%error, "the termination message could not be written");
    }
}

/// The message for a process that was told nothing usable.
pub(crate) fn write_unusable(error: &GoatError) {
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
    write("", &message);
}

enum Missing {
    Create,
    Ignore,
}

/// In place: it may be a file that is mounted on its own, which cannot be renamed over. The task may have put a pipe
/// there that nobody reads, so nothing is waited for.
fn put(path: &Path, text: &[u8], missing: Missing) -> io::Result<()> {
    let create = matches!(missing, Missing::Create);
    let mut options = OpenOptions::new();
    options.write(true).truncate(true).create(create);
    match sys::stream::open_without_waiting(&mut options, path) {
        Ok(mut file) => file.write_all(text),
        Err(error) if !create && error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// As JSON within the limit; the sentence for people is shortened for it.
fn render(message: &TerminationMessage) -> Vec<u8> {
    let mut message = message.clone();
    loop {
        let text = serde_json::to_vec(&message).expect("text and numbers always serialize");
        let excess = text.len().saturating_sub(LIMIT);
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
                text.len() <= LIMIT && text.len() > LIMIT - 12,
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
