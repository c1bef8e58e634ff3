//! What people and programs see of a config with five different mistakes.

use pipeline::{Color, Compiled, compile, render_all};

const FIVE: &str = "\
# Builds, tests and ships.
jobs:
  build:
    imgae: golang:1.24
    environment: {GO: \"on\"}
    steps:
      - checkout
      - run: go build
  test:
    requires: [biuld]
    steps: checkout
  package:
    requires: [ship]
    steps:
      - uplaod: {source: app}
  ship:
    requires: [package]
    steps:
      - run: ./ship
";

fn five() -> Compiled {
    compile(".ci.yml", FIVE)
}

#[test]
fn five_mistakes_are_five_errors_each_with_its_line_and_caret() {
    insta::assert_snapshot!(render_all(&five().diagnostics, FIVE, Color::Never));
}

#[test]
fn as_json_each_has_seven_fields() {
    let lines: Vec<String> = five()
        .diagnostics
        .iter()
        .map(|one| serde_json::to_string(one).expect("it is plain data"))
        .collect();

    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn colour_changes_no_word() {
    let compiled = five();

    let plain = render_all(&compiled.diagnostics, FIVE, Color::Never);
    let coloured = render_all(&compiled.diagnostics, FIVE, Color::Always);

    assert!(!plain.contains('\u{1b}'));
    assert!(coloured.contains('\u{1b}'));
    assert_eq!(without_escapes(&coloured), plain);
}

#[test]
fn two_places_of_one_mistake_are_both_shown() {
    let text = "jobs:\n  a:\n    image: x\n    steps: [checkout]\n    shell: sh\n    image: y\n";

    let compiled = compile(".ci.yml", text);

    insta::assert_snapshot!(compiled.diagnostics[0].render(text));
}

#[test]
fn of_a_wide_line_the_part_around_the_place_is_shown() {
    let (many, wide) = ("k".repeat(50_000), "木".repeat(50_000));
    let texts = [
        format!("jobs: {{a: {{steps: [checkout], x-w: {many}, imgae: x, x-y: {many}}}}}\n"),
        format!("jobs: {{a: {{steps: [checkout], x-y: {wide}, imgae: x, ? {wide} : x}}}}\n"),
        format!("jobs:\n  a:\n    shell: sh # {wide}\n    steps: [checkout] # {many}\n    shell: sh\n"),
        format!("jobs: {{a: {{shell: sh, x-y: {wide}, shell: sh, steps: [checkout]}}}}\n"),
    ];

    let shown = texts.map(|text| render_all(&compile(".ci.yml", &text).diagnostics, &text, Color::Never));

    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn colour_changes_no_word_beside_a_wide_line() {
    let text = format!(
        "jobs: {{a: {{steps: [checkout], imgae: {}}}}}\n",
        "k".repeat(50_000)
    );
    let compiled = compile(".ci.yml", &text);

    let plain = render_all(&compiled.diagnostics, &text, Color::Never);
    let coloured = render_all(&compiled.diagnostics, &text, Color::Always);

    assert_eq!(without_escapes(&coloured), plain);
}

#[test]
fn a_diagnostic_is_shown_without_its_line_where_the_text_is_another() {
    let compiled = five();

    for text in ["", "\n", "jobs:", "ä"] {
        let shown = compiled.diagnostics.last().expect("there are some").render(text);
        assert!(shown.contains(".ci.yml:"), "{shown}");
    }
}

#[test]
fn a_text_that_would_steer_the_terminal_does_not() {
    let text = "jobs:\n  a:\n    steps: [checkout]\n    \"\\e[2Jx\": 1 # \u{202e}\u{1b}[31m\n";

    let compiled = compile(".ci.yml", text);

    let shown = render_all(&compiled.diagnostics, text, Color::Never);
    assert!(shown.contains("\\u{1b}[2Jx"), "{shown}");
    assert!(
        !shown.contains('\u{1b}') && !shown.contains('\u{202e}'),
        "{shown}"
    );
}

/// The text without colours and links.
fn without_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(found) = characters.next() {
        if found != '\u{1b}' {
            plain.push(found);
        } else if characters.next() == Some('[') {
            characters.by_ref().find(|end| end.is_ascii_alphabetic());
        } else {
            // An operating system command ends with a string terminator: escape and backslash.
            characters.by_ref().find(|end| *end == '\\');
        }
    }
    plain
}
