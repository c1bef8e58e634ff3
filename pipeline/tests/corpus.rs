//! Real configs of other projects: all are read to a tree, and none is half understood in silence.
//!
//! They are not part of this repository. `GOATHERD_CORPORA` names the folder that holds them; without it a
//! folder beside this repository is tried, and where there is none the tests say so and pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pipeline::{Code, Color, Severity, compile, render_all};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Real, and no YAML: a shell script was pasted into it.
const BROKEN: &str = "facebook__fresco.yml";
/// Where exactly.
const BROKEN_AT: &[(u32, u32)] = &[(119, 1), (120, 1)];
/// No file takes longer, not even on a slow machine in a debug build.
const QUICK: Duration = Duration::from_secs(5);

/// The folder of CircleCI configs; none where there is none and nobody asked for it.
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("GOATHERD_CORPORA");
    let root = match &named {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"),
    };
    let folder = root.join("circleci");
    if folder.is_dir() {
        return Some(folder);
    }
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(
        !(in_ci && named.is_some()),
        "GOATHERD_CORPORA names {}, which has no folder `circleci`",
        root.display()
    );
    println!("skipped: there is no {}", folder.display());
    None
}

fn configs(folder: &Path) -> Vec<(String, String)> {
    let mut configs: Vec<(String, String)> = fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .map(|path| {
            let name = path
                .file_name()
                .expect("it was listed")
                .to_string_lossy()
                .into_owned();
            (name, fs::read_to_string(&path).expect("a config can be read"))
        })
        .collect();
    configs.sort();
    assert!(!configs.is_empty(), "{} has no configs", folder.display());
    configs
}

/// Mistakes after which there is no tree.
fn is_of_the_tree(code: Code) -> bool {
    matches!(
        code,
        Code::Syntax
            | Code::TooLarge
            | Code::TooDeep
            | Code::SeveralDocuments
            | Code::DuplicateKey
            | Code::BadMerge
    )
}

#[test]
fn every_real_config_is_read_to_a_tree() {
    let Some(folder) = folder() else { return };
    let configs = configs(&folder);

    for (name, text) in &configs {
        let start = Instant::now();
        let compiled = compile(".circleci/config.yml", text);
        assert!(start.elapsed() < QUICK, "{name} took {:?}", start.elapsed());

        let of_the_tree: Vec<_> = compiled
            .diagnostics
            .iter()
            .filter(|one| is_of_the_tree(one.code))
            .collect();
        if name == BROKEN {
            let [only] = of_the_tree.as_slice() else {
                panic!("{name}: {of_the_tree:?}");
            };
            assert!(BROKEN_AT.contains(&(only.line, only.column)), "{only:?}");
        } else {
            assert!(of_the_tree.is_empty(), "{name}: {of_the_tree:?}");
        }
    }
    println!("{} configs", configs.len());
}

#[test]
fn what_is_not_supported_is_named_with_its_place() {
    let Some(folder) = folder() else { return };

    for (name, text) in configs(&folder) {
        for file in [".circleci/config.yml", ".ci.yml"] {
            let compiled = compile(file, &text);

            let errors: Vec<_> = compiled
                .diagnostics
                .iter()
                .filter(|one| one.severity == Severity::Error)
                .collect();
            assert_eq!(compiled.plan.is_none(), !errors.is_empty(), "{name}");
            for one in &compiled.diagnostics {
                assert!(one.line >= 1 && one.column >= 1, "{name}: {one:?}");
                assert!(
                    text.lines().count() + 1 >= usize::try_from(one.line).unwrap(),
                    "{name}: {one:?}"
                );
            }
            let declares_orbs = text.lines().any(|line| line.starts_with("orbs:"));
            if declares_orbs && name != BROKEN {
                assert!(errors.iter().any(|one| one.code == Code::NotSupported), "{name}");
            }
            let shown = render_all(&compiled.diagnostics, &text, Color::Never);
            for one in &compiled.diagnostics {
                let place = format!("{file}:{}:{}", one.line, one.column);
                assert!(shown.contains(&place), "{name}: {place} is not in\n{shown}");
            }
        }
    }
}

#[test]
fn line_ends_and_a_byte_order_mark_change_no_diagnostic() {
    let Some(folder) = folder() else { return };
    let told = |text: &str| -> Vec<_> {
        let compiled = compile(".circleci/config.yml", text);
        let told = compiled.diagnostics.iter();
        told.map(|one| (one.code, one.line, one.column, one.message.clone()))
            .collect()
    };

    for (name, text) in configs(&folder) {
        let plain = text.replace("\r\n", "\n");

        assert_eq!(told(&format!("\u{feff}{text}")), told(&text), "{name}");
        if name != BROKEN {
            assert_eq!(told(&plain.replace('\n', "\r\n")), told(&plain), "{name}");
        }
    }
}

#[test]
fn no_damaged_real_config_makes_it_panic() {
    let Some(folder) = folder() else { return };
    let configs = configs(&folder);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        // The texts are large, and the panic alone names the place.
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    });
    let put = proptest::sample::select(
        &[
            "", "\n", " ", "  ", "- ", ": ", "{", "[", "]", "*a", "&a ", "\"", "'", "|", "\t", "<<: ",
            "---\n", "\0",
        ][..],
    );
    let change = (any::<prop::sample::Index>(), 0..40_usize, put);
    let changes = (any::<prop::sample::Index>(), prop::collection::vec(change, 1..5));

    let ran = runner.run(&changes, |(which, changes)| {
        let (_, text) = &configs[which.index(configs.len())];
        let mut text: Vec<char> = text.chars().collect();
        for (at, cut, put) in changes {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars());
        }
        let text: String = text.into_iter().collect();

        let compiled = compile(".circleci/config.yml", &text);

        let errors = compiled
            .diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .count();
        prop_assert_eq!(compiled.plan.is_none(), errors > 0);
        let shown = render_all(&compiled.diagnostics, &text, Color::Never);
        prop_assert_eq!(shown.is_empty(), compiled.diagnostics.is_empty());
        Ok(())
    });

    ran.expect("no damaged config makes it panic");
}
