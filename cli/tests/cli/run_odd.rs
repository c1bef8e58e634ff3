//! Working trees with what git does not look at, cannot keep, or did not put there.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::program::{Repository, code, git_in, text};
use crate::run_tree::{LOOK, fingerprint, has, lacks, seen, unchanged};

fn look(repository: &Repository) -> (Vec<String>, String) {
    let before = fingerprint(&repository.top());
    let output = repository.run(&["--json"]).output().unwrap();
    let seen = seen(&output);
    unchanged(&before, &repository.top());
    (seen, text(&output.stderr))
}

fn make_pipe(path: &std::path::Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn files_that_git_is_told_not_to_look_at_run_as_they_are() {
    let repository = Repository::with(&[
        (".ci.yml", LOOK),
        ("assumed", "old\n"),
        ("assumed script", "old\n"),
        ("skipped", "old\n"),
        ("skipped and gone", "old\n"),
        ("both", "old\n"),
        ("same", "same\n"),
    ]);
    for name in ["assumed", "assumed script", "both", "same"] {
        repository.git(&["update-index", "--assume-unchanged", name]);
    }
    for name in ["skipped", "skipped and gone", "both"] {
        repository.git(&["update-index", "--skip-worktree", name]);
    }
    for name in ["assumed", "skipped", "both"] {
        repository.write(name, "newer\n");
    }
    let top = repository.top();
    fs::set_permissions(top.join("assumed script"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(top.join("skipped and gone")).unwrap();
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
    let flags = repository.git(&["ls-files", "-v"]);

    let (seen, said) = look(&repository);

    for line in [
        "./assumed:newer",
        "./skipped:newer",
        "./both:newer",
        "./same:same",
        "executable ./assumed script",
    ] {
        has(&seen, line);
    }
    lacks(&seen, "skipped and gone");
    assert!(said.contains("6 files (4 changed)"), "{said}");
    assert!(
        said.contains("note: 1 tracked file is not in this working tree"),
        "{said}"
    );
    assert_eq!(repository.git(&["ls-files", "-v"]), flags);
}

#[test]
fn what_git_cannot_keep_is_left_out_and_nothing_waits_for_a_pipe() {
    let repository = Repository::with(&[
        (".ci.yml", LOOK),
        ("was a file", "1\n"),
        ("was one too", "1\n"),
        ("a", "1\n"),
    ]);
    let top = repository.top();
    fs::remove_file(top.join("was a file")).unwrap();
    make_pipe(&top.join("was a file"));
    make_pipe(&top.join("new pipe"));
    fs::remove_file(top.join("was one too")).unwrap();
    let _one = UnixListener::bind(top.join("was one too")).unwrap();
    let _other = UnixListener::bind(top.join("new socket")).unwrap();

    let (seen, said) = look(&repository);

    has(&seen, "./a:1");
    for absent in ["was a file", "was one too", "new pipe", "new socket"] {
        lacks(&seen, absent);
    }
    assert!(
        said.contains("note: was a file: it is a named pipe here, so it is left out"),
        "{said}"
    );
    assert!(
        said.contains("note: was one too: it is a socket here, so it is left out"),
        "{said}"
    );
    assert!(said.contains("2 files (2 deleted)"), "{said}");
}

#[test]
fn a_pipe_that_git_itself_would_read_is_named() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("deep/er/a", "1\n")]);
    make_pipe(&repository.top().join("deep/er/.gitignore"));

    let output = repository.run(&[]).output().unwrap();

    let said = text(&output.stderr);
    assert_eq!(code(&output), 1, "{said}");
    assert!(said.contains("deep/er/.gitignore is a named pipe"), "{said}");
    repository.assert_nothing_left();
}

#[test]
fn a_config_that_is_a_pipe_is_none() {
    let repository = Repository::with(&[("a", "1\n")]);
    make_pipe(&repository.top().join(".ci.yml"));

    let output = repository.run(&[]).output().unwrap();

    assert_eq!(code(&output), 7);
    assert!(text(&output.stderr).contains("there is no config"), "{output:?}");
}

#[test]
fn files_that_change_while_they_are_read_are_read_again() {
    let repository = Repository::with(&[(".ci.yml", LOOK)]);
    let top = repository.top();
    let script = "cd \"$1\"; while :; do for i in 1 2 3 4 5 6 7 8 9; do \
                  head -c 300000 /dev/zero > f$i; : > f$i; rm f$i; done; done";
    let mut writer = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(&top)
        .process_group_of_its_own()
        .spawn()
        .unwrap();
    let mut ended = Vec::new();
    for _ in 0..3 {
        let output = repository.run(&[]).output().unwrap();
        ended.push((code(&output), text(&output.stderr)));
    }
    let group = format!("-{}", writer.id());
    let killed = Command::new("kill").args(["-s", "KILL", "--", &group]).status();
    assert!(killed.unwrap().success());
    writer.wait().unwrap();

    for (code, said) in ended {
        // Whoever is unlucky three times is told why.
        assert!(
            code == 0 || (code == 1 && said.contains("if something writes to it")),
            "{code}: {said}"
        );
    }
}

trait OwnGroup {
    fn process_group_of_its_own(&mut self) -> &mut Self;
}

impl OwnGroup for Command {
    fn process_group_of_its_own(&mut self) -> &mut Self {
        std::os::unix::process::CommandExt::process_group(self, 0)
    }
}

#[test]
fn what_is_in_the_place_of_a_submodule_is_taken() {
    let inner = Repository::with(&[("lib", "1\n")]);
    let repository = Repository::with(&[(".ci.yml", LOOK), (".gitignore", "*.o\n")]);
    let url = inner.top().display().to_string();
    let names = ["plain", "file", "loose", "gone", "link"];
    for name in names {
        repository.git(&["submodule", "--quiet", "add", &url, &format!("mods/{name}")]);
    }
    repository.git(&["commit", "--quiet", "--all", "--message", "submodules"]);
    let at = |name: &str| repository.top().join("mods").join(name);
    for name in &names[1..] {
        fs::remove_dir_all(at(name)).unwrap();
    }
    repository.write("mods/file", "a file\n");
    repository.write("mods/loose/own", "own\n");
    repository.write("mods/loose/own.o", "ignored\n");
    fs::create_dir(at("loose/nested")).unwrap();
    git_in(&at("loose/nested"), &["init", "--quiet"]);
    repository.write("mods/loose/nested/x", "1\n");
    symlink("plain", at("link")).unwrap();

    let (seen, said) = look(&repository);

    for line in [
        "./mods/plain/lib:1",
        "./mods/file:a file",
        "./mods/loose/own:own",
        "link ./mods/link plain",
    ] {
        has(&seen, line);
    }
    for absent in ["own.o", "./mods/gone", "nested", "mods/link/lib"] {
        lacks(&seen, absent);
    }
    for part in [
        "note: mods/file: this is no submodule here any more",
        "note: mods/loose: this submodule's folder has files and no repository in it",
        "note: mods/loose/nested/: it is a git repository of its own",
        "note: mods/plain: this submodule's files are taken as they are here",
    ] {
        assert!(said.contains(part), "no `{part}`: {said}");
    }
}

#[test]
fn a_tracked_file_that_changed_and_cannot_be_read_ends_the_run() {
    let repository = Repository::with(&[(".ci.yml", LOOK), ("a", "1\n")]);
    repository.write("a", "2 and more\n");
    fs::set_permissions(repository.top().join("a"), fs::Permissions::from_mode(0o000)).unwrap();
    let run = repository.run(&[]);
    let mut command = if fs::File::open(repository.top().join("a")).is_ok() {
        // Modes do not stop root as long as it has all of its capabilities.
        let mut command = Command::new("setpriv");
        command.arg("--bounding-set=-dac_override,-dac_read_search");
        command.arg("--inh-caps=-dac_override,-dac_read_search");
        command.arg(run.get_program()).args(run.get_args());
        command.current_dir(repository.top());
        for (name, value) in run.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    } else {
        run
    };

    let output = command.output().unwrap();

    let said = text(&output.stderr);
    assert_eq!(code(&output), 1, "{said}");
    assert!(
        said.contains("a is tracked, differs from what git has and cannot be read: Permission denied"),
        "{said}"
    );
}

#[test]
fn a_config_that_is_a_link_is_followed_within_the_repository() {
    let repository = Repository::with(&[("ci/build.yml", "jobs: {}"), ("a", "1\n")]);
    let top = repository.top();
    fs::create_dir(top.join(".circleci")).unwrap();
    symlink("../ci/build.yml", top.join(".circleci/config.yml")).unwrap();
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--message", "a link"]);
    // The link is as it was committed, and what it leads to is not.
    repository.write("ci/build.yml", LOOK);

    let (seen, _) = look(&repository);

    has(&seen, "./a:1");
    has(&seen, "link ./.circleci/config.yml ../ci/build.yml");
    for (target, part) in [
        ("/etc/passwd", "leads out of the repository, to /etc/passwd"),
        ("../../x", "leads out of the repository, to ../x"),
        ("absent", "that is not in the commit"),
        ("config.yml", "leads back to itself"),
    ] {
        fs::remove_file(top.join(".circleci/config.yml")).unwrap();
        symlink(target, top.join(".circleci/config.yml")).unwrap();

        let output = repository.run(&["--json"]).output().unwrap();

        let said = text(&output.stderr);
        assert_eq!(code(&output), 7, "{target}: {said}");
        assert!(
            said.contains(".circleci/config.yml is a symbolic link") && said.contains(part),
            "{said}"
        );
        let events = crate::run::events(&output.stdout);
        assert_eq!(events.last().unwrap()["cause"]["kind"], "config", "{target}");
    }
}

#[test]
fn a_config_in_a_folder_that_is_a_link_is_found() {
    let repository = Repository::with(&[("ci/config.yml", LOOK), ("a", "1\n")]);
    symlink("ci", repository.top().join(".circleci")).unwrap();

    let (seen, _) = look(&repository);

    has(&seen, "./a:1");
}

#[test]
fn a_repository_with_sha_256_runs() {
    let repository = Repository::with(&[(".ci.yml", LOOK)]);
    let other = repository.top().join("../other");
    fs::create_dir(&other).unwrap();
    git_in(
        &other,
        &[
            "init",
            "--quiet",
            "--initial-branch=main",
            "--object-format=sha256",
        ],
    );
    fs::write(other.join(".ci.yml"), LOOK).unwrap();
    fs::write(other.join("a"), "1\n").unwrap();
    git_in(&other, &["add", "--all"]);
    git_in(&other, &["commit", "--quiet", "--message", "Begin"]);
    let head = git_in(&other, &["rev-parse", "HEAD"]);

    let committed = seen(&repository.run_in(&other, &["--json"]).output().unwrap());
    fs::write(other.join("a"), "2\n").unwrap();
    let changed = seen(&repository.run_in(&other, &["--json"]).output().unwrap());

    assert_eq!(head.len(), 64);
    has(&committed, &format!("commit {head} on main"));
    has(&changed, "./a:2");
    has(&changed, "logged Begin");
}
