//! What a step sees of the host, and what it must not, with the shipped binaries and the local driver.

#![allow(clippy::unwrap_used)]

use api::{Outcome, PipelineOutcome};
use internal_testing::installation::only_job;
use internal_testing::{Installation, Options};

/// Runs one job with these steps' commands, and gives its output; the job must succeed.
async fn output_of(installation: &Installation, command: &str) -> String {
    let indented = command.trim().replace('\n', "\n          ");
    let config = format!("jobs:\n  look:\n    steps:\n      - run: |\n          {indented}\n");
    let pipeline = installation.push(&config).await;
    let view = installation.ended(&pipeline).await;
    let output = installation.output(&pipeline).await;
    assert_eq!(
        view.summary.outcome,
        Some(PipelineOutcome::Succeeded),
        "{view:#?}\n{output}"
    );
    output
}

/// Whether a line begins with `text`: the command itself, which is shown first, does not.
fn says(output: &str, text: &str) -> bool {
    output.lines().any(|line| line.starts_with(text))
}

#[tokio::test]
async fn a_step_cannot_see_what_is_not_on_the_list() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");
    let database = installation.folder().join("server/goatherd.sqlite");
    assert!(database.is_file(), "the server keeps its state there");

    let output = output_of(
        &installation,
        &format!(
            r#"
for path in /etc/shadow {database} /root /var /run /home/{user} /run/docker.sock /var/run/docker.sock; do
  if [ -e "$path" ]; then echo "visible: $path"; fi
done
echo looked
"#,
            database = database.display(),
            user = "nobody-in-particular",
        ),
    )
    .await;

    assert!(says(&output, "looked") && !says(&output, "visible: "), "{output}");
}

#[tokio::test]
async fn a_step_has_no_privileges_and_its_own_processes_only() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");

    let output = output_of(
        &installation,
        r#"
echo "uid=$(id -u)"
grep -E '^(CapEff|CapPrm|CapBnd|CapAmb|NoNewPrivs):' /proc/self/status
echo "first=$(tr '\0' ' ' </proc/1/cmdline)"
touch /usr/written 2>/dev/null || echo "usr is read-only"
"#,
    )
    .await;

    assert!(says(&output, "uid=1000"), "{output}");
    for set in ["CapEff", "CapPrm", "CapBnd", "CapAmb"] {
        assert!(output.contains(&format!("{set}:\t0000000000000000")), "{output}");
    }
    assert!(output.contains("NoNewPrivs:\t1"), "{output}");
    assert!(says(&output, "first=orchestrator run-task "), "{output}");
    assert!(says(&output, "usr is read-only"), "{output}");
}

#[tokio::test]
async fn a_step_cannot_read_the_tokens_of_the_processes_above_it() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");

    let output = output_of(
        &installation,
        r#"
for pid in 1 $PPID; do
  for file in environ mem maps; do
    if head -c 1 /proc/$pid/$file >/dev/null 2>&1; then echo "readable: $pid $file"; fi
  done
done
env | grep -iE 'token|GOATHERD_INSTANCE|CIRCLECI_GOAT' && echo "in the environment"
echo looked
"#,
    )
    .await;

    assert!(says(&output, "looked"), "{output}");
    assert!(
        !says(&output, "readable: ") && !says(&output, "in the environment"),
        "{output}"
    );
}

#[tokio::test]
async fn a_job_with_services_is_refused_with_a_sentence_and_never_run_without_them() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");

    let pipeline = installation
        .push("jobs:\n  work:\n    image: debian:13\n    services: [{image: 'postgres:16'}]\n    steps:\n      - run: echo ran\n")
        .await;

    let view = installation.ended(&pipeline).await;
    let job = only_job(&view);
    assert_eq!(job.outcome, Some(Outcome::InfraFailed), "{job:#?}");
    assert!(
        job.sentence
            .as_deref()
            .is_some_and(|sentence| sentence.contains("service")),
        "{job:#?}"
    );
    assert!(!installation.output(&pipeline).await.contains("ran\n"));
}

#[tokio::test]
async fn an_image_is_not_used_and_the_log_says_so_once() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");

    let pipeline = installation
        .push("jobs:\n  work:\n    image: debian:13\n    steps: [{run: 'true'}]\n")
        .await;

    let view = installation.ended(&pipeline).await;
    assert_eq!(
        view.summary.outcome,
        Some(PipelineOutcome::Succeeded),
        "{view:#?}"
    );
    let notices = installation.phases(&pipeline).await;
    let notices: Vec<_> = notices
        .iter()
        .filter(|detail| detail.contains("image `debian:13` is not used"))
        .collect();
    assert_eq!(notices.len(), 1, "{notices:?}");
}

#[tokio::test]
async fn a_job_is_told_once_that_it_shares_the_hosts_network() {
    let installation = Installation::start(&Options::default());
    let _agent = installation.agent("one");

    let pipeline = installation
        .push("jobs:\n  work:\n    steps: [{run: 'true'}, {run: 'true'}]\n")
        .await;

    installation.ended(&pipeline).await;
    let notices = installation.phases(&pipeline).await;
    let network = notices.iter().filter(|detail| {
        detail.contains("shares the host's network, loopback and abstract sockets included")
    });
    assert_eq!(network.count(), 1, "{notices:?}");
}
