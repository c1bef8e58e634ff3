//! Commands, flags and the variables that stand for them.

use crate::place::{Place, Running, binaries_in, command, output};

#[test]
fn the_version_is_printed() {
    for flag in ["--version", "-v"] {
        let (code, text, _) = output(&mut command(&[flag]));

        assert_eq!(code, 0);
        let rest = text.strip_prefix("runner-init version ").expect(&text);
        let (version, date) = rest.split_once(" (built ").expect(&text);
        assert!(!version.is_empty() && date.ends_with(")\n"), "{text}");
    }
}

#[test]
fn help_is_printed_and_does_not_offer_the_configuration_as_a_flag() {
    for flag in ["--help", "-h"] {
        let (code, text, _) = output(&mut command(&[flag]));

        assert_eq!(code, 0);
        for word in ["init", "run-task", "override", "--shutdown-delay"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("--config"), "{text}");
    }
}

#[test]
fn what_there_is_not_is_refused() {
    for words in [&["--colour"][..], &["run-task", "--shutdown-delay=soon"]] {
        let (code, _, error) = output(&mut command(words));

        assert!(code != 0 && !error.is_empty(), "{words:?}: {code}, {error}");
    }
}

#[test]
fn a_variable_stands_for_a_flag() {
    let place = Place::told("");
    let mut command = place.bare_command(&[]);
    command
        .env("CIRCLECI_GOAT_CONFIG", place.config.to_string())
        .env("CIRCLECI_GOAT_HEALTH_CHECK_ADDR", "127.0.0.2:0");

    assert_eq!(Running::start(command).end(), 0, "{}", place.log());

    assert!(place.address().starts_with("127.0.0.2:"), "{}", place.log());
}

#[test]
fn a_flag_wins_over_its_variable() {
    let place = Place::told("");
    let mut command = place.command();
    command.env("CIRCLECI_GOAT_HEALTH_CHECK_ADDR", "127.0.0.2:0");

    assert_eq!(Running::start(command).end(), 0, "{}", place.log());

    assert!(place.address().starts_with("127.0.0.1:"), "{}", place.log());
}

#[test]
fn durations_are_written_as_go_writes_them() {
    let (source, destination) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    binaries_in(source.path());
    for duration in ["0", "300ms", "1.5h", "1m30s"] {
        let mut command = command(&["init"]);
        command
            .arg(source.path())
            .arg(destination.path())
            .env("CIRCLECI_GOAT_SHUTDOWN_DELAY", duration);

        // A destination that holds the link already is no business of this test.
        let _ = std::fs::remove_file(destination.path().join("circleci"));
        let (code, _, error) = output(&mut command);

        assert_eq!(code, 0, "{duration}: {error}");
    }
}

#[test]
fn without_a_configuration_there_is_no_task() {
    let place = Place::told("write=@/ran");
    let mut command = place.bare_command(&[]);
    command.arg("--health-check-addr=127.0.0.1:0");

    assert_ne!(Running::start(command).end(), 0);

    assert_eq!(place.text("ran"), "");
}
