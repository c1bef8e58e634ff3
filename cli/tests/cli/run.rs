//! `goatherd run`, end to end: server, agent, sandbox, GOAT and task agent are the real ones.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::{Repository, code, text};

const THREE_JOBS: &str = r#"
jobs:
  build:
    steps:
      - checkout
      - run: {name: make, command: "printf 'one '; printf 'line\n'; cat greeting"}
  test:
    requires: [build]
    steps:
      - checkout
      - run: test "$(cat greeting)" = hello
  package:
    requires: [test]
    steps:
      - checkout
      - run: cp greeting out.txt
      - upload: {source: out.txt, destination: results/out.txt}
"#;

const FAILING: &str = r#"
jobs:
  build:
    steps:
      - run: {name: break it, command: "echo about to fail; exit 3"}
  deploy:
    requires: [build]
    steps:
      - run: echo never
"#;

const WAITING: &str = r#"
jobs:
  wait:
    steps:
      - run: {name: wait, command: "echo waiting; sleep 1000"}
"#;

pub(crate) fn events(stdout: &[u8]) -> Vec<Value> {
    text(stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// A run that a test talks to while it runs.
pub(crate) struct Started {
    child: Child,
    lines: Receiver<String>,
}

impl Started {
    pub(crate) fn new(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for a line of output with this in it.
    pub(crate) fn says(&self, what: &str) {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) if line.contains(what) => return,
                Ok(line) => seen.push(line),
                Err(error) => panic!("waited in vain for `{what}` ({error}): {seen:#?}"),
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

#[test]
fn three_jobs_run_and_the_artifact_is_kept() {
    let repository = Repository::with(&[(".ci.yml", THREE_JOBS), ("greeting", "hello\n")]);
    let artifacts = repository.top().join("../kept");

    let output = repository
        .run(&["--artifacts", artifacts.to_str().unwrap()])
        .output()
        .unwrap();

    let stdout = text(&output.stdout);
    assert_eq!(code(&output), 0, "{stdout}\n{}", text(&output.stderr));
    let has = |job: &str, line: &str| {
        stdout
            .lines()
            .any(|found| found.starts_with(&format!("[{job} +")) && found.ends_with(line))
    };
    assert!(has("build/make", "] one line"), "{stdout}");
    assert!(has("build/make", "] hello"), "{stdout}");
    assert!(stdout.contains("pipeline succeeded after"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'));
    assert_eq!(
        fs::read_to_string(artifacts.join("package/results/out.txt")).unwrap(),
        "hello\n"
    );
    repository.assert_nothing_left();
}

#[test]
fn one_job_runs_with_what_it_needs_and_nothing_else() {
    let repository = Repository::with(&[(".ci.yml", THREE_JOBS), ("greeting", "hello\n")]);
    let output = repository.run(&["test", "--json"]).output().unwrap();

    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).starts_with("running the working tree: 2 files, as in HEAD "),
        "{output:?}"
    );
    let started: Vec<Value> = events(&output.stdout)
        .into_iter()
        .filter(|event| event["event"] == "job.started")
        .map(|event| event["job"].clone())
        .collect();
    assert_eq!(started, ["build", "test"]);
}

#[test]
fn a_failing_step_is_told_in_full_and_what_needs_its_job_is_skipped() {
    let repository = Repository::with(&[(".ci.yml", FAILING)]);

    let output = repository.run(&["--json"]).output().unwrap();

    assert_eq!(code(&output), 1, "{}", text(&output.stderr));
    let events = events(&output.stdout);
    let of = |kind: &str, key: &str, value: &str| {
        events
            .iter()
            .find(|event| event["event"] == kind && event[key] == value)
            .unwrap_or_else(|| panic!("no {kind} of {value}: {events:#?}"))
            .clone()
    };
    assert_eq!(of("step.finished", "step", "break it")["exit_code"], 3);
    let build = of("job.finished", "job", "build");
    assert_eq!(
        (&build["outcome"], &build["cause"]),
        (&json!("failed"), &json!({"kind": "exit", "code": 3}))
    );
    assert_eq!(of("job.finished", "job", "deploy")["outcome"], "skipped");
    let last = events.last().unwrap();
    assert_eq!(
        (&last["event"], &last["outcome"]),
        (&json!("pipeline.finished"), &json!("failed"))
    );
    assert!(events.iter().all(|event| event["time"].is_i64()));
    let output: String = events
        .iter()
        .filter(|event| event["event"] == "step.output" && event["stream"] == "stdout")
        .map(|event| event["text"].as_str().unwrap())
        .collect();
    assert_eq!(output, "about to fail\n");
}

#[test]
fn the_failing_steps_last_lines_are_said_once_more_at_the_end() {
    let repository = Repository::with(&[(".ci.yml", FAILING)]);

    let output = repository.run(&[]).output().unwrap();

    assert_eq!(code(&output), 1);
    let stdout = text(&output.stdout);
    let summary = stdout
        .split("build failed: a step exited with code 3")
        .nth(1)
        .unwrap_or_else(|| panic!("{stdout}"));
    assert!(summary.contains("hint: "), "{stdout}");
    assert!(summary.contains("    about to fail"), "{stdout}");
    repository.assert_nothing_left();
}

#[test]
fn ctrl_c_cancels_cleanly() {
    for signal in ["INT", "TERM"] {
        let repository = Repository::with(&[(".ci.yml", WAITING)]);
        let run = Started::new(repository.run(&[]));
        run.says("] waiting");

        run.signal(signal);
        run.says("pipeline cancelled");

        assert_eq!(run.ended(), Some(6));
        repository.assert_nothing_left();
    }
}

#[test]
fn ctrl_c_twice_ends_at_once() {
    let repository = Repository::with(&[(
        ".ci.yml",
        &WAITING.replace("sleep", "trap '' TERM; sleep 1000; sleep"),
    )]);
    let run = Started::new(repository.run(&[]));
    run.says("] waiting");

    run.signal("INT");
    run.signal("INT");

    assert_eq!(run.ended(), Some(6));
}

#[test]
fn programs_get_a_last_event_when_a_second_signal_ends_all() {
    let repository = Repository::with(&[(
        ".ci.yml",
        &WAITING.replace("sleep", "trap '' TERM; sleep 1000; sleep"),
    )]);
    let run = Started::new(repository.run(&["--json"]));
    run.says("\"waiting\\n\"");

    run.signal("INT");
    run.signal("INT");

    run.says(r#""event":"pipeline.finished","outcome":"cancelled""#);
    assert_eq!(run.ended(), Some(6));
    repository.assert_nothing_left();
}

#[test]
fn a_folder_for_artifacts_that_cannot_be_written_is_told_before_anything_runs() {
    let repository = Repository::with(&[(".ci.yml", THREE_JOBS), ("greeting", "hello\n")]);

    let output = repository.run(&["--artifacts", "/proc/x"]).output().unwrap();

    assert_eq!(code(&output), 1);
    assert_eq!(text(&output.stdout), "");
    let told = text(&output.stderr);
    assert!(told.contains("cannot keep artifacts in /proc/x"), "{told}");
    repository.assert_nothing_left();
}

#[test]
fn output_that_cannot_be_written_is_no_success() {
    let repository = Repository::with(&[(".ci.yml", "jobs:\n  a:\n    steps: [run: 'true']\n")]);
    let run = || {
        let full = fs::File::create("/dev/full").unwrap();
        let output = repository.run(&["--json"]).stdout(full).output().unwrap();
        let told = text(&output.stderr);
        assert!(told.contains("cannot write to standard output"), "{told}");
        repository.assert_nothing_left();
        code(&output)
    };

    assert_eq!(run(), 1);

    // A code that says more stays.
    repository.write(".ci.yml", "jobs: []\n");
    assert_eq!(run(), 7);
}

#[test]
fn a_config_that_is_no_text_is_told_with_its_place() {
    let repository = Repository::with(&[("a", "")]);
    fs::write(repository.top().join(".ci.yml"), b"jobs:\n  a\xff: {}\n").unwrap();

    let output = repository.run(&["--json"]).output().unwrap();

    assert_eq!(code(&output), 7);
    let told = text(&output.stderr);
    assert!(told.contains(".ci.yml:2:4"), "{told}");
    let cause = &events(&output.stdout)[0]["cause"];
    assert_eq!((&cause["line"], &cause["column"]), (&json!(2), &json!(4)));
}

#[test]
fn an_invalid_config_is_told_before_anything_starts() {
    let repository = Repository::with(&[(".ci.yml", "jobs:\n  build:\n    stpes: []\n")]);

    let output = repository.run(&["--json", "--data", "../data"]).output().unwrap();

    assert_eq!(code(&output), 7);
    assert!(text(&output.stderr).contains("stpes"), "{output:?}");
    let events = events(&output.stdout);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(
        (&events[0]["event"], &events[0]["outcome"]),
        (&json!("pipeline.finished"), &json!("failed"))
    );
    assert!(!repository.top().join("../data").exists());
}

#[test]
fn a_job_that_is_not_there_is_a_wrong_command_line_with_a_suggestion() {
    let repository = Repository::with(&[(".ci.yml", THREE_JOBS)]);

    let output = repository.run(&["biuld"]).output().unwrap();

    assert_eq!(code(&output), 2);
    assert!(
        text(&output.stderr).contains("did you mean `build`?"),
        "{output:?}"
    );
}

#[test]
fn outside_of_a_repository_it_says_what_it_needs() {
    let folder = tempfile::TempDir::with_prefix("goatherd-test-").unwrap();

    let output = crate::program::goatherd(folder.path(), ["run"]).output().unwrap();

    assert_eq!(code(&output), 1);
    assert!(text(&output.stderr).contains("git repository"), "{output:?}");
}

#[test]
fn a_repository_of_another_user_is_told_from_none() {
    let repository = Repository::with(&[(".ci.yml", THREE_JOBS)]);

    // git's own way to make it take a repository for another user's, without being root.
    let output = repository
        .run(&[])
        .env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();

    assert_eq!(code(&output), 1);
    let said = text(&output.stderr);
    assert!(said.contains("belongs to another user"), "{said}");
    let top = repository.top().canonicalize().unwrap();
    let advice = format!("git config --global --add safe.directory {}", top.display());
    assert!(said.contains(&advice), "{said}");
    assert!(!said.contains("finds none"), "{said}");
}
