//! Jobs among each other: names, `requires`, workflows.

use pipeline::{Code, compile};

use super::{CI, CIRCLE, expect, found, job};

#[test]
fn what_comes_of_orbs_and_commands_is_not_called_unknown() {
    let text = "§orbs: {slack: x}\n§commands: {greet: x}\njobs:\n  a:\n    steps: [§greet, §slack/notify]\n\
                workflows: {m: {jobs: [a, §slack/hold, {a: {name: b, requires: [slack/hold]}}]}}\n";

    expect(CIRCLE, text, Code::NotSupported, "orbs");
}

#[test]
fn an_approval_is_one_error_and_not_also_an_unknown_job() {
    let text = job("") + "workflows: {m: {jobs: [{hold: {§type: approval}}, {a: {requires: [hold]}}]}}\n";

    expect(CIRCLE, &text, Code::NotSupported, "type");
}

#[test]
fn a_job_is_not_called_as_another_folder() {
    for name in [".", ".."] {
        let text = format!("jobs:\n  §\"{name}\": {{steps: [checkout]}}\n");
        expect(CI, &text, Code::BadValue, "a job cannot be called");
    }
}

#[test]
fn an_unknown_job_is_an_error_with_the_nearest_one() {
    let two = "jobs:\n  build: {steps: [checkout]}\n  test: {requires: [§biuld], steps: [checkout]}\n";
    expect(CI, two, Code::UnknownJob, "did you mean `build`?");
    let mapped = two.replace("[§biuld]", "{§biuld: failed}");
    expect(CI, &mapped, Code::UnknownJob, "did you mean `build`?");
    let workflow = "jobs:\n  build: {steps: [checkout]}\nworkflows: {m: {jobs: [build, §biuld]}}\n";
    expect(CI, workflow, Code::UnknownJob, "did you mean `build`?");
}

#[test]
fn a_job_that_the_workflow_does_not_run_cannot_be_required_there() {
    let text = "jobs:\n  a: {steps: [checkout]}\n  b: {requires: §a, steps: [checkout]}\n\
                workflows: {one: {jobs: [a]}, two: {jobs: [b]}}\n";

    expect(
        CI,
        text,
        Code::UnknownJob,
        "which the workflow `two` does not run",
    );
}

#[test]
fn a_circle_names_its_jobs() {
    let text = "jobs:\n  a: {requires: c, steps: [checkout]}\n  b: {requires: a, steps: [checkout]}\n  \
                c: {requires: §b, steps: [checkout]}\n  d: {requires: a, steps: [checkout]}\n";
    let found = found(CI, &text.replace('§', ""));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].code, Code::Cycle);
    assert!(
        found[0].message.contains("`a` -> `c` -> `b` -> `a`"),
        "{}",
        found[0].message
    );
    expect(
        CI,
        &job("requires: §a"),
        Code::Cycle,
        "the job `a` requires itself",
    );
}

#[test]
fn each_of_two_circles_is_reported() {
    let text = "jobs:\n  a: {requires: b, steps: [checkout]}\n  b: {requires: §a, steps: [checkout]}\n  \
                c: {requires: [d, a], steps: [checkout]}\n  d: {requires: §c, steps: [checkout]}\n";

    expect(CI, text, Code::Cycle, "`a` -> `b` -> `a`");
}

#[test]
fn jobs_that_differ_in_case_only_are_refused() {
    let text = "jobs:\n  build: {steps: [checkout]}\n  §Build: {steps: [checkout]}\n";

    expect(CI, text, Code::DuplicateJob, "differ in case only");
}

#[test]
fn a_name_that_is_given_twice_in_a_workflow_is_refused() {
    let text = job("") + "workflows: {m: {jobs: [{a: {name: x}}, {a: {name: §x}}]}}\n";

    expect(CI, &text, Code::DuplicateJob, "two jobs would run as `x`");
}

#[test]
fn what_no_workflow_runs_is_a_warning() {
    let text = "jobs:\n  a: {steps: [checkout]}\n  §b: {steps: [checkout]}\nworkflows: {m: {jobs: [a]}}\n";

    expect(CI, text, Code::UnusedJob, "`b`");
    assert!(compile(CI, &text.replace('§', "")).plan.is_some());
}
