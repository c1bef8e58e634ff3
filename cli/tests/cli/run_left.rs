//! What a killed run leaves, and that the next one removes it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::program::{Repository, code, text};
use crate::run::Started;

const JOBS: &str = r#"
jobs:
  wait:
    steps:
      - checkout
      - run: {name: wait, command: "mkdir -p ~/closed/deep; chmod 0 ~/closed; echo waiting; setsid -w sleep 98765"}
  quick:
    steps:
      - run: "true"
"#;

/// All processes below one, with their programs' names.
pub(crate) fn below(parent: u32) -> Vec<(u32, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let (head, tail) = stat.rsplit_once(") ").unwrap();
        let name = head.split_once('(').unwrap().1.to_owned();
        let above: u32 = tail.split(' ').nth(1).unwrap().parse().unwrap();
        all.push((pid, above, name));
    }
    let mut found: Vec<(u32, String)> = Vec::new();
    let mut parents = vec![parent];
    while let Some(parent) = parents.pop() {
        for (pid, _, name) in all.iter().filter(|(_, above, _)| *above == parent) {
            parents.push(*pid);
            found.push((*pid, name.clone()));
        }
    }
    found
}

pub(crate) fn signal(name: &str, processes: &[u32]) {
    let processes: Vec<String> = processes.iter().map(u32::to_string).collect();
    let status = Command::new("kill").args(["-s", name]).args(processes).status();
    assert!(status.unwrap().success());
}

fn runs(process: u32) -> bool {
    let state = |stat: String| stat.rsplit_once(") ").unwrap().1.starts_with('Z');
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !state(stat))
}

/// A folder of runs that every user can get through to.
fn open_up(repository: &Repository) {
    for folder in [repository.scratch(), repository.scratch().join("..")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).unwrap();
    }
}

/// Runs the quick job, with nothing of it or of others left then but what is named.
fn quick(repository: &Repository, kept: &[&Path]) -> String {
    let output = repository.run(&["quick"]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(code(&output), 0, "{said}");
    assert_eq!(repository.left_behind(), kept, "{said}");
    said
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next_one_and_what_lives_is_not() {
    let repository = Repository::with(&[(".ci.yml", JOBS), ("a", "1\n")]);
    repository.write("a", "2\n");
    let killed = Started::new(repository.run(&["wait"]));
    killed.says("] waiting");
    killed.signal("KILL");
    assert_eq!(killed.ended(), None);
    assert_eq!(repository.left_behind().len(), 1);
    let lives = Started::new(repository.run(&["wait"]));
    lives.says("] waiting");
    // It swept too, beside its job.
    let until = Instant::now() + Duration::from_secs(30);
    while repository.left_behind().len() != 1 {
        assert!(
            Instant::now() < until,
            "left behind: {:?}",
            repository.left_behind()
        );
        std::thread::yield_now();
    }
    let kept = repository.left_behind();

    let said = quick(&repository, &[&kept[0]]);

    assert!(!said.contains("cannot be removed"), "{said}");
    lives.signal("TERM");
    lives.says("pipeline cancelled");
    assert_eq!(lives.ended(), Some(6));
    repository.assert_nothing_left();
}

#[test]
fn steps_that_nobody_supervises_any_more_end_with_the_next_run() {
    let repository = Repository::with(&[(".ci.yml", JOBS)]);
    open_up(&repository);
    let killed = Started::new(repository.run(&["wait", "--isolation", "plain"]));
    killed.says("] waiting");
    let below = below(killed.id());
    let (step, ours): (Vec<_>, Vec<_>) = below.into_iter().partition(|(_, name)| name == "sleep");
    assert_eq!(step.len(), 1, "{step:?} {ours:?}");
    let ours: Vec<u32> = ours
        .into_iter()
        .map(|(pid, _)| pid)
        .chain([killed.id()])
        .collect();
    // None of them can do anything about the others' end.
    signal("STOP", &ours);
    signal("KILL", &ours);
    assert_eq!(killed.ended(), None);
    assert!(runs(step[0].0), "it ended by itself");

    quick(&repository, &[]);

    assert!(!runs(step[0].0), "it still runs");
}
