//! No text makes the compiler panic, and what is wrong is told where it is.

use pipeline::{Color, Compiled, Severity, compile, render_all, select};
use proptest::prelude::*;

/// A config with every key that there is.
const WHOLE: &str = "\
version: 2.1
x-variables: &variables
  CI: \"1\"
x-step: &step
  run: {command: make, name: make, when: always, shell: sh, working_directory: w, no_output_timeout: 5m}
jobs:
  build:
    image: golang:1.24
    services:
      - image: postgres:16
        name: db
        environment: {A: b}
    resource_class: large
    environment:
      <<: *variables
      B: \"2\"
    shell: bash
    working_directory: ~/w
    retry: infra
    time_limit: 1h
    steps:
      - checkout: {path: src}
      - *step
      - run: |
          echo one
          echo \"two\"
      - upload:
          source: out
          destination: all
  test:
    docker:
      - image: cimg/go:1.24
      - image: redis
    requires: [build]
    steps:
      - checkout
workflows:
  main:
    jobs:
      - build
      - test: {requires: [{build: [succeeded]}], name: check}
";

/// Keys that a schema names, as they stand in the config above, so that a renamed one must be noticed.
const KEYS: &[&str] = &[
    "jobs",
    "workflows",
    "image",
    "services",
    "name",
    "environment",
    "resource_class",
    "shell",
    "working_directory",
    "retry",
    "time_limit",
    "steps",
    "path",
    "command",
    "when",
    "no_output_timeout",
    "source",
    "destination",
    "docker",
    "requires",
    "checkout",
    "run",
    "upload",
];

/// What always holds, whatever the text is.
fn check(file: &str, text: &str) -> Compiled {
    let compiled = compile(file, text);
    let errors = compiled
        .diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error);
    assert_eq!(
        compiled.plan.is_none(),
        errors.count() > 0,
        "{:?}",
        compiled.diagnostics
    );
    let shown = render_all(&compiled.diagnostics, text, Color::Never);
    for one in &compiled.diagnostics {
        let place = format!("{file}:{}:{}", one.line, one.column);
        assert!(shown.contains(&place), "{place} is not in\n{shown}");
        assert!(
            (one.end_line, one.end_column) >= (one.line, one.column),
            "{one:?}"
        );
        assert!(!one.message.contains('\n'));
    }
    if let Some(plan) = &compiled.plan {
        assert!(!plan.jobs.is_empty());
        for job in &plan.jobs {
            assert!(!job.steps.is_empty());
            let alone = select(plan, std::slice::from_ref(&job.name)).expect("the job exists");
            assert!(alone.jobs.iter().any(|one| one.name == job.name));
            for need in &job.needs {
                assert!(plan.jobs.iter().any(|one| one.name == need.job));
            }
        }
    }
    compiled
}

/// Pieces that YAML gives a meaning.
const PIECES: &[&str] = &[
    "jobs:",
    "workflows:",
    "steps:",
    "run:",
    "image:",
    "requires:",
    "environment:",
    "- ",
    "  ",
    "    ",
    "\n",
    "\n  ",
    "\n    - ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "&a ",
    "*a",
    "<<: *a",
    "<<: ",
    "!!str ",
    "!x ",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "# ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "? ",
    "\t",
    "\r\n",
    "\r",
    "\\",
    "\\<<",
    "<< parameters.x >>",
    "3.10",
    "~",
    "ä",
    "\u{feff}",
    "\0",
    "checkout",
    "a",
    "\u{85}",
    "\u{2028}",
    "@",
    "`",
];

/// Such a piece, or any character.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => proptest::sample::select(PIECES).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ]
}

/// Where something is cut out of, or put into, a text.
fn mutated() -> impl Strategy<Value = String> {
    let change = (
        any::<prop::sample::Index>(),
        0..12_usize,
        prop::collection::vec(piece(), 0..3),
    );
    prop::collection::vec(change, 1..4).prop_map(|changes| {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (at, cut, put) in changes {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.concat().chars());
        }
        text.into_iter().collect()
    })
}

fn files() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(pipeline::CONFIG_FILES)
}

/// Every place of every schema key in the config above: its line, from 1, and its bytes.
fn places() -> Vec<(u32, std::ops::Range<usize>)> {
    let mut places = Vec::new();
    let mut start = 0;
    for (number, line) in (1..).zip(WHOLE.split_inclusive('\n')) {
        for key in KEYS {
            for (at, _) in line.match_indices(&format!("{key}:")) {
                let before = line[..at].chars().next_back();
                if before.is_none_or(|found| " {".contains(found)) {
                    places.push((number, start + at..start + at + key.len()));
                }
            }
        }
        start += line.len();
    }
    places
}

#[test]
fn the_whole_config_has_no_mistake() {
    let compiled = check(".ci.yml", WHOLE);

    assert_eq!(compiled.diagnostics, []);
}

#[test]
fn every_schema_key_is_tried() {
    for key in KEYS {
        assert!(
            places().iter().any(|(_, range)| &WHOLE[range.clone()] == *key),
            "{key}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(file in files(), text in any::<String>()) {
        check(file, &text);
    }

    #[test]
    fn no_yaml_makes_it_panic(file in files(), pieces in prop::collection::vec(piece(), 0..60)) {
        check(file, &pieces.concat());
    }

    #[test]
    fn no_damaged_config_makes_it_panic(file in files(), text in mutated()) {
        check(file, &text);
    }

    #[test]
    fn a_renamed_key_is_reported_on_its_line(
        which in any::<prop::sample::Index>(),
        name in "[a-z]{1,8}zq",
    ) {
        let places = places();
        let (line, range) = &places[which.index(places.len())];
        let mut text = WHOLE.to_owned();
        text.replace_range(range.clone(), &name);

        let compiled = check(".ci.yml", &text);

        let on_line = compiled.diagnostics.iter().any(|one| one.line == *line && one.severity == Severity::Error);
        prop_assert!(on_line, "{text}\n{:#?}", compiled.diagnostics);
    }
}
