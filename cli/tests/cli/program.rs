//! Calling the program, and git.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The program in a folder, with an environment that names nothing of this machine's user.
pub(crate) fn goatherd<A: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_goatherd"));
    command.args(arguments).current_dir(folder);
    for variable in ["GOATHERD_URL", "GOATHERD_TOKEN", "GOATHERD_AGENT_TOKEN"] {
        command.env_remove(variable);
    }
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output
        .status
        .code()
        .unwrap_or_else(|| panic!("ended by a signal: {output:?}"))
}

/// The folder with `orchestrator` and `circleci-agent`: beside the program, else where `./do build` puts them.
///
/// Both have the program's age only when the whole workspace was built.
pub(crate) fn bin_dir() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_goatherd"))
        .parent()
        .unwrap()
        .to_owned();
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bin/linux/amd64");
    let complete = |folder: &&PathBuf| {
        ["orchestrator", "circleci-agent"]
            .iter()
            .all(|name| folder.join(name).is_file())
    };
    [
        std::env::var_os("GOATHERD_BIN").map(PathBuf::from),
        Some(built),
        Some(beside),
    ]
    .iter()
    .flatten()
    .find(complete)
    .unwrap_or_else(|| panic!("orchestrator and circleci-agent are missing: run `./do build` first"))
    .canonicalize()
    .unwrap()
}

/// Runs git, and gives what it says.
pub(crate) fn git_in(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=Test", "-c", "user.email=test@localhost"])
        .args(["-c", "protocol.file.allow=always"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout).trim().to_owned()
}

/// A git repository with one commit of these files, and a scratch folder beside it.
pub(crate) struct Repository {
    folder: TempDir,
}

impl Repository {
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::with_prefix("goatherd-test-").unwrap();
        let repository = Self { folder };
        fs::create_dir(repository.top()).unwrap();
        fs::create_dir(repository.scratch()).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        for (name, content) in files {
            repository.write(name, content);
        }
        repository.git(&["add", "--all"]);
        repository.git(&["commit", "--quiet", "--message", "Begin"]);
        repository
    }

    pub(crate) fn top(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    /// Where the program puts temporary folders; empty when nothing was left behind.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    /// A run has removed its temporary folders.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        let left = self.left_behind();
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    pub(crate) fn left_behind(&self) -> Vec<PathBuf> {
        fs::read_dir(self.scratch())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.top().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// `goatherd run` here.
    pub(crate) fn run(&self, arguments: &[&str]) -> Command {
        self.run_in(&self.top(), arguments)
    }

    /// `goatherd run` in some folder, with this scratch folder.
    pub(crate) fn run_in(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = goatherd(folder, ["run"]);
        command.args(arguments).arg("--bin-dir").arg(bin_dir());
        command
            .env("TMPDIR", self.scratch())
            .env("XDG_STATE_HOME", self.scratch());
        command
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git_in(&self.top(), arguments)
    }
}
