//! What is left when the task agent itself is killed.

use api::runner::task::Stream;

use crate::harness::{Agent, is_alive, pid_in, run, task, until};
use crate::server::FakeServer;

#[test]
fn a_task_agent_that_is_killed_takes_its_step_along() {
    let server = FakeServer::start(task(vec![run("echo $$ > pid; echo ready; exec sleep 1000")]));
    let mut agent = Agent::start(&server);
    drop(server.wait("the step runs", |facts| {
        facts.output(0, Stream::Stdout) == b"ready\n"
    }));
    let pid = pid_in(&agent.project().join("pid"));

    agent.signal("-KILL");

    assert_eq!(agent.end().code(), None);
    until("the step is gone", || (!is_alive(pid)).then_some(()));
    assert!(server.facts().record.is_none());
}

#[test]
fn a_token_that_is_wrong_ends_it_with_a_reason() {
    let server = FakeServer::start(task(vec![run("true")]));
    let output = std::process::Command::new(crate::harness::AGENT)
        .args(["_internal", "agent-runner", "--allocation=t-1.1"])
        .arg(format!("--runnerAPIBaseURL={}", server.url()))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it runs");

    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.ends_with("circleci-agent: standard input holds no task token\n"),
        "{text}"
    );
}
