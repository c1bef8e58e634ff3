//! A folder with a repository, Goatherd's programs and a place for temporary files, for somebody who calls
//! `goatherd run` there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use internal_testing::{Repository, binaries};
use tempfile::TempDir;

/// Somebody who is not root, and whom no host has.
pub const ORDINARY: u32 = 54_322;

/// The folder. What is in it belongs to whoever sits there.
#[derive(Debug)]
pub struct Desk {
    folder: TempDir,
    user: Option<u32>,
}

impl Desk {
    /// The desks of all who can try it here: whoever this is, and as root an ordinary user too.
    ///
    /// # Panics
    /// When one cannot be made, as with all below.
    #[must_use]
    pub fn all(config: &str, programs: &[&str]) -> Vec<Self> {
        let ordinary = is_root().then_some(Some(ORDINARY));
        [None]
            .into_iter()
            .chain(ordinary)
            .map(|user| Self::new(config, user, programs))
            .collect()
    }

    /// A desk with `config` as the repository's, for `user` or whoever this is, who can execute `programs` too.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(config: &str, user: Option<u32>, programs: &[&str]) -> Self {
        let folder = TempDir::with_prefix("goatherd-test-").expect("a temporary folder can be made");
        let at = |name: &str| folder.path().join(name);
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        open(folder.path(), 0o755);
        Repository::new(&at("app")).commit(".ci.yml", config);
        fs::create_dir(at("scratch")).expect("it is ours");
        open(&at("scratch"), 0o711);
        fs::create_dir(at("bin")).expect("it is ours");
        let shipped =
            ["goatherd", "orchestrator", "circleci-agent"].map(|name| binaries::folder().join(name));
        for program in shipped.into_iter().chain(programs.iter().map(PathBuf::from)) {
            let name = program.file_name().expect("a program has a name");
            fs::copy(&program, at("bin").join(name)).expect("programs can be copied");
        }
        if let Some(user) = user {
            let owned = Command::new("chown")
                .arg("-R")
                .arg(format!("{user}:{user}"))
                .arg(folder.path())
                .status();
            assert!(owned.expect("chown runs").success());
        }
        Self { folder, user }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where temporary files go.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    /// Changes the repository's config, without a commit.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn set_config(&self, config: &str) {
        fs::write(self.folder.path().join("app/.ci.yml"), config).expect("it is ours");
    }

    /// `goatherd run` behind the words of `wrapper`, the first of which is the name of a program here, or in `PATH`.
    #[must_use]
    pub fn command(&self, wrapper: &[&str]) -> Command {
        let mut command = self.goatherd(wrapper);
        command.arg("run");
        command
    }

    /// `goatherd`, without a word yet, behind the words of `wrapper`.
    #[must_use]
    pub fn goatherd(&self, wrapper: &[&str]) -> Command {
        let at = |name: &str| self.folder.path().join("bin").join(name);
        let words = wrapper.iter().map(|word| {
            let own = at(word);
            if own.is_file() { own } else { PathBuf::from(word) }
        });
        let mut words = words.chain([at("goatherd")]);
        let mut command = Command::new(words.next().expect("goatherd is one"));
        command
            .args(words)
            .current_dir(self.folder.path().join("app"))
            .env("TMPDIR", self.scratch())
            .env("HOME", self.folder.path())
            .env_remove("XDG_STATE_HOME");
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Runs it to its end, and sees that nothing is left of it.
    ///
    /// # Panics
    /// When something is left.
    #[must_use]
    pub fn run(&self, wrapper: &[&str]) -> Said {
        let output = self.command(wrapper).output().expect("it can be executed");
        self.nothing_left();
        Said::of(&output)
    }

    /// # Panics
    /// When there is a temporary file.
    pub fn nothing_left(&self) {
        let left: Vec<_> = fs::read_dir(self.scratch())
            .expect("it is ours")
            .flatten()
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// What a program said, and its exit code; none where a signal ended it.
#[derive(Debug)]
pub struct Said {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Reads it.
    #[must_use]
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A config with one job that checks out and runs `command`.
#[must_use]
pub fn job(command: &str) -> String {
    let indented = command.trim().replace('\n', "\n          ");
    format!("jobs:\n  work:\n    steps:\n      - checkout\n      - run: |\n          {indented}\n")
}

/// Whether this is root.
///
/// # Panics
/// Where `/proc` is missing.
#[must_use]
pub fn is_root() -> bool {
    fs::read_to_string("/proc/self/status")
        .expect("/proc is mounted")
        .contains("\nUid:\t0\t0\t")
}

/// A number of seconds that nothing else on this machine sleeps.
#[must_use]
pub fn mark(name: &str) -> String {
    let letters: u32 = name.bytes().map(u32::from).sum();
    format!("8{}{letters:05}", std::process::id())
}

/// The processes that sleep for `mark` seconds.
///
/// # Panics
/// Where `/proc` is missing.
#[must_use]
pub fn sleeping(mark: &str) -> Vec<i32> {
    let line = format!("sleep\0{mark}\0");
    let all = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|found| found == line.as_bytes()))
        .collect()
}
