//! The wire, pinned: each golden file is what one call or answer looks like, and programs of other ages rely
//! on it. A change here that is not an addition with a default breaks them.
//!
//! `GOATHERD_WRITE_GOLDEN=1 cargo test -p api --test wire` writes the files anew; read the difference.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

use api::goat::{GoatConfig, TerminationKind, TerminationMessage};
use api::operation::{Operation, Step, When};
use api::people::{
    ArtifactView, AttemptView, AuditEntry, CancelRequest, Cancelled, Event, EventKind, JobView,
    PipelineRequest, PipelineStarted, PipelineSummary, PipelineView, RepositoryView, RerunRequest, StepView,
    TokenRequest, TokenResponse,
};
use api::plan::{Need, Plan, PlannedJob};
use api::runner::claim::{Claim, ClaimRequest, Platform, Service};
use api::runner::presence::{
    AdoptCandidate, AdoptRequest, AdoptResponse, Adoption, AdoptionResult, AttemptStatus, CancelOrder, Held,
    Life, PresenceRequest, PresenceResponse, Standing, StatusRequest, StatusResponse, Whose,
};
use api::runner::report::{CauseRequest, FailRequest, PhaseRequest, UnclaimRequest};
use api::runner::task::{
    Bytes, Chunk, Content, FinishRequest, HeartbeatRequest, HeartbeatResponse, OutputRequest, OutputResponse,
    Source, StepEnd, StepEvent, StepRequest, StepResult, Stream, Task,
};
use api::runner::{ApiError, ErrorCode, Holder};
use api::{
    AgentId, AttemptRef, Cause, Millis, Outcome, Phase, PipelineId, PipelineOutcome, Reach, Secret, TaskId,
    Terms,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.json"))
}

/// The file reads as the value, and the value writes as the file, key by key in its order.
fn both_ways<T>(name: &str, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let written = format!("{}\n", serde_json::to_string_pretty(value).unwrap());
    if std::env::var_os("GOATHERD_WRITE_GOLDEN").is_some() {
        std::fs::write(path(name), &written).unwrap();
    }
    let golden = std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));

    let read: T = serde_json::from_str(&golden).unwrap_or_else(|error| panic!("{name}: {error}"));

    assert_eq!(written, golden, "{name} is not written as it was");
    assert_eq!(&read, value, "{name} is not read as it was");
}

fn attempt() -> AttemptRef {
    AttemptRef::new(TaskId::new("t-7").unwrap(), 2)
}

fn holder() -> Holder {
    Holder {
        agent: AgentId::new("agent-1").unwrap(),
        incarnation: 3,
    }
}

fn reach() -> Reach {
    Reach("boot-1:/var/lib/goatherd/places".to_owned())
}

fn pipeline() -> PipelineId {
    PipelineId::new("p-1").unwrap()
}

fn environment() -> BTreeMap<String, String> {
    BTreeMap::from([("CGO_ENABLED".to_owned(), "0".to_owned())])
}

fn order() -> CancelOrder {
    CancelOrder {
        by: "admin".to_owned(),
        why: "wrong branch".to_owned(),
    }
}

fn service() -> Service {
    Service {
        name: "db".to_owned(),
        image: "postgres:16".to_owned(),
        environment: environment(),
    }
}

fn step_end() -> StepEnd {
    StepEnd {
        exit_code: 137,
        signal: Some(9),
        duration_ms: 1500,
    }
}

fn steps() -> Vec<Step> {
    let step = |name: &str, when, operation| Step {
        name: name.to_owned(),
        when,
        operation,
    };
    vec![
        step("checkout", When::OnSuccess, Operation::Checkout { path: None }),
        step(
            "make",
            When::Always,
            Operation::Run {
                command: "make".to_owned(),
                shell: Some("/bin/sh -e".to_owned()),
                working_directory: Some("src".to_owned()),
                environment: environment(),
                no_output_timeout: Some(Millis::seconds(600)),
            },
        ),
        step(
            "keep",
            When::OnFail,
            Operation::Upload {
                source: "app".to_owned(),
                destination: Some("bin/app".to_owned()),
            },
        ),
    ]
}

#[test]
fn claim() {
    both_ways(
        "claim-request",
        &ClaimRequest {
            holder: holder(),
            nonce: 4,
            holds: vec![attempt()],
            free_slots: 2,
            platform: Platform {
                os: "linux".to_owned(),
                arch: "amd64".to_owned(),
            },
            driver: "local".to_owned(),
            reach: reach(),
            name: "builder-1".to_owned(),
            wait: Millis::seconds(20),
        },
    );
    both_ways(
        "claim-response",
        &Claim {
            attempt: attempt(),
            token: Secret::new("t-7.2.0a1b"),
            installation: "inst-1".to_owned(),
            job: "build".to_owned(),
            image: Some("golang:1.24".to_owned()),
            services: vec![service()],
            time_limit: Millis::seconds(3600),
            terms: Terms::default(),
        },
    );
}

#[test]
fn presence() {
    both_ways(
        "presence-request",
        &PresenceRequest {
            holder: holder(),
            reach: reach(),
            holds: vec![Held {
                attempt: attempt(),
                cancel_seen: true,
            }],
            draining: true,
            wait: Millis::seconds(20),
        },
    );
    let standing = |whose, cancel| Standing {
        attempt: attempt(),
        whose,
        cancel,
    };
    both_ways(
        "presence-response",
        &PresenceResponse {
            attempts: vec![
                standing(Whose::Yours, Some(order())),
                standing(Whose::Moved, None),
                standing(Whose::Over, None),
            ],
            drain: false,
            terms: Terms::default(),
        },
    );
}

#[test]
fn adopt_and_status() {
    both_ways(
        "adopt-request",
        &AdoptRequest {
            holder: holder(),
            reach: reach(),
            candidates: vec![AdoptCandidate {
                attempt: attempt(),
                held_by: holder(),
            }],
        },
    );
    let adoption = |result| Adoption {
        attempt: attempt(),
        result,
    };
    both_ways(
        "adopt-response",
        &AdoptResponse {
            attempts: vec![
                adoption(AdoptionResult::Adopted {
                    terms: Terms::default(),
                }),
                adoption(AdoptionResult::Refused),
                adoption(AdoptionResult::Over),
            ],
        },
    );
    both_ways(
        "attempts-status-request",
        &StatusRequest {
            attempts: vec![attempt()],
        },
    );
    let status = |life, holder| AttemptStatus {
        attempt: attempt(),
        life,
        holder,
    };
    both_ways(
        "attempts-status-response",
        &StatusResponse {
            attempts: vec![
                status(Life::Live, Some(holder())),
                status(Life::Over, None),
                status(Life::Unknown, None),
            ],
        },
    );
}

#[test]
fn reports() {
    both_ways(
        "unclaim-request-goat",
        &UnclaimRequest {
            task_id: "t-7".to_owned(),
            task_token: Some(Secret::new("t-7.2.0a1b")),
            attempt: None,
            holder: None,
            message: None,
        },
    );
    both_ways(
        "unclaim-request-agent",
        &UnclaimRequest {
            task_id: "t-7".to_owned(),
            task_token: None,
            attempt: Some(attempt()),
            holder: Some(holder()),
            message: Some("draining".to_owned()),
        },
    );
    let fail = |holder| FailRequest {
        allocation: attempt().to_string(),
        timestamp: 1_767_225_600_000,
        message: "bG9zdA==".to_owned(),
        holder,
    };
    both_ways("fail-request-goat", &fail(None));
    both_ways("fail-request-agent", &fail(Some(holder())));
    both_ways(
        "phase-request",
        &PhaseRequest {
            attempt: attempt(),
            holder: Some(holder()),
            phase: Phase::Pulling,
            detail: "golang:1.24".to_owned(),
        },
    );
    both_ways(
        "cause-request",
        &CauseRequest {
            attempt: attempt(),
            holder: Some(holder()),
            cause: Some(Cause::Evicted {
                resource: "memory".to_owned(),
            }),
            place_removed: true,
        },
    );
}

#[test]
fn task() {
    both_ways(
        "task-response",
        &Task {
            attempt: attempt(),
            pipeline: pipeline(),
            job: "build".to_owned(),
            source: Source {
                repository: "acme/app".to_owned(),
                clone_url: Some("https://example.com/acme/app.git".to_owned()),
                token: Some(Secret::new("t-7.2.91fe")),
                commit: "199eddf46df50de8d02e99bf1c5fdb4101338224".to_owned(),
                reference: "refs/heads/main".to_owned(),
            },
            steps: steps(),
            environment: environment(),
            secrets: BTreeMap::from([("KEY".to_owned(), Secret::new("hush"))]),
            working_directory: "~/project".to_owned(),
            shell: Some("/bin/bash -e".to_owned()),
            time_limit: Millis::seconds(3600),
            time_used: Millis(250),
            terms: Terms::default(),
            stored: 12,
        },
    );
    both_ways(
        "heartbeat-request",
        &HeartbeatRequest {
            wait: Millis::seconds(20),
            cancel_seen: true,
        },
    );
    both_ways(
        "heartbeat-response",
        &HeartbeatResponse {
            cancel: Some(order()),
        },
    );
    both_ways("heartbeat-response-no-news", &HeartbeatResponse { cancel: None });
}

#[test]
fn output() {
    let chunk = |sequence, stream, content| Chunk {
        step: 1,
        sequence,
        stream,
        time: 1_767_225_600_000,
        content,
    };
    both_ways(
        "output-request",
        &OutputRequest {
            chunks: vec![
                chunk(13, Stream::Stdout, Content::Bytes(Bytes(b"hello\n".to_vec()))),
                chunk(14, Stream::Stderr, Content::Bytes(Bytes(vec![0xff, 0x00]))),
                chunk(15, Stream::System, Content::Lost(4096)),
            ],
        },
    );
    both_ways("output-response", &OutputResponse { stored: 15 });
}

#[test]
fn steps_and_finish() {
    let step = |event| StepRequest {
        step: 1,
        event,
        time: 1_767_225_600_000,
    };
    both_ways("step-request-began", &step(StepEvent::Began));
    both_ways("step-request-ended", &step(StepEvent::Ended(step_end())));
    both_ways(
        "finish-request",
        &FinishRequest {
            outcome: Outcome::Failed,
            cause: Some(Cause::Exit { code: 3 }),
            steps: vec![StepResult {
                step: 1,
                end: step_end(),
            }],
            last_sequence: 15,
        },
    );
    both_ways(
        "finish-request-succeeded",
        &FinishRequest {
            outcome: Outcome::Succeeded,
            cause: None,
            steps: Vec::new(),
            last_sequence: 0,
        },
    );
}

#[test]
fn errors() {
    both_ways(
        "error-gone",
        &ApiError {
            code: ErrorCode::Gone,
            message: "the attempt is over".to_owned(),
            first_missing: None,
        },
    );
    both_ways(
        "error-output-missing",
        &ApiError {
            code: ErrorCode::OutputMissing,
            message: "output is missing from number 14 on".to_owned(),
            first_missing: Some(14),
        },
    );
    both_ways(
        "error-codes",
        &vec![
            ErrorCode::Invalid,
            ErrorCode::Unauthorised,
            ErrorCode::Forbidden,
            ErrorCode::NotFound,
            ErrorCode::Cancelling,
            ErrorCode::RetriesExhausted,
            ErrorCode::OutputMissing,
            ErrorCode::Conflict,
            ErrorCode::Gone,
            ErrorCode::TooLarge,
            ErrorCode::Internal,
            ErrorCode::Unavailable,
            ErrorCode::InsufficientStorage,
        ],
    );
}

#[test]
fn goat() {
    both_ways(
        "goat-config",
        &GoatConfig {
            cmd: vec!["/sbin/init".to_owned()],
            user: "circleci".to_owned(),
            task_id: "t-7".to_owned(),
            token: Some(Secret::new("t-7.2.0a1b")),
            task_agent_path: "/opt/circleci/bin/circleci-agent".to_owned(),
            readiness_file_path: "/opt/circleci/ready".to_owned(),
            enable_unsafe_retries: true,
            runner_api_base_url: "https://ci.example.com".to_owned(),
            allocation: attempt().to_string(),
            ssh_advertise_addr: "10.0.0.1:22".to_owned(),
            max_run_time: 3_600_000_000_000,
            notify_task_agent: true,
            share_instance: true,
            termination_message_path: "/place/termination".to_owned(),
        },
    );
    both_ways(
        "goat-termination-message",
        &TerminationMessage {
            kind: TerminationKind::TaskAgentEnded,
            message: "the task agent was ended by signal 9".to_owned(),
            exit_code: None,
            signal: Some(9),
            interrupted_by: Some("SIGTERM from process 12 sh (uid 1000) of the task".to_owned()),
            oom: true,
            reported: true,
            duration_ms: 1500,
            max_rss_kib: 65_536,
        },
    );
    both_ways(
        "goat-termination-kinds",
        &vec![
            TerminationKind::Completed,
            TerminationKind::TaskAgentEnded,
            TerminationKind::TaskAgentNotStarted,
            TerminationKind::EntrypointNotStarted,
            TerminationKind::NotReady,
            TerminationKind::Interrupted,
            TerminationKind::Configuration,
        ],
    );
}

#[test]
fn a_goat_config_of_a_newer_agent_and_one_of_an_older_are_read() {
    let newer: GoatConfig = serde_json::from_str(r#"{"task_id": "t-7", "something_new": [1]}"#).unwrap();
    let older: GoatConfig = serde_json::from_str("{}").unwrap();

    assert_eq!(newer.task_id, "t-7");
    assert_eq!(older, GoatConfig::default());
}

fn causes() -> Vec<Cause> {
    let text = |text: &str| text.to_owned();
    vec![
        Cause::Exit { code: 3 },
        Cause::Signal { n: 9 },
        Cause::Oom {
            container: text("main"),
            limit: Some(1024),
            peak: None,
        },
        Cause::Timeout {
            step: Some(text("make")),
            limit: Millis::seconds(60),
        },
        Cause::NoOutput { step: text("make") },
        Cause::Cancelled {
            by: text("admin"),
            why: text("wrong branch"),
        },
        Cause::Config {
            file: text(".ci.yml"),
            line: 4,
            column: 9,
            message: text("unknown step `frobnicate`"),
        },
        Cause::NotAuthorised,
        Cause::Clone {
            message: text("not found"),
            certain: true,
        },
        Cause::ImagePull {
            image: text("golang:9"),
            message: text("not found"),
            certain: true,
        },
        Cause::Start {
            message: text("no space"),
            certain: false,
        },
        Cause::Unschedulable {
            message: text("no node"),
        },
        Cause::Secrets {
            message: text("`vault-ci` ended with exit status: 1"),
        },
        Cause::Admission {
            message: text("quota"),
        },
        Cause::Evicted {
            resource: text("memory"),
        },
        Cause::Preempted,
        Cause::NodeLost,
        Cause::Deleted { by: text("unknown") },
        Cause::EngineLost,
        Cause::ContactLost { seconds: 270 },
        Cause::Service {
            name: text("db"),
            why: text("ended"),
            log_tail: text("bye"),
        },
        Cause::SupervisorLost { signal: Some(9) },
        Cause::TaskAgentLost { signal: None },
        Cause::AgentLost,
        Cause::DiskFull {
            r#where: text("server"),
        },
        Cause::Probe,
        Cause::Internal {
            message: text("a fault"),
        },
    ]
}

#[test]
fn every_cause() {
    both_ways("causes", &causes());
    for cause in causes() {
        let json = serde_json::to_value(&cause).unwrap();
        assert_eq!(json["kind"], cause.kind());
    }
}

#[test]
fn plan() {
    both_ways(
        "plan",
        &Plan {
            jobs: vec![PlannedJob {
                name: "build".to_owned(),
                image: Some("golang:1.24".to_owned()),
                services: vec![service()],
                resource_class: Some("acme/large".to_owned()),
                environment: environment(),
                steps: steps(),
                needs: vec![Need {
                    job: "lint".to_owned(),
                    outcomes: vec![Outcome::Succeeded],
                }],
                shell: Some("/bin/bash -e".to_owned()),
                working_directory: Some("~/project".to_owned()),
                retry_infra: true,
                time_limit: Some(Millis::seconds(600)),
            }],
        },
    );
}

#[test]
fn events() {
    let job = || "build".to_owned();
    let step = || "make".to_owned();
    let kinds = vec![
        EventKind::JobStarted { job: job() },
        EventKind::JobPhase {
            job: job(),
            phase: "pulling".to_owned(),
            attempt: 1,
            detail: "golang:1.24".to_owned(),
        },
        EventKind::StepStarted {
            job: job(),
            step: step(),
        },
        EventKind::StepOutput {
            job: job(),
            step: step(),
            stream: Stream::Stdout,
            text: "hello\n".to_owned(),
        },
        EventKind::StepFinished {
            job: job(),
            step: step(),
            exit_code: 3,
            duration_ms: 1500,
        },
        EventKind::JobFinished {
            job: job(),
            outcome: Outcome::Failed,
            cause: Some(Cause::Exit { code: 3 }),
            because: None,
            duration_ms: 2000,
        },
        EventKind::JobFinished {
            job: "test".to_owned(),
            outcome: Outcome::Skipped,
            cause: None,
            because: Some("build".to_owned()),
            duration_ms: 0,
        },
        EventKind::PipelineFinished {
            outcome: PipelineOutcome::Failed,
            cause: None,
        },
    ];
    let events: Vec<Event> = (1..)
        .zip(kinds)
        .map(|(time, what)| Event { time, what })
        .collect();
    both_ways("events", &events);
}

fn summary() -> PipelineSummary {
    PipelineSummary {
        id: pipeline(),
        repository: "acme/app".to_owned(),
        commit: "199eddf46df50de8d02e99bf1c5fdb4101338224".to_owned(),
        reference: "refs/heads/main".to_owned(),
        created: 1_767_225_600_000,
        outcome: Some(PipelineOutcome::Failed),
        cause: None,
        logs_removed: None,
        artifacts_removed: None,
    }
}

#[test]
fn pipelines() {
    both_ways("people-pipelines-response", &vec![summary()]);
    both_ways(
        "people-pipeline-removed",
        &PipelineSummary {
            logs_removed: Some(1_769_817_600_000),
            artifacts_removed: Some(1_769_817_600_000),
            ..summary()
        },
    );
    both_ways("people-rerun-request", &RerunRequest { failed: true });
    both_ways(
        "people-pipeline-response",
        &PipelineView {
            summary: summary(),
            jobs: vec![JobView {
                task: TaskId::new("t-7").unwrap(),
                name: "build".to_owned(),
                requires: vec!["lint".to_owned()],
                state: "failed".to_owned(),
                outcome: Some(Outcome::Failed),
                cause: Some(Cause::Exit { code: 3 }),
                sentence: Some("a step exited with code 3".to_owned()),
                attempts: vec![AttemptView {
                    attempt: attempt(),
                    agent: "agent-1".to_owned(),
                    phase: Phase::Finishing,
                    outcome: Some(Outcome::Failed),
                    cause: Some(Cause::Exit { code: 3 }),
                    steps: vec![StepView {
                        step: 1,
                        name: "make".to_owned(),
                        end: Some(step_end()),
                    }],
                    lost_bytes: 4096,
                }],
                artifacts: vec![ArtifactView {
                    name: "bin/app".to_owned(),
                    size: 3,
                    sha256: "a172cedcae47474b615c54d510a5d84a8dea3032e958587430b413538be3f333".to_owned(),
                }],
            }],
        },
    );
    both_ways(
        "people-pipeline-request",
        &PipelineRequest {
            repository: "acme/app".to_owned(),
            commit: "199eddf46df50de8d02e99bf1c5fdb4101338224".to_owned(),
            reference: "refs/heads/main".to_owned(),
            jobs: vec!["build".to_owned()],
        },
    );
    both_ways(
        "people-pipeline-started",
        &PipelineStarted { pipeline: pipeline() },
    );
}

#[test]
fn people_otherwise() {
    both_ways(
        "people-token-request",
        &TokenRequest {
            resource_class: "acme/large".to_owned(),
            description: "the big machine".to_owned(),
        },
    );
    both_ways(
        "people-token-response",
        &TokenResponse {
            token: Secret::new("ghc_0a1b"),
            resource_class: "acme/large".to_owned(),
        },
    );
    both_ways(
        "people-cancel-request",
        &CancelRequest {
            why: "wrong branch".to_owned(),
        },
    );
    both_ways(
        "people-cancel-response",
        &Cancelled {
            ended: Some(PipelineOutcome::Failed),
        },
    );
    both_ways(
        "people-cancel-response-taken",
        &Cancelled::<Outcome> { ended: None },
    );
    both_ways(
        "people-audit-response",
        &vec![AuditEntry {
            number: 1,
            time: 1_767_225_600_000,
            actor: "webhook github".to_owned(),
            action: "webhook.accepted".to_owned(),
            subject: "p-1".to_owned(),
            detail: "push of acme/app".to_owned(),
        }],
    );
    both_ways(
        "people-repositories-response",
        &vec![RepositoryView {
            name: "acme/app".to_owned(),
            clone_url: None,
        }],
    );
}

#[test]
fn every_golden_file_is_tested() {
    let source = include_str!("wire.rs");
    let folder = path("x").parent().unwrap().to_owned();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = name.trim_end_matches(".json");

        assert!(
            source.contains(&format!("\"{name}\"")),
            "{name}.json is in no test"
        );
    }
}
