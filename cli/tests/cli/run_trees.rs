//! Repositories of all kinds, as `goatherd run` meets them.

use std::fs;
use std::path::Path;

use crate::program::{Repository, git_in, text};
use crate::run_tree::{LOOK, fingerprint, has, lacks, seen, unchanged};

/// Runs in a folder, and sees that nothing of what is below `whole` changes.
fn look(repository: &Repository, folder: &Path, whole: &Path) -> (Vec<String>, String) {
    let before = fingerprint(whole);
    let output = repository.run_in(folder, &["--json"]).output().unwrap();
    let seen = seen(&output);
    unchanged(&before, whole);
    (seen, text(&output.stderr))
}

/// A clone of the repository, beside it.
fn cloned(repository: &Repository, arguments: &[&str]) -> std::path::PathBuf {
    let target = repository.top().join("../clone");
    let source = format!("file://{}", repository.top().display());
    let all = [
        &["clone", "--quiet"],
        arguments,
        &[source.as_str(), target.to_str().unwrap()],
    ]
    .concat();
    git_in(&repository.top(), &all);
    target
}

#[test]
fn a_repository_without_a_commit_runs() {
    let repository = Repository::with(&[("first", "1\n")]);
    let fresh = repository.top().join("../fresh");
    fs::create_dir(&fresh).unwrap();
    git_in(&fresh, &["init", "--quiet", "--initial-branch=trunk"]);
    fs::write(fresh.join(".ci.yml"), LOOK).unwrap();
    fs::write(fresh.join("a"), "1\n").unwrap();

    let (found, said) = look(&repository, &fresh, &fresh);

    has(&found, "./a:1");
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("commit ") && line.ends_with(" on trunk")),
        "{found:?}"
    );
    assert_eq!(found.iter().filter(|line| line.starts_with("logged ")).count(), 1);
    assert!(
        said.starts_with("running the working tree: 2 files (2 untracked), on top of no commit yet (trunk)"),
        "{said}"
    );
    git_in(&fresh, &["add", "a"]);
    let (found, said) = look(&repository, &fresh, &fresh);
    has(&found, "./a:1");
    assert!(said.contains("(1 changed, 1 untracked)"), "{said}");
}

#[test]
fn a_subfolder_stands_for_the_whole_tree() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("a", "1\n"), ("deep/er/b", "1\n")]);
    repository.write("a", "2\n");
    repository.write("deep/new", "1\n");

    let (found, _) = look(&repository, &repository.top().join("deep/er"), &repository.top());

    for line in ["./a:2", "./deep/er/b:1", "./deep/new:1"] {
        has(&found, line);
    }
}

#[test]
fn a_linked_worktree_is_a_tree_of_its_own() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("a", "1\n")]);
    let linked = repository.top().join("../linked");
    repository.git(&[
        "worktree",
        "add",
        "--quiet",
        "-b",
        "side",
        linked.to_str().unwrap(),
    ]);
    fs::write(repository.top().join(".git/info/exclude"), "*.secret\n").unwrap();
    fs::write(linked.join("a"), "side\n").unwrap();
    fs::write(linked.join("b.secret"), "1\n").unwrap();
    repository.write("a", "main\n");

    let (found, said) = look(&repository, &linked, &repository.top().join(".git"));

    has(&found, "./a:side");
    lacks(&found, "b.secret");
    assert!(said.contains("(side)"), "{said}");
}

#[test]
fn a_detached_head_has_no_branch() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("a", "1\n")]);
    repository.git(&["checkout", "--quiet", "--detach"]);
    repository.write("a", "2\n");

    let (found, _) = look(&repository, &repository.top(), &repository.top());

    has(&found, "./a:2");
    assert!(found.iter().any(|line| line.ends_with(" on none")), "{found:?}");
}

fn with_history() -> Repository {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("a", "1\n"), ("dropped", "1\n")]);
    for number in 2..5 {
        repository.write("a", &format!("{number}\n"));
        repository.git(&[
            "commit",
            "--quiet",
            "--all",
            "--message",
            &format!("number {number}"),
        ]);
    }
    repository
}

#[test]
fn a_shallow_clone_runs_with_the_history_that_it_has() {
    let repository = with_history();
    let clone = cloned(&repository, &["--depth", "2"]);

    let (clean, _) = look(&repository, &clone, &clone);
    fs::write(clone.join("a"), "5\n").unwrap();
    let (changed, _) = look(&repository, &clone, &clone);

    has(&clean, "./a:4");
    assert_eq!(
        clean.iter().filter(|line| line.starts_with("logged ")).count(),
        2,
        "{clean:?}"
    );
    has(&changed, "./a:5");
    assert_eq!(
        changed.iter().filter(|line| line.starts_with("logged ")).count(),
        3,
        "{changed:?}"
    );
}

#[test]
fn a_partial_clone_runs_without_its_history() {
    let repository = with_history();
    repository.git(&["config", "uploadpack.allowFilter", "true"]);
    let clone = cloned(&repository, &["--filter=blob:none"]);
    fs::write(clone.join("a"), "5\n").unwrap();

    let (found, _) = look(&repository, &clone, &clone);

    has(&found, "./a:5");
    has(&found, "./dropped:1");
    assert_eq!(
        found.iter().filter(|line| line.starts_with("logged ")).count(),
        1,
        "{found:?}"
    );
}

#[test]
fn a_sparse_checkout_runs_without_the_files_outside_of_it() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("in/a", "1\n"), ("out/b", "1\n")]);
    repository.git(&["sparse-checkout", "set", "--cone", "in"]);
    assert!(!repository.top().join("out").exists());
    repository.write("in/a", "2\n");

    let (found, said) = look(&repository, &repository.top(), &repository.top());

    has(&found, "./in/a:2");
    lacks(&found, "./out/b");
    assert!(said.contains("2 files (1 changed)"), "{said}");
    assert!(
        said.contains("note: 1 tracked file is not in this working tree"),
        "{said}"
    );
}

#[test]
fn a_sparse_index_is_read_too() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("in/a", "1\n"), ("out/b", "1\n")]);
    repository.git(&["sparse-checkout", "set", "--cone", "--sparse-index", "in"]);
    repository.write("in/a", "2\n");
    // git renews the times of some trees when it looks into one.
    let untimed = || -> Vec<_> {
        let found = fingerprint(&repository.top()).into_iter();
        found
            .map(|(path, (mode, _, _, content))| (path, mode, content))
            .collect()
    };
    let before = untimed();

    let found = seen(&repository.run(&["--json"]).output().unwrap());

    has(&found, "./in/a:2");
    lacks(&found, "./out/b");
    assert!(before == untimed());
}

#[test]
fn a_clone_that_borrows_objects_runs() {
    let repository = with_history();
    let clone = cloned(&repository, &["--shared"]);
    fs::write(clone.join("a"), "5\n").unwrap();

    let (found, _) = look(&repository, &clone, &clone);

    has(&found, "./a:5");
}

#[test]
fn a_merge_in_conflict_runs_as_it_is_in_the_tree() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("a", "1\n")]);
    repository.git(&["checkout", "--quiet", "-b", "side"]);
    repository.write("a", "side\n");
    repository.git(&["commit", "--quiet", "--all", "--message", "side"]);
    repository.git(&["checkout", "--quiet", "main"]);
    repository.write("a", "main\n");
    repository.git(&["commit", "--quiet", "--all", "--message", "main"]);
    let merged = std::process::Command::new("git")
        .args([
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@localhost",
            "merge",
            "--quiet",
            "side",
        ])
        .current_dir(repository.top())
        .output()
        .unwrap();
    assert!(!merged.status.success());

    let (found, _) = look(&repository, &repository.top(), &repository.top());

    has(&found, "./a:<<<<<<< HEAD");
    has(&found, "./a:side");
}

#[test]
fn submodules_are_there_with_their_files_and_other_repositories_are_not() {
    let inner = Repository::with(&[("lib", "1\n"), ("old", "1\n"), (".gitignore", "*.o\n")]);
    let repository = Repository::with(&[(".ci.yml", LOOK), ("a", "1\n")]);
    let url = inner.top().display().to_string();
    repository.git(&["submodule", "--quiet", "add", &url, "mods/one"]);
    repository.git(&["submodule", "--quiet", "add", &url, "mods/two"]);
    repository.git(&["commit", "--quiet", "--all", "--message", "submodules"]);
    repository.git(&["submodule", "--quiet", "deinit", "--force", "mods/two"]);
    repository.write("mods/one/lib", "2\n");
    repository.write("mods/one/new", "1\n");
    repository.write("mods/one/lib.o", "1\n");
    fs::remove_file(repository.top().join("mods/one/old")).unwrap();
    for (name, has_commit) in [("nested", true), ("empty", false)] {
        let nested = repository.top().join(name);
        fs::create_dir(&nested).unwrap();
        git_in(&nested, &["init", "--quiet"]);
        fs::write(nested.join("own"), "1\n").unwrap();
        if has_commit {
            git_in(&nested, &["add", "own"]);
            git_in(&nested, &["commit", "--quiet", "--message", "own"]);
        }
    }

    let (found, said) = look(&repository, &repository.top(), &repository.top());

    for line in ["./a:1", "./mods/one/lib:2", "./mods/one/new:1"] {
        has(&found, line);
    }
    for absent in ["mods/one/old", "lib.o", "mods/two/", "./nested", "./empty"] {
        lacks(&found, absent);
    }
    for part in [
        "note: mods/one: this submodule's files are taken as they are here",
        "note: mods/two: this submodule is not checked out here",
        "note: nested: it is a git repository of its own and no submodule, so it is left out",
        "note: empty: it is a git repository of its own",
    ] {
        assert!(said.contains(part), "no `{part}`: {said}");
    }
}
