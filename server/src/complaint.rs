//! A failure that comes again and again is said once.

use std::error::Error;

use crate::http::chain;

/// What was last said of something that fails.
#[derive(Debug, Default)]
pub(crate) struct Complaint {
    said: Option<String>,
}

impl Complaint {
    /// It failed: the words for it, where they were not said yet.
    pub(crate) fn news(&mut self, error: &dyn Error) -> Option<String> {
        let words = chain(error);
        if self.said.as_ref() == Some(&words) {
            return None;
        }
        self.said = Some(words.clone());
        Some(words)
    }

    /// It works. Answers whether it had failed before.
    pub(crate) fn over(&mut self) -> bool {
        self.said.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn the_same_failure_is_said_once_until_it_is_over() {
        let mut complaint = Complaint::default();
        let full = Error::from(ErrorKind::StorageFull);
        let denied = Error::from(ErrorKind::PermissionDenied);

        assert!(complaint.news(&full).is_some());
        assert!(complaint.news(&full).is_none());
        assert!(complaint.news(&denied).is_some());
        assert!(complaint.over());
        assert!(!complaint.over());
        assert!(complaint.news(&denied).is_some());
    }
}
