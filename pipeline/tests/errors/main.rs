//! Every rule of the config language, and the place that its error names: `§` in a text marks it.

mod jobs;
mod tree;

use pipeline::{Code, Diagnostic, Severity, compile};

const CI: &str = ".ci.yml";
const CIRCLE: &str = ".circleci/config.yml";

/// The text without its marks, and the line and column of each.
fn marked(text: &str) -> (String, Vec<(u32, u32)>) {
    let (mut line, mut column) = (1, 1);
    let mut places = Vec::new();
    for found in text.chars() {
        match found {
            '§' => places.push((line, column)),
            '\n' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
    }
    (text.replace('§', ""), places)
}

fn found(file: &str, text: &str) -> Vec<Diagnostic> {
    let compiled = compile(file, text);
    let errors = compiled
        .diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .count();
    assert_eq!(
        compiled.plan.is_none(),
        errors > 0,
        "{text}\n{:?}",
        compiled.diagnostics
    );
    compiled.diagnostics
}

/// Each mark has one diagnostic of this code, there are no others, and the first says this.
fn expect(file: &str, text: &str, code: Code, says: &str) {
    let (text, places) = marked(text);

    let found = found(file, &text);

    let at: Vec<_> = found.iter().map(|one| (one.line, one.column)).collect();
    assert_eq!(at, places, "{text}\n{found:#?}");
    assert!(found.iter().all(|one| one.code == code), "{text}\n{found:#?}");
    let first = &found[0];
    let all = format!("{}\n{}", first.message, first.suggestion.as_deref().unwrap_or(""));
    assert!(all.contains(says), "{text}\n{all}");
}

/// A job `a` with this text in it, indented as a job's keys are.
fn job(rest: &str) -> String {
    format!("jobs:\n  a:\n    steps: [checkout]\n    {rest}\n")
}

/// A job with this list of steps.
fn steps(text: &str) -> String {
    format!("jobs:\n  a:\n    steps:\n{text}\n")
}

#[test]
fn an_unknown_key_is_an_error_with_the_nearest_one() {
    expect(CI, &job("§imgae: x"), Code::UnknownKey, "did you mean `image`?");
    expect(CI, &job("§zzz: x"), Code::UnknownKey, "a job has: image");
    let custom = found(".custom-ci.yml", "jbos: {}\n");
    assert_eq!((custom.len(), custom[0].severity), (1, Severity::Error));
    expect(
        CI,
        &steps("      - run: {command: x, §nmae: y}"),
        Code::UnknownKey,
        "`name`",
    );
}

#[test]
fn an_unknown_key_of_a_circleci_file_is_a_warning() {
    let (text, places) = marked(&job("§imgae: x"));

    let compiled = compile(CIRCLE, &text);

    assert!(compiled.plan.is_some());
    assert_eq!(compiled.diagnostics[0].severity, Severity::Warning);
    let at = (compiled.diagnostics[0].line, compiled.diagnostics[0].column);
    assert_eq!(vec![at], places);
}

#[test]
fn a_misspelt_key_is_not_missed_as_well() {
    expect(
        CI,
        "§jbos: {a: {steps: [checkout]}}\n",
        Code::UnknownKey,
        "`jobs`",
    );
    expect(
        CI,
        "jobs:\n  a:\n    §stpes: [checkout]\n",
        Code::UnknownKey,
        "`steps`",
    );
    expect(
        CI,
        &steps("      - run: {§comand: make}"),
        Code::UnknownKey,
        "`command`",
    );
}

#[test]
fn what_must_be_there_is_missed() {
    expect(CI, "§version: 2.1\n", Code::MissingKey, "`jobs`");
    expect(CI, "jobs:\n  §a:\n    image: x\n", Code::MissingKey, "`steps`");
    expect(
        CI,
        &steps("      - §run: {name: x}"),
        Code::MissingKey,
        "`command`",
    );
    expect(CI, &steps("      - §run:"), Code::MissingKey, "`command`");
    expect(CI, &steps("      - §run"), Code::MissingKey, "`command`");
    expect(CI, &steps("      - §upload"), Code::MissingKey, "`source`");
    expect(
        CI,
        &job("docker: [§{environment: {A: x}}]"),
        Code::MissingKey,
        "`image`",
    );
    expect(
        CI,
        &(job("") + "workflows:\n  §main: {}\n"),
        Code::MissingKey,
        "`jobs`",
    );
}

#[test]
fn what_must_not_be_empty_is_refused() {
    expect(CI, "§jobs:\n", Code::Empty, "`jobs`");
    expect(CI, "§jobs: {}\n", Code::Empty, "`jobs`");
    expect(CI, "jobs:\n  §a:\n", Code::Empty, "`a`");
    expect(CI, "jobs:\n  a:\n    §steps: []\n", Code::Empty, "`steps`");
    expect(CI, "jobs:\n  a:\n    §steps:\n", Code::Empty, "`steps`");
    expect(CI, &steps("      - run: §\"  \""), Code::Empty, "command");
    expect(
        CI,
        &steps("      - run: {command: §\"\"}"),
        Code::Empty,
        "command",
    );
    expect(CI, &steps("      - §{}"), Code::Empty, "says nothing");
    expect(CI, &job("image: §''"), Code::Empty, "`image`");
    expect(CI, &job("§docker: []"), Code::Empty, "`docker`");
    expect(
        CI,
        &(job("") + "§workflows: {}\n"),
        Code::Empty,
        "nothing would run",
    );
    expect(
        CI,
        &(job("") + "workflows: {m: {§jobs: []}}\n"),
        Code::Empty,
        "`m`",
    );
}

#[test]
fn a_wrong_type_names_the_one_that_is_expected() {
    for (text, says) in [
        ("§[a]\n", "a config must be a mapping, but this is a list"),
        ("§text\n", "a config must be a mapping"),
        ("jobs: §[a]\n", "`jobs` must be a mapping"),
        ("jobs: {a: §text}\n", "a job must be a mapping"),
        ("jobs: {a: {steps: §checkout}}\n", "start each item with `- `"),
        ("version: §[1]\njobs: {a: {steps: [checkout]}}\n", "`version`"),
        (
            "jobs: {a: {steps: [checkout]}}\nworkflows: §[a]\n",
            "`workflows` must be a mapping",
        ),
        (
            "jobs: {a: {steps: [checkout]}}\nworkflows: {m: §[a]}\n",
            "a workflow must be a mapping",
        ),
    ] {
        expect(CI, text, Code::WrongType, says);
    }
    for (text, says) in [
        ("image: §[a]", "`image` must be text, but this is a list"),
        ("§image:", "`image` must be text, but this is empty"),
        ("docker: §go", "`docker` must be a list"),
        ("docker: [§go]", "write `image: go`"),
        ("services: §{image: x}", "`services` must be a list"),
        ("environment: §text", "`environment` must be a mapping"),
        ("environment: {A: §[1]}", "the variable `A` must be text"),
        ("requires: [§[a]]", "`requires` must be text"),
        ("working_directory: §{}", "`working_directory`"),
    ] {
        expect(CI, &job(text), Code::WrongType, says);
    }
    for (text, says) in [
        ("      - §[a]", "a step must be"),
        ("      -§", "a step must be"),
        ("      - run: §[a]", "`run` must be a mapping"),
        (
            "      - run: {command: §[a]}",
            "the command of `run` must be text",
        ),
        ("      - checkout: §x", "write `checkout: {path: FOLDER}`"),
        ("      - upload: §x", "write `upload: {source: x}`"),
        ("      - run: make\n        §name: x", "indent its keys"),
        ("      - checkout:\n        §path: x", "further than `checkout:`"),
    ] {
        expect(CI, &steps(text), Code::WrongType, says);
    }
}

#[test]
fn a_wrong_value_names_the_right_ones() {
    for (text, says) in [
        ("retry: §3", "`retry` must be `infra`, not `3`"),
        ("time_limit: §soon", "`10m`"),
        ("time_limit: §0s", "longer than nothing"),
        ("time_limit: §721h", "30 days"),
        ("image: §go lang", "no image's name"),
        ("image: §-x", "no image's name"),
        ("image: §$IMAGE", "no image's name"),
        ("resource_class: §\"a\\nb\"", "one line"),
        ("image: §\"a\\0\"", "NUL"),
        ("environment: {§\"A=B\": x}", "name of a variable"),
        ("services: [{image: x, name: §My_Name}]", "host name"),
    ] {
        expect(CI, &job(text), Code::BadValue, says);
    }
    for (text, says) in [
        (
            "      - run: {command: x, when: §on_failure}",
            "did you mean `on_fail`?",
        ),
        ("      - run: {command: x, no_output_timeout: §10min}", "`10m`"),
        ("      - upload: {source: a, destination: §../b}", "leaves"),
        ("      - run: §\"a\\0b\"", "NUL"),
    ] {
        expect(CI, &steps(text), Code::BadValue, says);
    }
    expect(
        CI,
        "jobs: {§\"a\\nb\": {steps: [checkout]}}\n",
        Code::BadValue,
        "control",
    );
}

#[test]
fn what_excludes_each_other_is_refused() {
    expect(
        CI,
        &job("image: x\n    §docker: [{image: y}]"),
        Code::Conflict,
        "not both",
    );
    let services = "services: [{image: x, name: db}, {image: y, name: §db}]";
    expect(CI, &job(services), Code::Conflict, "`db`");
    expect(
        CI,
        &job("environment: [{A: x}, {§A: y}]"),
        Code::DuplicateKey,
        "`A`",
    );
}

#[test]
fn an_unknown_step_type_is_an_error_everywhere() {
    for file in [CI, CIRCLE] {
        expect(
            file,
            &steps("      - §rnu: make"),
            Code::UnknownStep,
            "did you mean `run`?",
        );
        expect(
            file,
            &steps("      - §frobnicate"),
            Code::UnknownStep,
            "there are `checkout`",
        );
    }
}

#[test]
fn what_circleci_has_and_we_do_not_is_named() {
    for key in ["orbs", "commands", "executors", "parameters", "setup"] {
        expect(CI, &format!("§{key}: x\n{}", job("")), Code::NotSupported, key);
    }
    for key in [
        "executor",
        "machine",
        "macos",
        "parallelism",
        "parameters",
        "matrix",
        "filters",
    ] {
        expect(CI, &job(&format!("§{key}: x")), Code::NotSupported, key);
    }
    for step in [
        "restore_cache",
        "save_cache",
        "store_artifacts",
        "when",
        "setup_remote_docker",
    ] {
        expect(
            CIRCLE,
            &steps(&format!("      - §{step}: {{}}")),
            Code::NotSupported,
            step,
        );
    }
    for key in ["filters", "context", "matrix"] {
        let text = job("") + &format!("workflows: {{m: {{jobs: [{{a: {{§{key}: x}}}}]}}}}\n");
        expect(CIRCLE, &text, Code::NotSupported, key);
    }
    for key in ["triggers", "when", "unless"] {
        let text = job("") + &format!("workflows: {{m: {{§{key}: x, jobs: [a]}}}}\n");
        expect(CIRCLE, &text, Code::NotSupported, key);
    }
    expect(
        CI,
        &steps("      - run: {command: x, §background: true}"),
        Code::NotSupported,
        "background",
    );
}

#[test]
fn an_expression_is_refused_at_its_own_place() {
    let text = steps("      - run: |\n          echo a\n          echo §<< parameters.x >>");
    expect(CIRCLE, &text, Code::NotSupported, "`<< parameters.x >>`");
    let version_2 = format!("version: 2\n{}", text.replace('§', ""));
    assert!(found(CIRCLE, &version_2).is_empty());
}

#[test]
fn a_number_that_would_change_is_a_warning() {
    expect(
        CI,
        &job("environment: {A: §3.10}"),
        Code::QuoteIt,
        "write \"3.10\"",
    );
    expect(
        CI,
        &steps("      - run: {command: x, environment: {A: §010}}"),
        Code::QuoteIt,
        "\"010\"",
    );
    expect(
        CI,
        &job("services: [{image: x, environment: {A: §1_000}}]"),
        Code::QuoteIt,
        "1_000",
    );
    assert!(found(CI, &job("environment: {A: \"3.10\", B: 3.1, C: yes}")).is_empty());
}

#[test]
fn what_has_no_effect_is_a_warning() {
    expect(
        CI,
        &job("docker: [{image: x, name: §y}]"),
        Code::NoEffect,
        "changes nothing",
    );
    let twice = "jobs:\n  a: {steps: [checkout]}\n  b: {requires: [a, §a], steps: [checkout]}\n".to_owned();
    expect(CI, &twice, Code::NoEffect, "twice");
}

#[test]
fn more_than_a_hundred_errors_are_counted() {
    let keys: String = (0..150).map(|key| format!("    zz{key}: x\n")).collect();

    let found = found(CI, &format!("jobs:\n  a:\n    steps: [checkout]\n{keys}"));

    assert_eq!(found.len(), 101);
    assert_eq!(found[100].code, Code::TooMany);
    assert_eq!(found[100].message, "50 more errors are not shown");
}

#[test]
fn the_cause_is_the_first_error_with_the_number_of_the_others() {
    let compiled = compile(CI, "jobs:\n  a: {steps: [], imgae: x, retry: 3}\n");

    let cause = compiled.to_cause().expect("there are errors");

    let api::Cause::Config {
        file,
        line,
        column,
        message,
    } = cause
    else {
        panic!("{cause:?}");
    };
    assert_eq!((file.as_str(), line, column), (CI, 2, 7));
    assert!(message.ends_with("(and 2 more)"), "{message}");
    assert!(compile(CI, &job("")).to_cause().is_none());
}

#[test]
fn a_wrong_word_is_answered_with_the_right_ones_also_where_none_is_near() {
    let text = steps("      - run: {command: x, when: sometimes}").replace('§', "");

    let found = found(CI, &text);

    let suggestion = found[0].suggestion.as_deref();
    assert_eq!(suggestion, Some("write one of `on_success`, `always`, `on_fail`"));
}

#[test]
fn a_variable_without_a_value_is_told_both_forms() {
    for (text, says) in [
        ("environment: [§A]", "must be `NAME=VALUE` or a mapping"),
        (
            "environment: [§A]",
            "write `A=VALUE`, or `A=` for one without a value",
        ),
        ("environment: [§[A]]", "as `NAME=VALUE` or `NAME: VALUE`"),
        ("environment: [§'']", "`NAME=VALUE` or `NAME: VALUE`"),
    ] {
        expect(CI, &job(text), Code::WrongType, says);
    }
}
