//! Variables, secrets and limits that `goatherd run` is given.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::program::{Repository, code, text};
use crate::run::events;
use crate::run_tree::seen;

const SHOW: &str = r#"
jobs:
  show:
    environment: {A: job, D: job}
    steps:
      - run: {name: show, environment: {D: step}, command: "echo \"A=$A B=$B C=$C D=$D\"; echo \"token=$TOKEN\"; echo \"$TOKEN\" | base64; test \"$TOKEN\" = hunter2hunter2 && echo right"}
"#;

fn with_secrets(mode: u32) -> Repository {
    let repository = Repository::with(&[(".ci.yml", SHOW)]);
    let file = repository.scratch().join("../secrets");
    fs::write(&file, "# mine\nexport TOKEN='hunter2hunter2'\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    repository
}

#[test]
fn variables_win_over_the_jobs_and_the_steps_win_over_them() {
    let repository = with_secrets(0o600);
    fs::write(repository.scratch().join("../env"), "A=file\nB=file\nD=file\n").unwrap();

    let output = repository
        .run(&["--json", "--env-file", "../env", "--env", "A=line", "--env", "C"])
        .args(["--secrets-file", "../secrets"])
        .env("C", "from here")
        .output()
        .unwrap();

    let seen = seen(&output);
    assert_eq!(seen[0], "A=line B=file C=from here D=step");
    assert_eq!(seen[1], "token=****");
    assert_eq!(seen.last().unwrap(), "right");
    let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(!all.contains("hunter2") && !all.contains("aHVudGVyMm"), "{all}");
    assert!(!all.contains("warning"), "{all}");
}

#[test]
fn secrets_that_others_can_read_or_that_are_not_masked_are_warned_about() {
    let repository = with_secrets(0o644);
    fs::write(repository.scratch().join("../more"), "PIN=123\nFLAG=true\n").unwrap();

    let output = repository
        .run(&["--secrets-file", "../secrets", "--secrets-file", "../more"])
        .output()
        .unwrap();

    let said = text(&output.stderr);
    assert_eq!(code(&output), 0, "{said}");
    assert!(
        said.contains("warning: others can read ../secrets (mode 0644)"),
        "{said}"
    );
    for name in ["PIN", "FLAG"] {
        assert!(
            said.contains(&format!("warning: the secret {name} is not masked in logs")),
            "{said}"
        );
    }
}

#[test]
fn what_is_missing_or_wrong_is_told_before_anything_starts() {
    let repository = with_secrets(0o600);
    fs::write(repository.scratch().join("../wrong"), "A=1\nhunter2\n").unwrap();
    fs::write(
        repository.scratch().join("../shell"),
        "A=hunter2\nBASH_ENV=hunter2\n",
    )
    .unwrap();
    fs::write(repository.scratch().join("../path"), "PATH=hunter2\n").unwrap();
    for (arguments, ending, part) in [
        (["--secrets-file", "../absent"], 1, "cannot read ../absent"),
        (["--env-file", "../absent"], 1, "cannot read ../absent"),
        (
            ["--secrets-file", "../wrong"],
            2,
            "../wrong, line 2: expected NAME=VALUE",
        ),
        (["--env", "NO_SUCH_VARIABLE"], 2, "there is no such variable here"),
        (["--env", "1=2"], 2, "no variable's name"),
        (["--env", "=2"], 2, "no variable's name"),
        (["--env", "HOME=/x"], 2, "--env: `HOME` says what the job is"),
        (["--env", "CIRCLE_SHA1=x"], 2, "is set by goatherd"),
        (
            ["--env", "LD_PRELOAD=x"],
            2,
            "would change what the shell of every step does",
        ),
        (
            ["--env-file", "../shell"],
            2,
            "../shell, line 2: `BASH_ENV` would change",
        ),
        (
            ["--secrets-file", "../path"],
            2,
            "../path, line 1: `PATH` is a variable that every task has",
        ),
        (
            ["--expose", "../absent"],
            2,
            "--expose ../absent: No such file or directory",
        ),
        (["--expose", "/"], 2, "--expose /: "),
        (["--expose", "/proc"], 2, "--expose /proc: "),
        (["--job-timeout", "5"], 2, "such as 300ms, 90s or 1h30m"),
    ] {
        let output = repository
            .run(&arguments)
            .args(["--data", "../data"])
            .output()
            .unwrap();

        let said = text(&output.stderr);
        assert_eq!(code(&output), ending, "{arguments:?}: {said}");
        assert!(
            said.contains(part) && !said.contains("hunter2"),
            "{arguments:?}: {said}"
        );
        assert!(output.stdout.is_empty());
        assert!(!repository.top().join("../data").exists());
    }
}

#[test]
fn a_job_that_takes_too_long_ends_with_8() {
    let repository = Repository::with(&[(
        ".ci.yml",
        "jobs:\n  wait:\n    time_limit: 1h\n    steps:\n      - run: {name: wait, command: sleep 1000}\n",
    )]);

    let output = repository
        .run(&["--json", "--job-timeout", "500ms"])
        .output()
        .unwrap();

    assert_eq!(code(&output), 8, "{}", text(&output.stderr));
    let events = events(&output.stdout);
    let job = events
        .iter()
        .find(|event| event["event"] == "job.finished")
        .unwrap();
    assert_eq!(
        (&job["outcome"], &job["cause"]["kind"]),
        (&json!("timed_out"), &json!("timeout"))
    );
    repository.assert_nothing_left();
}

#[test]
fn the_summary_names_every_job_with_its_end_and_its_time() {
    let repository = Repository::with(&[(
        ".ci.yml",
        "jobs:\n  good:\n    steps: [{run: 'true'}]\n  bad:\n    requires: [good]\n    steps: [{run: {name: fail, command: 'echo the reason; exit 3'}}]\n  never:\n    requires: [bad]\n    steps: [{run: 'true'}]\n",
    )]);

    let output = repository.run(&[]).output().unwrap();

    assert_eq!(code(&output), 1);
    let stdout = text(&output.stdout);
    let (_, summary) = stdout
        .split_once("bad failed: a step exited with code 3")
        .unwrap();
    assert_eq!(
        summary.lines().filter(|line| line.trim() == "the reason").count(),
        1,
        "{stdout}"
    );
    let words = |job: &str| -> Vec<String> {
        let line = summary
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{job} ")));
        line.unwrap_or_else(|| panic!("no {job}: {stdout}"))
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(words("good")[..2], ["good", "succeeded"]);
    assert!(words("good")[2].ends_with('s'));
    assert_eq!(words("bad")[..2], ["bad", "failed"]);
    assert_eq!(words("never"), ["never", "skipped"]);
}
