//! What steps do and see.

use std::fs;
use std::process::Command;

use api::operation::{Operation, When};
use api::runner::task::Stream;
use api::{Cause, Millis, Outcome, Phase};

use crate::harness::{AGENT, Agent, Unusual, checkout, is_alive, is_root, pid_in, run, task, upload, when};
use crate::server::{AtBegan, FakeServer, GIT_TOKEN, Seen, TOKEN, run_git};

#[test]
fn steps_run_in_order_and_the_record_says_so() {
    let server = FakeServer::start(task(vec![run("echo one > file; pwd"), run("cat file")]));

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    assert_eq!(
        facts.seen,
        [
            Seen::Phase(Phase::Running),
            Seen::Began(0),
            Seen::Output(0),
            Seen::Ended(0, 0),
            Seen::Began(1),
            Seen::Output(1),
            Seen::Ended(1, 0),
            Seen::Phase(Phase::Finishing),
            Seen::Finish,
        ]
    );
    let record = facts.record.as_ref().expect("a record");
    assert_eq!((record.outcome, &record.cause), (Outcome::Succeeded, &None));
    assert_eq!(record.steps.len(), 2);
    assert_eq!(Some(&record.last_sequence), facts.chunks.keys().last());
    assert_eq!(
        facts.text(0, Stream::Stdout),
        format!("{}\n", agent.project().display())
    );
    assert_eq!(facts.text(1, Stream::Stdout), "one\n");
    assert_eq!(
        facts.text(1, Stream::System),
        "#!/bin/bash -eo pipefail\ncat file\n"
    );
    assert!(
        facts
            .instances
            .iter()
            .all(|instance| instance.as_deref() == Some("instance-1"))
    );
    assert!(agent.left_nothing());
}

#[test]
fn a_step_sees_its_variables_and_nothing_of_goat() {
    let mut task = task(vec![run("env | sort; circleci-agent --version")]);
    task.environment.insert("JOB".to_owned(), "j".to_owned());
    if let Operation::Run { environment, .. } = &mut task.steps[0].operation {
        environment.insert("STEP".to_owned(), "s".to_owned());
    }
    let server = FakeServer::start(task);

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let text = facts.text(0, Stream::Stdout);
    for line in [
        "JOB=j\n",
        "STEP=s\n",
        "CI=true\n",
        "PASSWORD=****\n",
        "CIRCLE_BRANCH=main\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    for name in ["GOATHERD_INSTANCE", "CIRCLECI_GOAT", TOKEN] {
        assert!(!text.contains(name), "{name} in {text}");
    }
    assert!(text.ends_with(&format!("circleci-agent {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_step_that_fails_decides_the_job_and_who_runs_after_it() {
    let server = FakeServer::start(task(vec![
        when(When::OnFail, "echo too early"),
        run("echo bad >&2; exit 3"),
        run("echo never"),
        when(When::OnFail, "echo on fail"),
        when(When::Always, "echo always; exit 4"),
    ]));

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let record = facts.record.as_ref().expect("a record");
    assert_eq!(record.outcome, Outcome::Failed);
    assert_eq!(record.cause, Some(Cause::Exit { code: 3 }));
    let ends: Vec<_> = record
        .steps
        .iter()
        .map(|step| (step.step, step.end.exit_code))
        .collect();
    assert_eq!(ends, [(1, 3), (3, 0), (4, 4)]);
    assert_eq!(facts.text(1, Stream::Stderr), "bad\n");
}

#[test]
fn a_signal_that_ends_a_command_is_named() {
    let server = FakeServer::start(task(vec![run("kill -9 $$")]));
    let mut agent = Agent::start(&server);
    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let record = facts.record.as_ref().expect("a record");

    assert_eq!(record.cause, Some(Cause::Signal { n: 9 }));
    assert_eq!(record.steps[0].end.exit_code, 137);
    assert_eq!(record.steps[0].end.signal, Some(9));
}

#[test]
fn a_shell_that_is_not_there_fails_the_step_in_a_sentence() {
    let mut task = task(vec![run("true")]);
    task.shell = Some("no-such-shell -e".to_owned());
    let server = FakeServer::start(task);

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    assert_eq!(
        facts.record.as_ref().expect("a record").cause,
        Some(Cause::Exit { code: 127 })
    );
    assert!(
        facts
            .text(0, Stream::System)
            .contains("`no-such-shell` is not in this image")
    );
}

#[test]
fn nothing_runs_before_its_beginning_is_acknowledged() {
    let server = FakeServer::start(task(vec![run("touch ../ran")]));
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("ran");
    if let Some(task) = &mut server.facts().task {
        task.steps[0] = run(&format!("touch {}", mark.display()));
    }
    server.facts().at_began = Some(AtBegan::Late(mark.clone()));

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    assert!(mark.exists());
    assert!(server.facts().seen.contains(&Seen::Began(0)));
}

#[test]
fn the_kernel_takes_a_step_before_the_task_agent() {
    let server = FakeServer::start(task(vec![run("cat /proc/self/oom_score_adj")]));
    let own = fs::read_to_string("/proc/self/oom_score_adj").expect("proc is mounted");
    let own: i32 = own.trim().parse().expect("a number");

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let step = server.facts().text(0, Stream::Stdout);
    assert_eq!(step.trim().parse(), Ok((own + 100).min(1000)));
}

#[test]
fn a_server_that_fails_now_and_then_changes_nothing() {
    let server = FakeServer::start(task(vec![run("echo hello")]));
    server.facts().failures = 4;

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    assert_eq!(server.facts().text(0, Stream::Stdout), "hello\n");
}

#[test]
fn steps_cannot_read_the_token() {
    // Opened, not read: the first byte of a process's memory is never there.
    let tries = r#"
        agent=$PPID
        grep -q circleci-agent /proc/$agent/comm
        for file in environ mem maps fd/0 auxv; do
            if (exec 3< /proc/$agent/$file); then echo "$file is readable"; fi
        done
        ls /proc/$agent/fd && echo "fd is readable"
        if command -v perl > /dev/null; then
            perl -e 'my $r = syscall(101, 16, $ARGV[0]+0, 0, 0); print "ptrace attached\n" if $r == 0' $agent
        fi
        tr '\0' ' ' < /proc/$agent/cmdline
        true"#;
    let server = FakeServer::start(task(vec![run(tries)]));

    let unusual = Unusual {
        user: Some(65534),
        ..Unusual::default()
    };
    let mut agent = Agent::start_unusually(&server, unusual);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let text = facts.text(0, Stream::Stdout);
    assert!(!text.contains("readable") && !text.contains("attached"), "{text}");
    assert!(text.contains("_internal agent-runner"), "{text}");
    assert!(!text.contains(TOKEN) && !text.contains("****"), "{text}");
    let refused = facts.text(0, Stream::Stderr).matches("ermission denied").count();
    assert!(refused >= 5, "{}", facts.text(0, Stream::Stderr));
}

#[test]
fn what_a_step_leaves_behind_lives_until_the_job_ends() {
    let leave = "(setsid sh -c 'sleep 1000 & echo $! > pid; wait' > /dev/null 2>&1 &) ; \
                 until test -s pid; do :; done";
    let server = FakeServer::start(task(vec![run(leave), run("kill -0 $(cat pid)")]));

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    assert_eq!(
        facts.record.as_ref().expect("a record").outcome,
        Outcome::Succeeded
    );
    assert!(!is_alive(pid_in(&agent.project().join("pid"))));
}

#[test]
fn a_step_that_is_silent_for_too_long_is_ended_and_the_job_timed_out() {
    let mut task = task(vec![
        run("echo start; sleep 1000"),
        when(When::Always, "echo still here"),
    ]);
    if let Operation::Run {
        no_output_timeout, ..
    } = &mut task.steps[0].operation
    {
        *no_output_timeout = Some(Millis(300));
    }
    let server = FakeServer::start(task);

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let record = facts.record.as_ref().expect("a record");
    assert_eq!(record.outcome, Outcome::TimedOut);
    assert_eq!(
        record.cause,
        Some(Cause::NoOutput {
            step: "run echo".to_owned()
        })
    );
    assert!(facts.text(0, Stream::System).contains("wrote nothing for 0.3 s"));
    assert_eq!(facts.text(1, Stream::Stdout), "still here\n");
}

pub(crate) fn repository(folder: &std::path::Path) -> String {
    let bare = folder.join("acme/app.git");
    let work = folder.join("work");
    fs::create_dir_all(&work).expect("made");
    run_git(&work, &["init", "-q"]);
    fs::write(work.join("hello"), "first\n").expect("written");
    run_git(&work, &["add", "."]);
    run_git(&work, &["commit", "-qm", "first"]);
    let commit = run_git(&work, &["rev-parse", "HEAD"]);
    fs::write(work.join("hello"), "second\n").expect("written");
    run_git(&work, &["commit", "-qam", "second"]);
    run_git(
        folder,
        &["clone", "-q", "--bare", "work", bare.to_str().expect("text")],
    );
    commit
}

#[test]
fn checkout_takes_exactly_the_commit_with_its_own_token_and_shows_it_to_nobody() {
    let repositories = tempfile::tempdir().expect("a folder");
    let mut task = task(vec![
        checkout(),
        run("cat hello; git status --short --branch; git rev-parse main; cat .git/config; env"),
    ]);
    task.source.commit = repository(repositories.path());
    let commit = task.source.commit.clone();
    let server = FakeServer::start(task);
    server.facts().repositories = Some(repositories.path().to_owned());

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let text = facts.text(1, Stream::Stdout);
    assert!(text.starts_with("first\n## HEAD (no branch)\n"), "{text}");
    assert!(text.contains(&commit), "{text}");
    assert!(
        text.contains(&format!("url = {}/git/acme/app.git", server.url())),
        "{text}"
    );
    for number in [0, 1] {
        for stream in [Stream::Stdout, Stream::Stderr, Stream::System] {
            let text = facts.text(number, stream);
            assert!(!text.contains(TOKEN) && !text.contains(GIT_TOKEN), "{text}");
        }
    }
}

#[test]
fn a_fetch_that_fails_for_a_while_is_tried_again() {
    let repositories = tempfile::tempdir().expect("a folder");
    let mut task = task(vec![checkout()]);
    task.source.commit = repository(repositories.path());
    let server = FakeServer::start(task);
    server.facts().repositories = Some(repositories.path().to_owned());
    server.facts().git_failures = 1;

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    assert_eq!(
        facts.record.as_ref().expect("a record").outcome,
        Outcome::Succeeded
    );
    assert!(facts.text(0, Stream::System).contains("is tried again in 1 s"));
}

#[test]
fn checkout_from_a_path_works_again_in_its_own_folder_and_not_in_a_full_one() {
    let repositories = tempfile::tempdir().expect("a folder");
    let mut task = task(vec![
        checkout(),
        run("rm hello"),
        checkout(),
        run("cat hello; rm -rf .git"),
        checkout(),
    ]);
    task.source.commit = repository(repositories.path());
    task.source.clone_url = Some(repositories.path().join("acme/app.git").display().to_string());
    let server = FakeServer::start(task);

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    assert_eq!(facts.text(3, Stream::Stdout), "first\n");
    assert_eq!(
        facts.record.as_ref().expect("a record").cause,
        Some(Cause::Exit { code: 1 })
    );
    assert!(facts.text(4, Stream::System).contains("is not empty"));
}

#[test]
fn a_commit_that_is_nowhere_is_a_certain_failure_of_the_infrastructure() {
    let repositories = tempfile::tempdir().expect("a folder");
    repository(repositories.path());
    let mut task = task(vec![checkout(), when(When::Always, "echo never")]);
    task.source.commit = "1".repeat(40);
    task.source.clone_url = Some(repositories.path().join("acme/app.git").display().to_string());
    let server = FakeServer::start(task);

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let record = facts.record.as_ref().expect("a record");
    assert_eq!(record.outcome, Outcome::InfraFailed);
    let Some(Cause::Clone {
        message,
        certain: true,
    }) = &record.cause
    else {
        panic!("{:?}", record.cause)
    };
    assert!(message.contains("pushed over"), "{message}");
    assert!(!facts.seen.contains(&Seen::Began(1)));
}

#[test]
fn an_image_without_git_fails_the_checkout_in_a_sentence() {
    let server = FakeServer::start(task(vec![checkout()]));

    let unusual = Unusual {
        path: Some("/nowhere"),
        ..Unusual::default()
    };
    let mut agent = Agent::start_unusually(&server, unusual);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    assert_eq!(
        facts.record.as_ref().expect("a record").cause,
        Some(Cause::Exit { code: 127 })
    );
    assert!(facts.text(0, Stream::System).contains("git is not in this image"));
}

#[test]
fn uploads_arrive_whole_under_their_names() {
    let make = "mkdir -p out/deep; head -c 3000000 /dev/urandom > big; echo x > out/x; echo y > 'out/deep/y z'; \
                ln -s /etc/passwd out/outside";
    let server = FakeServer::start(task(vec![
        run(make),
        upload("big", Some("results/big.bin")),
        upload("out", None),
        upload("missing", None),
    ]));

    // The files under /proc/self are root's for a process that hides itself, so an ordinary user must do too.
    let unusual = Unusual {
        user: Some(65534),
        ..Unusual::default()
    };
    let mut agent = Agent::start_unusually(&server, unusual);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let names: Vec<&str> = facts.artifacts.keys().map(String::as_str).collect();
    assert_eq!(names, ["out/deep/y z", "out/x", "results/big.bin"]);
    let big = fs::read(agent.project().join("big")).expect("there");
    assert!(facts.artifacts["results/big.bin"] == big);
    assert_eq!(
        facts.text(1, Stream::System),
        "uploaded `results/big.bin` (3000000 bytes)\n"
    );
    assert!(
        facts
            .text(2, Stream::System)
            .contains("is a link that leads outside")
    );
    assert!(facts.text(3, Stream::System).contains("there is no `"));
    assert_eq!(
        facts.record.as_ref().expect("a record").cause,
        Some(Cause::Exit { code: 1 })
    );
    assert!(!is_root() || agent.home().exists());
}

#[test]
fn a_server_whose_disk_is_full_is_waited_for() {
    let steps = vec![run("echo hello; echo x > app"), upload("app", None)];
    let server = FakeServer::start(task(steps));
    server.facts().full = 12;

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    assert_eq!(facts.full, 0);
    assert_eq!(facts.artifacts["app"], b"x\n");
    assert_eq!(facts.text(0, Stream::Stdout), "hello\n");
    let said = facts.text(1, Stream::System);
    let waits = "the server's disk is full: `app` waits for room, for up to 10 minutes\n";
    assert_eq!(said.matches(waits).count(), 1, "{said}");
    assert_eq!(
        facts.record.as_ref().expect("a record").outcome,
        Outcome::Succeeded
    );
}

#[test]
fn a_file_that_cannot_be_read_stops_no_other() {
    let make = "mkdir -p out/closed; for file in a b c closed/d; do echo x > out/$file; done; \
                chmod 0 out/b out/closed";
    let server = FakeServer::start(task(vec![run(make), upload("out", None)]));

    // Root reads everything.
    let unusual = Unusual {
        user: Some(65534),
        ..Unusual::default()
    };
    let mut agent = Agent::start_unusually(&server, unusual);

    assert_eq!(agent.end().code(), Some(0));
    let closed = agent.project().join("out/closed");
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("opened again");
    let facts = server.facts();
    let names: Vec<&str> = facts.artifacts.keys().map(String::as_str).collect();
    assert_eq!(names, ["out/a", "out/c"]);
    let said = facts.text(1, Stream::System);
    for file in ["closed", "b"] {
        let sentence = format!("/out/{file}` cannot be uploaded: Permission denied");
        assert!(said.contains(&sentence), "{said}");
    }
    assert_eq!(
        facts.record.as_ref().expect("a record").cause,
        Some(Cause::Exit { code: 1 })
    );
}

#[test]
fn a_file_whose_name_is_no_text_stops_no_other_and_fails_the_step() {
    let make = r"mkdir out; for file in a '\376' '\377' z; do echo x > out/$(printf $file); done";
    let server = FakeServer::start(task(vec![run(make), upload("out", None)]));

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let names: Vec<&str> = facts.artifacts.keys().map(String::as_str).collect();
    assert_eq!(names, ["out/a", "out/z"]);
    let said = facts.text(1, Stream::System);
    for file in [r"\xfe", r"\xff"] {
        let sentence = format!("/out/{file}` cannot be uploaded: its name is not UTF-8");
        assert!(said.contains(&sentence), "{said}");
    }
    assert_eq!(
        facts.record.as_ref().expect("a record").cause,
        Some(Cause::Exit { code: 1 })
    );
}

#[test]
fn called_as_circleci_it_says_what_it_cannot_do_yet() {
    let folder = tempfile::tempdir().expect("a folder");
    let helper = folder.path().join("circleci");
    std::os::unix::fs::symlink(AGENT, &helper).expect("linked");

    let output = Command::new(&helper)
        .args(["step", "halt"])
        .output()
        .expect("it runs");

    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("helper"));
}

#[test]
fn a_wrong_command_line_is_told_apart() {
    let output = Command::new(AGENT)
        .args(["_internal", "agent-runner"])
        .output()
        .expect("it runs");

    assert_eq!(output.status.code(), Some(2));
}
