//! No config costs more than it may, and none makes the compiler panic.
//!
//! Time is the thread's own on the processor, so that a busy machine changes nothing; memory is the most that
//! the process ever had. Both bounds are for a debug build.

use std::fs;
use std::time::Duration;

use pipeline::{CONFIG_FILES, Code, Color, Compiled, LARGEST, Severity, compile, decode, render_all};
use proptest::prelude::*;

/// What one config may take.
const TIME: Duration = Duration::from_secs(10);
/// What the whole process may take, the text and what is shown of it included, in KiB.
const MEMORY: u64 = 400 << 10;
/// The longest text about one config's mistakes, in bytes.
const SHOWN: usize = 100_000;
/// The size of a row of one piece, in bytes.
const ROW: usize = 128 << 10;

/// The processor time of this thread.
fn time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts it");
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

/// The most memory that the process had, in KiB.
fn memory() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("the kernel tells it");
    let line = text
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("it is there");
    let number = line.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    number.expect("a number")
}

/// Reads bytes as `goatherd check` does.
fn read(file: &str, bytes: Vec<u8>) -> (String, Compiled) {
    match decode(file, bytes) {
        Ok(text) => {
            let compiled = compile(file, &text);
            (text, compiled)
        }
        Err(one) => {
            let compiled = Compiled {
                plan: None,
                diagnostics: vec![*one],
            };
            (String::new(), compiled)
        }
    }
}

/// What holds for every config; tells the first error's code.
fn check(name: &str, bytes: Vec<u8>) -> Option<Code> {
    let start = time();
    let (text, compiled) = read(".ci.yml", bytes);
    let shown = render_all(&compiled.diagnostics, &text, Color::Never);
    let took = time() - start;
    assert!(took < TIME, "{name}: took {took:?}");
    assert!(memory() < MEMORY, "{name}: {} KiB", memory());
    assert!(shown.len() < SHOWN, "{name}: {} bytes are shown", shown.len());
    let mut errors = compiled
        .diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error);
    let first = errors.next().map(|one| one.code);
    assert_eq!(compiled.plan.is_none(), first.is_some(), "{name}");
    for one in &compiled.diagnostics {
        assert!(
            !one.message.contains('\n') && one.message.len() < 2000,
            "{name}: {one:?}"
        );
    }
    first
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

#[test]
fn hostile_configs_are_refused_for_what_they_are() {
    let bomb = "a0: &a0 [x, x]\n".to_owned() + &lines(60, |n| format!("a{0}: &a{0} [*a{n}, *a{n}]\n", n + 1));
    let merges = "a0: &a0 {x: 1}\n".to_owned()
        + &lines(60, |n| {
            format!("a{0}: &a{0} {{p: {{<<: *a{n}}}, q: {{<<: *a{n}}}}}\n", n + 1)
        });
    let good = "jobs: {a: {steps: [checkout]}}\n";
    for (name, text, code) in [
        ("aliases that double", bomb, Some(Code::TooLarge)),
        ("merges that double", merges, Some(Code::TooLarge)),
        ("lists in lists", "[".repeat(LARGEST), Some(Code::TooDeep)),
        ("mappings in mappings", "{a: ".repeat(ROW), Some(Code::TooDeep)),
        (
            "lists of lists on one line",
            "- ".repeat(ROW),
            Some(Code::TooDeep),
        ),
        (
            "ever deeper blocks",
            lines(700, |n| format!("{}a:\n", " ".repeat(n))),
            Some(Code::TooDeep),
        ),
        (
            "a huge key",
            format!("{}: x\n", "k".repeat(LARGEST - 4)),
            Some(Code::Syntax),
        ),
        (
            "a huge quoted key",
            format!("\"{}\": x\n", "k".repeat(1000)),
            Some(Code::UnknownKey),
        ),
        ("a NUL", "jobs:\0 {}\n".to_owned(), Some(Code::Syntax)),
        ("NULs", "\0".repeat(LARGEST), Some(Code::Syntax)),
        ("a byte order mark", format!("\u{feff}{good}"), None),
        ("two byte order marks", format!("\u{feff}\u{feff}{good}"), None),
        (
            "other line ends",
            "jobs:\r\n  a:\r\n    steps: [checkout]\r\n".to_owned(),
            None,
        ),
        (
            "tabs",
            "jobs:\n\ta:\n\t\tsteps: [checkout]\n".to_owned(),
            Some(Code::Syntax),
        ),
        (
            "an anchor that is there twice",
            format!("x-a: &a 1\nx-b: &a 2\n{good}"),
            None,
        ),
        (
            "a merge of itself",
            "jobs: &a {<<: *a}\n".to_owned(),
            Some(Code::TooLarge),
        ),
        ("a merge of text", format!("<<: x\n{good}"), Some(Code::BadMerge)),
        ("ten megabytes", "a: b\n".repeat(2 << 20), Some(Code::TooLarge)),
        (
            "ten megabytes of line ends",
            "\n".repeat(10 << 20),
            Some(Code::TooLarge),
        ),
        (
            "ten megabytes on a line",
            "木".repeat(10 << 18),
            Some(Code::TooLarge),
        ),
    ] {
        assert_eq!(check(name, text.into_bytes()), code, "{name}");
    }
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_place() {
    let mut long = b"a: b\n".repeat(2 << 20);
    long.push(0xff);
    for (name, bytes) in [
        ("one byte", b"jobs: \xff".to_vec()),
        (
            "UTF-16",
            "\u{feff}jobs: {}"
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect(),
        ),
        ("half a character", b"jobs: \xe6\x9c".to_vec()),
        ("a surrogate", b"jobs: \xed\xa0\x80".to_vec()),
        ("at the end of ten megabytes", long),
    ] {
        assert_eq!(check(name, bytes), Some(Code::Syntax), "{name}");
    }
}

#[test]
fn what_is_many_costs_no_more_than_it_is() {
    let keys = |count| lines(count, |n| format!("k{n}: 1, "));
    for (name, text) in [
        (
            "jobs",
            format!(
                "jobs:\n{}",
                lines(3000, |n| format!(
                    "  j{n}: {{steps: [checkout], requires: [z{n}]}}\n"
                ))
            ),
        ),
        ("unknown keys", lines(10_000, |n| format!("k{n}: 1\n"))),
        (
            "one job",
            format!("jobs:\n{}", "  a: {steps: [checkout], zz: 1}\n".repeat(3000)),
        ),
        ("one anchor", lines(20_000, |n| format!("k{n}: &a 1\n"))),
        (
            "anchors with an alias each",
            lines(5000, |n| format!("k{n}: &a{n} 1\nl{n}: *a{n}\n")),
        ),
        (
            "merges",
            format!(
                "x: &x {{{}}}\n{}",
                keys(1000),
                lines(3000, |n| format!("y{n}: {{<<: *x}}\n"))
            ),
        ),
        (
            "merges of merges",
            format!(
                "x0: &x0 {{a: 1}}\n{}",
                lines(3000, |n| format!("x{0}: &x{0} {{<<: *x{n}, k{n}: 1}}\n", n + 1))
            ),
        ),
        (
            "ampersands before an alias",
            format!("x: *b # {}\n", "&".repeat(ROW)),
        ),
        (
            "anchors before an alias",
            format!("x: *b # {}\n", " &a".repeat(ROW / 3)),
        ),
        (
            "starts of an expression",
            format!("jobs: {{a: {{steps: [run: '{}']}}}}\n", "<<".repeat(ROW / 2)),
        ),
    ] {
        check(name, text.into_bytes());
    }
}

#[test]
fn a_row_of_anything_that_yaml_gives_a_meaning_ends_soon() {
    const PIECES: &[&str] = &[
        "&",
        "*",
        "[",
        "{",
        "- ",
        "? ",
        ": ",
        "!",
        "%",
        "'",
        "\"",
        "|\n",
        "\t",
        "\r",
        "#",
        "\u{feff}",
        "---\n",
        "&a ",
        "a: b\n",
        "? a\n: b\n",
        "<<: ",
        "é",
        "\u{2028}",
        "\\",
        "{a,",
        "[],",
        "''",
        "  \n",
    ];
    for piece in PIECES {
        let row = piece.repeat(ROW / 2 / piece.len());
        check(piece, row.clone().into_bytes());
        check(piece, format!("x: [{row}").into_bytes());
        check(piece, format!("x: *b {row}").into_bytes());
    }
}

const VALID: &str = "\
version: 2.1
x-step: &step {run: {command: make, name: \"m\\u00e4ke\", when: always, no_output_timeout: 5m}}
x-variables: &variables {CI: '1'}
jobs:
  build: &build
    image: golang:1.24
    services: [{image: postgres:16, name: db, environment: {A: b}}]
    environment: {<<: *variables, B: \"2\"}
    time_limit: 1h
    steps:
      - checkout
      - *step
      - run: |
          echo ä
      - upload: {source: out}
  again: {<<: *build, requires: [build]}
workflows: {main: {jobs: [build, again: {requires: [{build: [succeeded]}], name: check}]}}
";

#[test]
fn the_valid_config_is_valid() {
    assert_eq!(check("valid", VALID.as_bytes().to_vec()), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_damaged_bytes_make_it_panic(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..20_usize, prop::collection::vec(any::<u8>(), 0..4)), 1..6),
        file in prop::sample::select(CONFIG_FILES),
    ) {
        let mut bytes = VALID.as_bytes().to_vec();
        for (at, cut, put) in changes {
            let at = at.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, put);
        }

        let (text, compiled) = read(file, bytes);

        let errors = compiled.diagnostics.iter().filter(|one| one.severity == Severity::Error).count();
        prop_assert_eq!(compiled.plan.is_none(), errors > 0);
        let shown = render_all(&compiled.diagnostics, &text, Color::Always);
        prop_assert_eq!(shown.is_empty(), compiled.diagnostics.is_empty());
    }

    #[test]
    fn no_exchange_of_lines_makes_it_panic(
        swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 1..6),
    ) {
        let mut lines: Vec<&str> = VALID.lines().collect();
        for (from, to, is_copied) in swaps {
            let from = from.index(lines.len());
            let line = if is_copied { lines[from] } else { lines.remove(from) };
            lines.insert(to.index(lines.len()), line);
        }

        check("lines", lines.join("\n").into_bytes());
    }
}
