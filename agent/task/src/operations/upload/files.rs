//! Which files an upload sends, and under which names.
//!
//! Links are followed only to what lies in the working directory (or beside a source elsewhere), and only to
//! files: this process could read things of its own that a step's link may name.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

/// `open` does not wait for a writer then, should the file have become a pipe (the number of x86 and ARM).
const O_NONBLOCK: i32 = 0o4000;

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Absolute.
    pub(super) source: PathBuf,
    /// The working directory.
    pub(super) folder: PathBuf,
    pub(super) destination: Option<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) files: Vec<Found>,
    /// A line for each thing that is not sent.
    pub(super) left_out: Vec<String>,
    /// A line for each thing that should be sent and cannot be.
    pub(super) failed: Vec<String>,
    /// Links may not lead out of here.
    pub(super) boundary: PathBuf,
}

/// A file, and its name as an artifact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// Finds the files. The error is a sentence.
pub(super) fn find(request: &Request) -> Result<Files, String> {
    let source = normal(&request.source);
    let said = |error: io::Error| format!("`{}` cannot be uploaded: {error}", source.display());
    let beside = match source.starts_with(normal(&request.folder)) {
        true => request.folder.as_path(),
        false => source.parent().unwrap_or(Path::new("/")),
    };
    let real = source.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no `{}` to upload", source.display()),
        _ => said(error),
    })?;
    let boundary = beside.canonicalize().map_err(said)?;
    if !real.starts_with(&boundary) {
        return Err(format!(
            "`{}` is a link that leads out of {}",
            source.display(),
            boundary.display()
        ));
    }
    let mut found = Files {
        boundary,
        ..Files::default()
    };
    let name = artifact_name(request, &source)?;
    if real.is_dir() {
        walk(&source, &name, &mut found);
        found.files.sort();
    } else {
        let name = match &request.destination {
            Some(destination) if destination.ends_with('/') => {
                name.join(source.file_name().unwrap_or_default())
            }
            _ => name,
        };
        found.send(name, source);
    }
    Ok(found)
}

/// The destination, else the source's own path; empty for the working directory itself.
fn artifact_name(request: &Request, source: &Path) -> Result<PathBuf, String> {
    let own = source.strip_prefix(normal(&request.folder)).unwrap_or(source);
    let path = request.destination.as_deref().map_or(own, Path::new);
    let mut name = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => name.push(part),
            Component::ParentDir => return Err(format!("`{}` leads out of the artifacts", path.display())),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(name)
}

/// Finds what is in a folder. What cannot be looked at is noted, and hides nothing else.
fn walk(folder: &Path, name: &Path, found: &mut Files) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return found.fail(folder, &error),
    };
    for entry in entries {
        let looked = entry.and_then(|entry| Ok((entry.path(), entry.file_name(), entry.file_type()?)));
        match looked {
            Ok((path, own, kind)) => look(path, kind, name.join(own), found),
            Err(error) => found.fail(folder, &error),
        }
    }
}

fn look(path: PathBuf, kind: fs::FileType, name: PathBuf, found: &mut Files) {
    if kind.is_dir() {
        walk(&path, &name, found);
    } else if kind.is_file() {
        found.send(name, path);
    } else if kind.is_symlink() {
        match path.canonicalize() {
            Ok(real) if !real.starts_with(&found.boundary) => {
                found.leave_out(&path, "is a link that leads outside");
            }
            Ok(real) if real.is_file() => found.send(name, path),
            _ => found.leave_out(&path, "is a link to no file"),
        }
    } else {
        found.leave_out(&path, "is no file");
    }
}

impl Files {
    /// An artifact's name is text: of two files whose names are none, one would take the place of the other.
    fn send(&mut self, name: PathBuf, path: PathBuf) {
        match name.into_os_string().into_string() {
            Ok(name) => self.files.push(Found { name, path }),
            Err(_) => self.fail(&path, &"its name is not UTF-8"),
        }
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        self.left_out.push(format!("left out: `{}` {why}", as_text(path)));
    }

    fn fail(&mut self, path: &Path, error: &impl fmt::Display) {
        self.failed
            .push(format!("`{}` cannot be uploaded: {error}", as_text(path)));
    }
}

/// A path as text, so that two are never told as one: what is no text in it as `\xff`.
fn as_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    text
}

/// Opens a file that was found, and looks where it really lies: its name may lead elsewhere by now.
pub(super) fn open(path: &Path, boundary: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let real = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    if !real.starts_with(boundary) || real.starts_with("/proc") {
        return Err(io::Error::other("it leads out of the working directory"));
    }
    Ok(file)
}

/// A path without `.` and `..`, by its text alone.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;

    fn found(folder: &Path, source: &str, destination: Option<&str>) -> Result<Files, String> {
        find(&Request {
            source: folder.join(source),
            folder: folder.to_owned(),
            destination: destination.map(str::to_owned),
        })
    }

    fn names(files: &Files) -> Vec<&str> {
        files.files.iter().map(|found| found.name.as_str()).collect()
    }

    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("out/deep")).expect("made");
        for file in ["out/a", "out/deep/b", "c"] {
            fs::write(folder.path().join(file), file).expect("written");
        }
        folder
    }

    #[test]
    fn a_file_gets_exactly_the_name_that_is_given() {
        let folder = project();
        for (source, destination, expected) in [
            ("out/a", None, "out/a"),
            ("./out/../out/a", None, "out/a"),
            ("out/a", Some("bin/tool"), "bin/tool"),
            ("out/a", Some("/bin/"), "bin/a"),
        ] {
            let found = found(folder.path(), source, destination).expect("found");

            assert_eq!(names(&found), [expected], "{source} {destination:?}");
        }
    }

    #[test]
    fn a_folder_gives_its_files_a_prefix() {
        let folder = project();
        for (source, destination, expected) in [
            ("out", None, ["out/a", "out/deep/b"]),
            ("out", Some("x"), ["x/a", "x/deep/b"]),
            ("out/", Some("x/"), ["x/a", "x/deep/b"]),
        ] {
            let found = found(folder.path(), source, destination).expect("found");

            assert_eq!(names(&found), expected, "{source} {destination:?}");
        }
        assert_eq!(
            names(&found(folder.path(), ".", None).expect("found")),
            ["c", "out/a", "out/deep/b"]
        );
    }

    #[test]
    fn what_is_not_there_or_leads_out_is_refused_in_a_sentence() {
        let folder = project();
        symlink("/etc", folder.path().join("link")).expect("linked");

        for (source, destination, words) in [
            ("nothing", None, "there is no"),
            ("link", None, "leads out"),
            ("link/passwd", None, "leads out"),
            ("c", Some("../x"), "leads out"),
        ] {
            let sentence = found(folder.path(), source, destination).expect_err(source);

            assert!(sentence.contains(words), "{sentence}");
        }
    }

    #[test]
    fn links_inside_are_followed_to_files_only() {
        let folder = project();
        let out = folder.path().join("out");
        symlink("../c", out.join("inside")).expect("linked");
        symlink("/etc/passwd", out.join("outside")).expect("linked");
        symlink("..", out.join("loop")).expect("linked");
        symlink("gone", out.join("dangling")).expect("linked");

        let found = found(folder.path(), "out", None).expect("found");

        assert_eq!(names(&found), ["out/a", "out/deep/b", "out/inside"]);
        assert_eq!(found.left_out.len(), 3);
    }

    #[test]
    fn names_that_are_no_text_are_told_one_by_one_and_hide_nothing_else() {
        let folder = project();
        let out = folder.path().join("out");
        let odd = |bytes: &[u8]| out.join(OsStr::from_bytes(bytes));
        fs::create_dir_all(odd(b"\xc3\xa4\xfd/empty")).expect("made");
        for name in [b"a\xff".as_slice(), b"a\xfe", b"\xc3\xa4\xfd/c", b"\xc3\xa4"] {
            fs::write(odd(name), name).expect("written");
        }

        let mut found = found(folder.path(), "out", None).expect("found");

        assert_eq!(names(&found), ["out/a", "out/deep/b", "out/ä"]);
        found.failed.sort();
        let expected = [r"a\xfe", r"a\xff", r"ä\xfd/c"].map(|name| {
            format!(
                "`{}/{name}` cannot be uploaded: its name is not UTF-8",
                out.display()
            )
        });
        assert_eq!(found.failed, expected);
    }

    #[test]
    fn a_name_that_leads_elsewhere_by_now_is_not_opened() {
        let folder = project();
        let boundary = folder.path().canonicalize().expect("there");
        symlink("/etc/passwd", folder.path().join("swapped")).expect("linked");
        symlink("/proc/self/environ", folder.path().join("own")).expect("linked");

        assert!(open(&boundary.join("c"), &boundary).is_ok());
        assert!(open(&boundary.join("swapped"), &boundary).is_err());
        assert!(open(&boundary.join("own"), Path::new("/")).is_err());
        assert!(open(&boundary.join("out"), &boundary).is_err());
    }
}
