//! Reading a commit's files as `git cat-file --batch --follow-symlinks` tells of them (`git-cat-file(1)`): links are
//! followed as far as they stay within the commit.

/// The words of the git command that is asked, one `COMMIT:PATH` a line on its standard input; with `--batch` in the
/// place of `--batch-check` each file's content follows its head.
pub const CHECK: [&str; 3] = ["cat-file", "--batch-check", "--follow-symlinks"];

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// A file.
    File {
        /// The object with its content.
        object: String,
        /// Its size in bytes.
        size: u64,
    },
    /// There is nothing at the path.
    Missing,
    /// Something is there, and it is no file of this commit: why, as the end of a sentence that begins with the path.
    Unusable(String),
}

impl Followed {
    /// Reads the next answer; the second part is what comes after it. None where there is none that is understood.
    #[must_use]
    pub fn next(answers: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = line(answers)?;
        let words: Vec<&str> = head.rsplitn(3, ' ').collect();
        let size = words.first().copied().unwrap_or_default();
        let found = match words.get(1).copied().unwrap_or_default() {
            "blob" => Self::File {
                object: words.get(2).copied()?.to_owned(),
                size: size.parse().ok()?,
            },
            "symlink" => {
                let (target, rest) = payload(rest, size)?;
                let why = format!("is a symbolic link that leads out of the repository, to {target}");
                return Some((Self::Unusable(why), rest));
            }
            "dangling" | "notdir" => {
                let (_, rest) = payload(rest, size)?;
                let why = "is a symbolic link to a file that is not in the commit (git finds only a target \
                           without `./` in it)"
                    .to_owned();
                return Some((Self::Unusable(why), rest));
            }
            "loop" => {
                let (_, rest) = payload(rest, size)?;
                let why = "is a symbolic link that leads back to itself".to_owned();
                return Some((Self::Unusable(why), rest));
            }
            _ if size == "missing" => Self::Missing,
            _ => Self::Unusable("is no file".to_owned()),
        };
        Some((found, rest))
    }
}

fn line(text: &[u8]) -> Option<(&str, &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(text.get(..end)?).ok()?, text.get(end + 1..)?))
}

/// What follows a head that says how long it is, with the line's end after it.
fn payload<'a>(text: &'a [u8], size: &str) -> Option<(String, &'a [u8])> {
    let size: usize = size.parse().ok()?;
    let payload = String::from_utf8_lossy(text.get(..size)?).into_owned();
    Some((payload, text.get(size.checked_add(1)?..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_git_is_told_from_the_others() {
        let text = b"abc blob 12\nc0ffee:a missing\nsymlink 11\n/etc/passwd\ndangling 8\nc0ffee:b\nloop 8\nc0ffee:c\nabc tree 3\nxyz submodule\n";
        let mut rest = &text[..];
        let mut found = Vec::new();
        while let Some((one, after)) = Followed::next(rest) {
            found.push(one);
            rest = after;
        }

        assert!(rest.is_empty());
        assert_eq!(found.len(), 7);
        assert_eq!(
            found[0],
            Followed::File {
                object: "abc".to_owned(),
                size: 12
            }
        );
        assert_eq!(found[1], Followed::Missing);
        for (at, part) in [
            (2, "to /etc/passwd"),
            (3, "not in the commit"),
            (4, "itself"),
            (5, "no file"),
            (6, "no file"),
        ] {
            assert!(
                matches!(&found[at], Followed::Unusable(why) if why.contains(part)),
                "{:?}",
                found[at]
            );
        }
        assert_eq!(Followed::next(b"symlink 99\nshort"), None);
    }
}
