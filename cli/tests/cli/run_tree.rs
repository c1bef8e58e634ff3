//! What `goatherd run` runs: the working tree as it is, and nothing of it is changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::program::{Repository, code, git_in, text};
use crate::run::events;

/// Prints every file of the checkout with its lines, every link, and what is executable.
pub(crate) const LOOK: &str = r#"
jobs:
  look:
    steps:
      - checkout
      - run:
          name: look
          command: |
            find . -path ./.git -prune -o -type f -print0 | sort -z | xargs -0 -r grep -aH '' || true
            find . -path ./.git -prune -o -type l -printf 'link %p %l\n'
            find . -path ./.git -prune -o -type f -perm -100 -printf 'executable %p\n'
            echo "commit $CI_COMMIT on ${CI_BRANCH:-none}"
            git log --format='logged %s' | cat
            git status --short
"#;

/// What the job's step wrote, line by line.
pub(crate) fn seen(output: &Output) -> Vec<String> {
    assert_eq!(
        code(output),
        0,
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let written: String = events(&output.stdout)
        .iter()
        .filter(|event| event["event"] == "step.output" && event["stream"] == "stdout")
        .map(|event| event["text"].as_str().unwrap())
        .collect();
    written.lines().map(str::to_owned).collect()
}

pub(crate) type Fingerprint = BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)>;

/// Everything below a folder: kind, mode, time of the last change, and content.
pub(crate) fn fingerprint(folder: &Path) -> Fingerprint {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let status = path.symlink_metadata().unwrap();
            let content = if status.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            if status.is_dir() {
                folders.push(path.clone());
            }
            found.insert(
                path,
                (status.mode(), status.mtime(), status.mtime_nsec(), content),
            );
        }
    }
    found
}

/// Sees that everything below a folder is as it was.
#[track_caller]
pub(crate) fn unchanged(before: &Fingerprint, folder: &Path) {
    let after = fingerprint(folder);
    let paths = before.keys().chain(after.keys());
    let different: Vec<_> = paths
        .filter(|path| before.get(*path) != after.get(*path))
        .collect();
    assert!(different.is_empty(), "changed: {different:#?}");
}

fn look(repository: &Repository, arguments: &[&str]) -> (Vec<String>, String) {
    let before = fingerprint(&repository.top());
    let output = repository
        .run(&[&["--json"], arguments].concat())
        .output()
        .unwrap();
    let seen = seen(&output);
    unchanged(&before, &repository.top());
    repository.assert_nothing_left();
    (seen, text(&output.stderr))
}

#[track_caller]
pub(crate) fn has(seen: &[String], line: &str) {
    assert!(seen.iter().any(|found| found == line), "no `{line}` in {seen:#?}");
}

#[track_caller]
pub(crate) fn lacks(seen: &[String], part: &str) {
    assert!(
        !seen.iter().any(|found| found.contains(part)),
        "`{part}` in {seen:#?}"
    );
}

#[test]
fn the_working_tree_runs_as_it_is_and_is_not_touched() {
    let repository = Repository::with(&[
        (".ci.yml", "not: yet"),
        (".gitignore", "*.log\n/target/\n"),
        ("changed", "old\n"),
        ("staged", "old\n"),
        ("staged then changed", "old\n"),
        ("gone", "old\n"),
        ("unstaged", "old\n"),
        ("script", "old\n"),
        ("file to folder", "old\n"),
        ("folder to file/inner", "old\n"),
        ("folder to link/inner", "old\n"),
        ("same", "same\n"),
    ]);
    let top = repository.top();
    repository.write(".ci.yml", LOOK);
    repository.write("changed", "new\n");
    repository.write("staged", "new\n");
    repository.write("staged then changed", "newer\n");
    repository.git(&["add", "staged", "staged then changed"]);
    repository.write("staged then changed", "newest\n");
    fs::remove_file(top.join("gone")).unwrap();
    repository.git(&["rm", "--quiet", "--cached", "unstaged"]);
    fs::set_permissions(top.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(top.join("file to folder")).unwrap();
    repository.write("file to folder/inner", "new\n");
    fs::remove_dir_all(top.join("folder to file")).unwrap();
    repository.write("folder to file", "new\n");
    fs::remove_dir_all(top.join("folder to link")).unwrap();
    symlink("deep", top.join("folder to link")).unwrap();
    repository.write("deep/inner", "deep\n");
    repository.write("meant", "to be added\n");
    repository.git(&["add", "--intent-to-add", "meant"]);
    repository.write("new in\u{e4}\n two lines", "new\n");
    symlink("/nonexistent", top.join("link")).unwrap();
    repository.write("ignored.log", "ignored\n");
    repository.write("target/out", "ignored\n");
    repository.git(&["add", "--force", "ignored.log"]);

    let (seen, said) = look(&repository, &[]);

    for line in [
        "./changed:new",
        "./staged:new",
        "./staged then changed:newest",
        "./unstaged:old",
        "./script:old",
        "executable ./script",
        "./file to folder/inner:new",
        "./folder to file:new",
        "link ./folder to link deep",
        "./deep/inner:deep",
        "./meant:to be added",
        " two lines:new",
        "link ./link /nonexistent",
        "./ignored.log:ignored",
        "./same:same",
        "logged The working tree, as `goatherd run` found it",
        "logged Begin",
    ] {
        has(&seen, line);
    }
    lacks(&seen, "./gone:");
    lacks(&seen, "./target");
    assert_eq!(
        seen.iter().filter(|line| line.starts_with("executable ")).count(),
        1
    );
    assert!(
        said.contains("running the working tree: 16 files (8 changed, 4 deleted, 6 untracked)"),
        "{said}"
    );
    assert!(said.contains(", on top of HEAD "), "{said}");
}

#[test]
fn what_is_committed_runs_under_its_own_commit() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("a", "1\n")]);
    let head = repository.git(&["rev-parse", "HEAD"]);
    // Looks changed, and is not.
    repository.write("a", "1\n");

    let (seen, said) = look(&repository, &[]);

    has(&seen, &format!("commit {head} on main"));
    assert!(
        said.starts_with(&format!(
            "running the working tree: 2 files, as in HEAD {} (main)\n",
            &head[..12]
        )),
        "{said}"
    );
}

#[test]
fn the_commit_runs_where_it_is_asked_for() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("a", "1\n")]);
    let head = repository.git(&["rev-parse", "HEAD"]);
    repository.write("a", "2\n");
    repository.write(".ci.yml", "jobs: {}");

    let (seen, said) = look(&repository, &["--committed"]);

    has(&seen, "./a:1");
    has(&seen, &format!("commit {head} on main"));
    assert!(said.starts_with("running HEAD "), "{said}");
}

#[test]
fn a_change_in_the_instant_of_the_commit_is_seen() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("a", "1\n")]);
    for number in 2..5 {
        // As large as before, and as old as the index.
        repository.write("a", &format!("{number}\n"));
        repository.git(&["commit", "--quiet", "--all", "--message", "more"]);
        repository.write("a", &format!("{}\n", number + 1));

        let (seen, _) = look(&repository, &[]);

        has(&seen, &format!("./a:{}", number + 1));
    }
}

#[test]
fn a_config_counts_as_it_is_in_the_tree() {
    let repository = Repository::with(&[("a", "1\n"), (".gitignore", "/.ci.yml\n")]);
    repository.write(".ci.yml", LOOK);

    let (seen, said) = look(&repository, &[]);

    has(&seen, "./a:1");
    assert!(
        said.contains("note: .ci.yml: it is taken although git ignores it"),
        "{said}"
    );
    repository.write(".ci.yml", "jobs:\n  build:\n    stpes: []\n");
    let output = repository.run(&[]).output().unwrap();
    assert_eq!(code(&output), 7);
    assert!(text(&output.stderr).contains("stpes"), "{output:?}");
    fs::remove_file(repository.top().join(".ci.yml")).unwrap();
    assert_eq!(code(&repository.run(&[]).output().unwrap()), 7);
}

#[test]
fn large_untracked_files_are_left_out_and_named() {
    let repository = Repository::with(&[(".ci.yml", LOOK)]);
    let file = fs::File::create(repository.top().join("data.bin")).unwrap();
    file.set_len(101 * 1024 * 1024 + 1).unwrap();
    repository.write("small", "1\n");
    let output = repository.run(&["--json"]).output().unwrap();

    let seen = seen(&output);

    has(&seen, "./small:1");
    lacks(&seen, "data.bin");
    let said = text(&output.stderr);
    assert!(
        said.contains("note: data.bin: it has 102 MiB, and untracked, so it is left out"),
        "{said}"
    );
    assert!(said.contains("2 files (1 untracked)"), "{said}");
}

#[test]
fn no_filter_and_no_hook_is_run_and_files_are_what_they_are_here() {
    let repository = Repository::with(&[
        (".ci.yml", LOOK),
        (".gitattributes", "*.dat filter=box\n*.txt eol=crlf\n"),
        ("text.txt", "one\n"),
    ]);
    let (marks, scratch) = (repository.scratch().join("../marks"), repository.scratch());
    fs::create_dir(&marks).unwrap();
    let mark = |name: &str| format!("touch {}/{name}; cat", marks.display());
    repository.git(&["config", "filter.box.clean", "sed s/^/boxed-/"]);
    repository.git(&["config", "filter.box.required", "true"]);
    repository.write("kept.dat", "kept\n");
    repository.write("changed.dat", "old\n");
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--message", "boxes"]);
    assert_eq!(repository.git(&["show", "HEAD:kept.dat"]), "boxed-kept");
    repository.git(&["config", "filter.box.clean", &mark("clean")]);
    repository.git(&["config", "filter.box.smudge", &mark("smudge")]);
    repository.git(&[
        "config",
        "core.fsmonitor",
        &format!("{}/monitor", scratch.display()),
    ]);
    let hook = repository.top().join(".git/hooks/post-index-change");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\ntouch {}/hook\n", marks.display())).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    repository.write("changed.dat", "new\n");

    let (seen, _) = look(&repository, &[]);

    has(&seen, "./kept.dat:kept");
    has(&seen, "./changed.dat:new");
    assert_eq!(
        fs::read_dir(&marks).unwrap().count(),
        0,
        "something of the user's was run"
    );
}

#[test]
fn a_split_index_is_read_and_left_as_it_is() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("a", "1\n"), ("b", "1\n")]);
    repository.git(&["config", "core.splitIndex", "true"]);
    repository.git(&["update-index", "--split-index"]);
    repository.write("c", "1\n");
    repository.git(&["add", "c"]);
    repository.write("b", "2\n");
    for path in fingerprint(&repository.top().join(".git")).keys() {
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("sharedindex")
        {
            let file = fs::File::open(path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000))
                .unwrap();
        }
    }

    let (seen, _) = look(&repository, &[]);

    for line in ["./a:1", "./b:2", "./c:1"] {
        has(&seen, line);
    }
}

#[test]
fn a_repository_that_cannot_be_written_runs() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("a", "1\n")]);
    repository.write("a", "2\n");
    let top = repository.top();
    let run = repository.run(&["--json"]);
    let output = if top.metadata().unwrap().uid() == 0 {
        // Modes do not stop root; a mount does, in a mount namespace that ends with the program.
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "sh",
                "-c",
                "mount --bind . . && mount -o remount,ro,bind . && cd \"$PWD\" && exec \"$@\"",
                "sh",
            ])
            .arg(run.get_program())
            .args(run.get_args())
            .current_dir(&top);
        for (name, value) in run.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.output().unwrap()
    } else {
        let set = |mode: &str| {
            let status = Command::new("chmod")
                .args(["-R", mode])
                .arg(top.join(".git"))
                .status();
            assert!(status.unwrap().success());
        };
        set("a-w");
        let mut run = run;
        let output = run.output().unwrap();
        set("u+w");
        output
    };

    has(&seen(&output), "./a:2");
}

#[test]
fn a_files_state_in_a_hook_is_that_of_the_hooks_repository() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("a", "1\n")]);
    repository.write("a", "2\n");
    let top = repository.top();
    let output = repository
        .run_in(&top, &["--json"])
        .env("GIT_DIR", top.join(".git"))
        .env("GIT_INDEX_FILE", top.join(".git/index"))
        .env("GIT_WORK_TREE", &top)
        .output()
        .unwrap();

    has(&seen(&output), "./a:2");
    assert_eq!(git_in(&top, &["diff", "--cached", "--stat"]), "");
}
