//! Command lines that make no sense (G17).

use std::process::Command;

use crate::place::{Place, another_is_tested, command, orchestrator, output};

#[test]
fn what_makes_no_sense_is_refused_with_a_sentence() {
    if another_is_tested() {
        return;
    }
    for (words, sentence) in [
        (&["fly"][..], "there is no command `fly`"),
        (&["override"], "needs an entrypoint"),
        (&["run-task", "now"], "does not take the argument `now`"),
    ] {
        let (code, _, error) = output(&mut command(words));

        assert!(
            code == 2 && error.contains(sentence),
            "{words:?}: {code}, {error}"
        );
    }
}

#[test]
fn a_closed_output_is_no_panic() {
    if another_is_tested() {
        return;
    }
    let status = Command::new("/bin/sh")
        .args(["-c", "exec \"$0\" --version >&-"])
        .arg(orchestrator())
        .status();

    assert_eq!(status.expect("it runs").code(), Some(0));
}

#[test]
fn a_build_that_sets_neither_says_dev() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("");

    assert_eq!(place.run(), 0);

    let log = place.log();
    let first = log.lines().next().expect("it has lines");
    // The tests' own build is no release.
    assert!(
        first.ends_with("starting orchestrator app.date= app.version=dev"),
        "{first}"
    );
    assert_eq!(
        output(&mut command(&["-v"])).1,
        "runner-init version dev (built )\n"
    );
}
