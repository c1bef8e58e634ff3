//! What the config language means: text in, plan out.

use std::collections::BTreeMap;

use api::Millis;
use api::operation::{Operation, Step, When};
use api::outcome::Outcome;
use api::plan::{Plan, PlannedJob};
use pipeline::{SelectError, compile, select};

/// The plan of a text without a mistake.
fn plan(text: &str) -> Plan {
    let compiled = compile(".ci.yml", text);
    assert!(compiled.diagnostics.is_empty(), "{:#?}", compiled.diagnostics);
    compiled.plan.expect("there are no errors")
}

/// The only job of a text.
fn job(text: &str) -> PlannedJob {
    let mut jobs = plan(text).jobs;
    assert_eq!(jobs.len(), 1);
    jobs.remove(0)
}

/// The names, and what each needs.
fn needs(plan: &Plan) -> Vec<(String, Vec<String>)> {
    let needs = |job: &PlannedJob| job.needs.iter().map(|need| need.job.clone()).collect();
    plan.jobs
        .iter()
        .map(|job| (job.name.clone(), needs(job)))
        .collect()
}

fn named(names: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let owned = |needs: &[&str]| needs.iter().map(|need| (*need).to_owned()).collect();
    names
        .iter()
        .map(|(name, needs)| ((*name).to_owned(), owned(needs)))
        .collect()
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn run(name: &str, command: &str) -> Step {
    Step {
        name: name.to_owned(),
        when: When::OnSuccess,
        operation: Operation::Run {
            command: command.to_owned(),
            shell: None,
            working_directory: None,
            environment: BTreeMap::new(),
            no_output_timeout: None,
        },
    }
}

#[test]
fn every_key_of_a_job_reaches_the_plan() {
    let job = job("
version: 2.1
jobs:
  build:
    description: builds it
    image: golang:1.24
    services:
      - image: postgres:16
        environment: {POSTGRES_PASSWORD: x}
      - image: registry.example.org/redis
        name: cache
    resource_class: acme/large
    environment: {CGO_ENABLED: 0, EMPTY: , VERSION: \"3.10\"}
    shell: bash -eu
    working_directory: ~/work
    retry: infra
    time_limit: 1.5h
    steps: [checkout]
");

    assert_eq!(job.name, "build");
    assert_eq!(job.image.as_deref(), Some("golang:1.24"));
    let services: Vec<_> = job
        .services
        .iter()
        .map(|service| (service.name.as_str(), service.image.as_str()))
        .collect();
    assert_eq!(
        services,
        [
            ("postgres", "postgres:16"),
            ("cache", "registry.example.org/redis")
        ]
    );
    assert_eq!(
        job.services[0].environment,
        variables(&[("POSTGRES_PASSWORD", "x")])
    );
    assert_eq!(job.resource_class.as_deref(), Some("acme/large"));
    assert_eq!(
        job.environment,
        variables(&[("CGO_ENABLED", "0"), ("EMPTY", ""), ("VERSION", "3.10")])
    );
    assert_eq!(job.shell.as_deref(), Some("bash -eu"));
    assert_eq!(job.working_directory.as_deref(), Some("~/work"));
    assert!(job.retry_infra);
    assert_eq!(job.time_limit, Some(Millis(5_400_000)));
    assert_eq!(job.needs, []);
}

#[test]
fn a_job_of_steps_alone_leaves_all_else_to_the_server() {
    let job = job("jobs: {a: {steps: [run: make]}}");

    assert_eq!(
        job,
        PlannedJob {
            name: "a".to_owned(),
            image: None,
            services: Vec::new(),
            resource_class: None,
            environment: BTreeMap::new(),
            steps: vec![run("make", "make")],
            needs: Vec::new(),
            shell: None,
            working_directory: None,
            retry_infra: false,
            time_limit: None,
        }
    );
}

#[test]
fn the_first_docker_image_is_the_jobs_and_the_others_are_services() {
    let job = job("
jobs:
  a:
    docker:
      - image: cimg/go:1.24
        environment: {A: image, B: image}
      - image: redis:7
      - image: redis:8
      - {image: mysql, name: db}
    environment: {B: job}
    steps: [checkout]
");

    assert_eq!(job.image.as_deref(), Some("cimg/go:1.24"));
    assert_eq!(job.environment, variables(&[("A", "image"), ("B", "job")]));
    let names: Vec<_> = job.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["redis", "redis-2", "db"]);
}

#[test]
fn steps_are_lowered_in_order() {
    let job = job("
jobs:
  a:
    steps:
      - checkout
      - checkout: {path: src}
      - run: |

          set -e
          make
      - run:
          name: test
          command: make test
          when: always
          working_directory: sub
          environment: {A: b}
          shell: sh
          no_output_timeout: 20m
      - upload: {source: out/bin}
      - upload: {source: out, destination: all/out, when: on_success, name: keep}
");

    let expected = [
        Step {
            name: "checkout".to_owned(),
            when: When::OnSuccess,
            operation: Operation::Checkout { path: None },
        },
        Step {
            name: "checkout".to_owned(),
            when: When::OnSuccess,
            operation: Operation::Checkout {
                path: Some("src".to_owned()),
            },
        },
        run("set -e", "\nset -e\nmake\n"),
        Step {
            name: "test".to_owned(),
            when: When::Always,
            operation: Operation::Run {
                command: "make test".to_owned(),
                shell: Some("sh".to_owned()),
                working_directory: Some("sub".to_owned()),
                environment: variables(&[("A", "b")]),
                no_output_timeout: Some(Millis::seconds(1200)),
            },
        },
        Step {
            name: "upload out/bin".to_owned(),
            when: When::Always,
            operation: Operation::Upload {
                source: "out/bin".to_owned(),
                destination: None,
            },
        },
        Step {
            name: "keep".to_owned(),
            when: When::OnSuccess,
            operation: Operation::Upload {
                source: "out".to_owned(),
                destination: Some("all/out".to_owned()),
            },
        },
    ];
    assert_eq!(job.steps, expected);
}

#[test]
fn a_number_keeps_its_text() {
    let text = "jobs: {a: {environment: {A: 3.10, B: 1e3, C: yes, D: ~}, steps: [run: 0x10]}}";

    let compiled = compile(".ci.yml", text);

    let job = &compiled.plan.expect("warnings only").jobs[0];
    let expected = variables(&[("A", "3.10"), ("B", "1e3"), ("C", "yes"), ("D", "~")]);
    assert_eq!(job.environment, expected);
    assert_eq!(job.steps, [run("0x10", "0x10")]);
}

#[test]
fn an_environment_may_be_a_list() {
    let job = job("jobs: {a: {environment: [{A: 1}, B=2=3, {C: x, D: y}], steps: [checkout]}}");

    assert_eq!(
        job.environment,
        variables(&[("A", "1"), ("B", "2=3"), ("C", "x"), ("D", "y")])
    );
}

#[test]
fn an_escaped_here_document_is_one() {
    let text = "jobs: {a: {steps: [run: 'cat \\<<EOF >>file']}}";
    assert_eq!(job(text).steps, [run("cat <<EOF >>file", "cat <<EOF >>file")]);
    let version_2 = format!("version: 2\n{text}");
    assert_eq!(
        job(&version_2).steps,
        [run("cat \\<<EOF >>file", "cat \\<<EOF >>file")]
    );
}

#[test]
fn own_keys_win_over_merged_ones_and_earlier_merges_over_later() {
    let job = job("
x-a: &a {image: a, shell: a}
x-b: &b {image: b, shell: b, resource_class: b, working_directory: b}
x-c: &c {working_directory: c, time_limit: 5}
jobs:
  j:
    <<: [*a, *b]
    image: own
    <<: *c
    steps: [checkout]
");

    assert_eq!(job.image.as_deref(), Some("own"));
    assert_eq!(job.shell.as_deref(), Some("a"));
    assert_eq!(job.resource_class.as_deref(), Some("b"));
    assert_eq!(job.working_directory.as_deref(), Some("b"));
    assert_eq!(job.time_limit, Some(Millis::seconds(5)));
}

#[test]
fn the_last_of_two_anchors_of_one_name_counts() {
    let job = job("x-a: &i one\nx-b: &i two\njobs: {a: {image: *i, shell: *i, steps: [checkout]}}");

    assert_eq!(job.image.as_deref(), Some("two"));
}

#[test]
fn a_quoted_merge_key_is_a_key() {
    let job = job("jobs: {a: {environment: {\"<<\": x}, steps: [checkout]}}");

    assert_eq!(job.environment, variables(&[("<<", "x")]));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_fine() {
    let job = job("\u{feff}jobs:\r\n  a:\r\n    steps:\r\n      - run: |\r\n          x\r\n          y\r\n");

    assert_eq!(job.steps, [run("x", "x\ny\n")]);
}

#[test]
fn requires_is_one_job_a_list_or_jobs_with_outcomes() {
    let plan = plan(
        "
jobs:
  a: {steps: [checkout]}
  b: {requires: a, steps: [checkout]}
  c: {requires: [a, b], steps: [checkout]}
  d: {requires: {a: [success, failed], b: not_run}, steps: [checkout]}
  e: {requires: [a, {b: terminal}], steps: [checkout]}
",
    );

    let expected = named(&[
        ("a", &[]),
        ("b", &["a"]),
        ("c", &["a", "b"]),
        ("d", &["a", "b"]),
        ("e", &["a", "b"]),
    ]);
    assert_eq!(needs(&plan), expected);
    assert_eq!(plan.jobs[1].needs[0].outcomes, [Outcome::Succeeded]);
    assert_eq!(
        plan.jobs[3].needs[0].outcomes,
        [Outcome::Succeeded, Outcome::Failed]
    );
    assert_eq!(plan.jobs[3].needs[1].outcomes, [Outcome::Skipped]);
    assert_eq!(plan.jobs[4].needs[1].outcomes.len(), 6);
}

const THREE: &str = "
jobs:
  a: {steps: [checkout]}
  b: {requires: [a], steps: [checkout]}
  c: {steps: [checkout]}
";

#[test]
fn a_workflow_adds_to_what_its_jobs_need() {
    let plan = plan(&format!(
        "{THREE}workflows: {{version: 2, m: {{jobs: [a, {{b: {{requires: [c]}}}}, c]}}}}"
    ));

    assert_eq!(needs(&plan), named(&[("a", &[]), ("b", &["a", "c"]), ("c", &[])]));
}

#[test]
fn a_workflow_decides_which_outcome_of_a_job_is_needed() {
    let text = format!("{THREE}workflows: {{m: {{jobs: [a, {{b: {{requires: [a: failed]}}}}, c]}}}}");

    assert_eq!(plan(&text).jobs[1].needs[0].outcomes, [Outcome::Failed]);
}

#[test]
fn only_jobs_that_a_workflow_names_run() {
    let text = format!("{THREE}workflows: {{m: {{jobs: [a]}}}}");

    let plan = compile(".ci.yml", &text).plan.expect("warnings only");

    assert_eq!(needs(&plan), named(&[("a", &[])]));
}

#[test]
fn a_job_of_two_workflows_runs_twice_under_two_names() {
    let text = format!("{THREE}workflows: {{m: {{jobs: [a, b]}}, n: {{jobs: [c, b, a]}}}}");

    let expected = named(&[
        ("a-1", &[]),
        ("b-1", &["a-1"]),
        ("c", &[]),
        ("b-2", &["a-2"]),
        ("a-2", &[]),
    ]);
    assert_eq!(needs(&plan(&text)), expected);
}

#[test]
fn a_job_twice_in_a_workflow_is_required_by_each_of_its_names() {
    let jobs = "[a, a, {a: {name: x}}, {c: {requires: [a]}}, {c: {name: d, requires: [a-2, x]}}]";
    let text = format!(
        "jobs: {{a: {{steps: [checkout]}}, c: {{steps: [checkout]}}}}\nworkflows: {{m: {{jobs: {jobs}}}}}"
    );

    let expected = named(&[
        ("a-1", &[]),
        ("a-2", &[]),
        ("x", &[]),
        ("c", &["a-1", "a-2"]),
        ("d", &["a-2", "x"]),
    ]);
    assert_eq!(needs(&plan(&text)), expected);
}

#[test]
fn a_job_that_runs_only_renamed_is_required_by_its_own_name() {
    let jobs = "[{a: {name: x}}, {a: {name: y}}, {b: {}}, c]";
    let text = format!("{THREE}workflows: {{m: {{jobs: {jobs}}}}}");

    assert_eq!(
        needs(&plan(&text)),
        named(&[("x", &[]), ("y", &[]), ("b", &["x", "y"]), ("c", &[])])
    );
}

#[test]
fn a_selection_brings_what_it_needs() {
    let whole = plan(
        "
jobs:
  a: {steps: [checkout]}
  b: {requires: a, steps: [checkout]}
  c: {steps: [checkout]}
  d: {requires: [b, a], steps: [checkout]}
",
    );
    let names = |jobs: &[&str]| {
        let jobs: Vec<String> = jobs.iter().map(|job| (*job).to_owned()).collect();
        select(&whole, &jobs).map(|plan| plan.jobs.into_iter().map(|job| job.name).collect::<Vec<_>>())
    };

    assert_eq!(names(&["d"]), Ok(vec!["a".into(), "b".into(), "d".into()]));
    assert_eq!(names(&["c", "a"]), Ok(vec!["a".into(), "c".into()]));
    assert_eq!(names(&[]).map(|names| names.len()), Ok(4));
    let unknown = SelectError::UnknownJob {
        name: "A".to_owned(),
        suggestion: Some("a".to_owned()),
        known: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
    };
    assert_eq!(unknown.to_string(), "there is no job `A`; did you mean `a`?");
    assert_eq!(names(&["c", "A"]), Err(unknown));
}

#[test]
fn a_job_that_is_like_none_is_answered_with_those_there_are() {
    let said = |count: u32| {
        let jobs: String = (1..=count)
            .map(|number| format!("  j{number}: {{steps: [checkout]}}\n"))
            .collect();
        let whole = plan(&format!("jobs:\n{jobs}"));
        select(&whole, &["nothing".to_owned()])
            .expect_err("there is none")
            .to_string()
    };

    assert_eq!(said(1), "there is no job `nothing`; there is `j1`");
    assert_eq!(
        said(3),
        "there is no job `nothing`; there are `j1`, `j2` and `j3`"
    );
    let many = said(30);
    assert!(many.ends_with(", `j20` and 10 more"), "{many}");
}
