//! Who gets the job's secrets: `run` steps, and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use api::Secret;
use api::runner::task::Stream;

use crate::harness::{Agent, Unusual, checkout, run, task, upload};
use crate::server::FakeServer;
use crate::steps::repository;

#[test]
fn git_and_what_it_starts_have_no_secret_in_their_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let seen = folder.path().join("seen");
    let git = folder.path().join("git");
    let script = format!(
        "#!/bin/sh\ncat /proc/$$/environ /proc/$PPID/environ >>{} 2>/dev/null\nexec /usr/bin/env PATH=\"${{PATH#*:}}\" git \"$@\"\n",
        seen.display()
    );
    fs::write(&git, script).expect("written");
    fs::set_permissions(&git, fs::Permissions::from_mode(0o755)).expect("set");
    let mut task = task(vec![
        checkout(),
        run("env >env.txt; test \"$PASSWORD\" = 'correct horse battery'"),
        upload("hello", None),
    ]);
    task.source.commit = repository(folder.path());
    let server = FakeServer::start(task);
    server.facts().repositories = Some(folder.path().to_owned());
    let path = format!(
        "{}:{}",
        folder.path().display(),
        std::env::var("PATH").expect("a path")
    );

    let mut agent = Agent::start_unusually(
        &server,
        Unusual {
            path: Some(&path),
            ..Unusual::default()
        },
    );

    assert_eq!(agent.end().code(), Some(0));
    let environments = fs::read_to_string(&seen).expect("git was called");
    assert!(environments.contains("CIRCLE_SHA1="), "{environments}");
    assert!(!environments.contains("correct horse battery") && !environments.contains("PASSWORD"));
    let step = fs::read_to_string(agent.project().join("env.txt")).expect("the step ran");
    assert!(step.contains("PASSWORD=correct horse battery\n"), "{step}");
    assert!(!agent.log().contains("correct horse battery"));
}

#[test]
fn the_log_names_secrets_that_are_not_masked_once_and_without_their_values() {
    let mut task = task(vec![run("echo ready"), run("echo again")]);
    for (name, value) in [
        ("PIN", "x7z"),
        ("FLAG", "True"),
        ("EMPTY", ""),
        ("LONG", "long enough"),
    ] {
        task.secrets.insert(name.to_owned(), Secret::new(value));
    }
    let server = FakeServer::start(task);

    let mut agent = Agent::start(&server);

    assert_eq!(agent.end().code(), Some(0));
    let facts = server.facts();
    let said = facts.text(0, Stream::System);
    assert!(said.contains("true` or `false`: `FLAG`, `PIN`\n"), "{said}");
    assert!(
        !said.contains("x7z") && !said.contains("LONG") && !said.contains("EMPTY"),
        "{said}"
    );
    assert!(!facts.text(1, Stream::System).contains("not masked"));
}
