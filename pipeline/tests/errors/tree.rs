//! YAML itself: syntax, anchors, limits, places.

use pipeline::Code;

use super::{CI, expect, found, job, marked};

#[test]
fn a_text_that_is_no_yaml_is_reported_where_it_breaks() {
    for (text, says) in [
        ("jobs:\n\t§- a\n", "spaces"),
        ("jobs: a§: b\n", "indentation"),
        ("jobs: §\"a\n", "never closed"),
        ("jobs: §@a\n", "quotes"),
        ("jobs: §*jbos\nx: &jobs 1\n", "did you mean `*jobs`?"),
        ("#!/bin/sh\nset -e\necho a\njobs§:\n", "not YAML"),
    ] {
        expect(CI, text, Code::Syntax, says);
    }
}

#[test]
fn an_empty_config_is_said_to_be_empty() {
    for text in ["§", "§# nothing\n", "§---\n"] {
        let (plain, _) = marked(text);
        let found = found(CI, &plain);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(
            matches!(found[0].code, Code::Empty | Code::WrongType),
            "{found:?}"
        );
    }
}

#[test]
fn a_second_document_is_refused() {
    let text = "jobs: {a: {steps: [checkout]}}\n---\n§b: c\n";

    expect(CI, text, Code::SeveralDocuments, "one document");
}

#[test]
fn a_document_marker_around_one_document_is_fine() {
    assert!(found(CI, "---\njobs: {a: {steps: [checkout]}}\n---\n").is_empty());
    assert!(found(CI, "jobs: {a: {steps: [checkout]}}\n...\n").is_empty());
}

#[test]
fn a_key_that_stands_twice_names_both_places() {
    let text = job("image: x\n    shell: sh\n    §image: y");

    expect(CI, &text, Code::DuplicateKey, "the first is at 4:5");
}

/// Which codes stand on which line.
fn lines(text: &str) -> Vec<(u32, Code)> {
    let found = found(CI, text);
    found.iter().map(|one| (one.line, one.code)).collect()
}

#[test]
fn a_job_that_stands_twice_is_looked_into_both_times() {
    let text = "jobs:\n  a:\n    imgae: x\n    steps: [checkout]\n  a:\n    retry: 3\n    requires: [b]\n    \
                steps: [checkout]\n  b: {steps: [checkout], requires: [zz]}\n";

    assert_eq!(
        lines(text),
        [
            (3, Code::UnknownKey),
            (5, Code::DuplicateKey),
            (6, Code::BadValue),
            (9, Code::UnknownJob)
        ]
    );
}

#[test]
fn any_key_that_stands_twice_is_looked_into_both_times() {
    let text = "version: 2.1\nversion: [2]\njobs:\n  a:\n    steps: [rnu: x]\n    steps: [checkout: x]\n    \
                image: x\n    image: []\n    image: {}\n    image: ''\n  b:\n    steps:\n      \
                - run: {command: x, when: never}\n        run: {command: []}\n";

    assert_eq!(
        lines(text),
        [
            (2, Code::DuplicateKey),
            (2, Code::WrongType),
            (5, Code::UnknownStep),
            (6, Code::DuplicateKey),
            (6, Code::WrongType),
            (8, Code::DuplicateKey),
            (8, Code::WrongType),
            (9, Code::DuplicateKey),
            (9, Code::WrongType),
            (10, Code::DuplicateKey),
            (10, Code::Empty),
            (13, Code::BadValue),
            (14, Code::DuplicateKey),
            (14, Code::WrongType),
        ]
    );
}

#[test]
fn names_of_a_list_that_stands_twice_are_not_missed() {
    let jobs = "jobs: {a: {steps: [checkout]}}\njobs: {b: {steps: [checkout], imgae: x}}\n";
    let text = format!("{jobs}workflows: {{m: {{jobs: [a, b]}}}}\n");

    assert_eq!(lines(&text), [(2, Code::DuplicateKey), (2, Code::UnknownKey)]);
}

#[test]
fn more_than_a_hundred_errors_are_counted_once_where_a_key_stands_twice() {
    let keys: String = (0..90).map(|key| format!("    zz{key}: x\n")).collect();
    let job = format!("  a:\n    steps: [checkout]\n{keys}");

    let found = found(CI, &format!("jobs:\n{job}{job}"));

    assert_eq!(found.len(), 101);
    assert_eq!(found[100].message, "81 more errors are not shown");
}

#[test]
fn what_cannot_be_merged_is_refused() {
    expect(CI, &job("<<: §text"), Code::BadMerge, "this is text");
    expect(CI, &job("§<<:"), Code::BadMerge, "this is empty");
    expect(CI, &job("<<: [§[a]]"), Code::BadMerge, "this is a list");
}

#[test]
fn a_key_must_be_text() {
    expect(CI, &job("§[a]: b"), Code::WrongType, "a key must be text");
}

#[test]
fn aliases_have_a_budget() {
    let mut text = String::from("x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n");
    for level in 1..20 {
        let alias = format!("*x{}, ", level - 1).repeat(10);
        text.push_str(&format!("x{level}: &x{level} [{alias}]\n"));
    }

    let found = found(CI, &text);

    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code, found[0].line), (Code::TooLarge, 6));
}

#[test]
fn an_alias_inside_of_what_it_names_is_refused() {
    expect(
        CI,
        "jobs: &a {b: §*a}\n",
        Code::TooLarge,
        "inside of what it names",
    );
}

#[test]
fn merged_bombs_have_a_budget_too() {
    let keys: String = (0..300).map(|key| format!("k{key}: [1, 2, 3], ")).collect();
    let merges = "- {<<: *x}\n".repeat(2000);

    let found = found(CI, &format!("x-a: &x {{{keys}}}\nx-b:\n{merges}"));

    assert_eq!(found[0].code, Code::TooLarge);
}

#[test]
fn depth_has_a_limit_also_through_aliases() {
    let deep = "[".repeat(70) + &"]".repeat(70);
    assert_eq!(found(CI, &format!("jobs: {deep}\n"))[0].code, Code::TooDeep);
    let mut chain = String::from("x0: &x0 [a]\n");
    for level in 1..20_000 {
        chain.push_str(&format!("x{level}: &x{level} [*x{}]\n", level - 1));
    }
    let found = found(CI, &chain);
    assert_eq!((found[0].code, found[0].line), (Code::TooDeep, 63));
}

#[test]
fn a_source_has_a_limit() {
    let text = format!("§# {}", "x".repeat(1 << 20));

    expect(CI, &text, Code::TooLarge, "1048576");
}

#[test]
fn a_foreign_tag_is_refused_and_yamls_own_are_not() {
    expect(CI, &job("image: §!env IMAGE"), Code::NotSupported, "`!env`");
    assert!(found(CI, &job("environment: {A: !!str 3.10}")).is_empty());
}

#[test]
fn keys_for_anchors_are_fine_when_the_anchors_are_used() {
    let used = "defaults: &image golang\njobs: {a: {image: *image, steps: [checkout]}}\n";
    let unused = "§defaults: &image golang\njobs: {a: {image: go, steps: [checkout]}}\n";
    let inside = "§jbos: {a: &a {steps: [checkout]}, b: *a}\njobs: {a: {steps: [checkout]}}\n";

    assert!(found(CI, used).is_empty());
    assert!(found(CI, &format!("x-any: 1\n{used}")).is_empty());
    expect(CI, unused, Code::UnknownKey, "defaults");
    expect(CI, inside, Code::UnknownKey, "did you mean `jobs`?");
}

#[test]
fn a_mistake_in_an_anchored_step_is_reported_once() {
    let text = "x-step: &step\n  run: {command: x, §nmae: y}\njobs:\n  a: {steps: [*step]}\n  \
                b: {steps: [*step, *step]}\n";

    expect(CI, text, Code::UnknownKey, "`name`");
}

#[test]
fn columns_count_characters() {
    expect(
        CI,
        "jobs: {ä: {steps: [checkout], §ß: x}}\n",
        Code::UnknownKey,
        "`ß`",
    );
}

#[test]
fn an_alias_inside_of_what_it_names_is_told_what_to_do() {
    expect(
        CI,
        "jobs: &a [§*a]\n",
        Code::TooLarge,
        "remove it, or let it name",
    );
}

#[test]
fn a_place_on_a_very_long_line_has_a_caret_too() {
    let open = "[".repeat(20_000);
    let wide = format!(
        "jobs: {{a: {{steps: [checkout], §ößz: x{}}}}}\n",
        "ä".repeat(9000)
    );
    let (wide, places) = marked(&wide);
    for text in [open.as_str(), wide.as_str()] {
        let found = found(CI, text);
        let at = (found[0].line, found[0].column);

        let rendered = found[0].render(text);

        let header = format!("--> {CI}:{}:{}\n", at.0, at.1);
        assert!(rendered.contains(&header), "{rendered}");
        assert!(rendered.contains('^'), "{rendered}");
        assert!(rendered.len() < 1000, "{rendered}");
        assert!(!rendered.contains(":::"), "{rendered}");
    }
    let found = found(CI, &wide);
    assert_eq!(places, [(found[0].line, found[0].column)]);
    assert!(
        found[0].render(&wide).contains("ößz: xää"),
        "{}",
        found[0].render(&wide)
    );
}
