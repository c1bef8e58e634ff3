//! The configuration by file, and what happens to one that is no use (G17, G20).

use std::fs;

use crate::place::{Place, Running, TOKEN, another_is_tested};
use crate::starters::is_root;

#[test]
fn a_configuration_file_is_gone_before_the_task_agent_starts() {
    if another_is_tested() {
        return;
    }
    let place = Place::new("cat > $PLACE/token; test -e $PLACE/config.json || echo gone > $PLACE/gone");

    assert_eq!(
        Running::start(place.command_with_file()).end(),
        0,
        "{}",
        place.log()
    );

    assert_eq!(
        (place.text("token"), place.text("gone")),
        (TOKEN.to_owned(), "gone\n".to_owned())
    );
}

#[test]
fn a_configuration_file_that_cannot_be_removed_is_refused() {
    if another_is_tested() || !is_root("become another user") {
        return;
    }
    let place = Place::told("write=@/ran");
    let folder = place.path("theirs");
    fs::create_dir(&folder).expect("it is made");
    fs::write(folder.join("config.json"), place.config.to_string()).expect("it is written");
    // It can be read, but its folder is root's.
    let mut command = place.bare_command(&[
        "/usr/bin/setpriv",
        "--reuid=54321",
        "--regid=54321",
        "--clear-groups",
    ]);
    command
        .arg("--health-check-addr=127.0.0.1:0")
        .env("CIRCLECI_GOAT_CONFIG_FILE", folder.join("config.json"));

    assert_eq!(Running::start(command).end(), 1);

    assert!(
        place.log().contains("config.json cannot be removed"),
        "{}",
        place.log()
    );
    assert_eq!(place.text("ran"), "");
}

#[test]
fn two_configurations_or_none_are_refused() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("write=@/ran");
    let mut both = place.command_with_file();
    both.env("CIRCLECI_GOAT_CONFIG", "{}");
    let none = place.bare_command(&[]);

    assert_eq!(Running::start(both).end(), 1);
    assert!(
        place.log().contains("both CIRCLECI_GOAT_CONFIG and"),
        "{}",
        place.log()
    );
    assert_eq!(Running::start(none).end(), 1);
    assert_eq!(place.text("ran"), "");
}

#[test]
fn a_broken_configuration_is_refused_and_not_shown() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("").with("cmd", TOKEN);

    assert_eq!(place.run(), 1);

    let log = place.log();
    assert!(
        log.contains("the configuration cannot be used: a key has the wrong type"),
        "{log}"
    );
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn a_flag_that_makes_no_sense_is_told_and_leaves_no_file() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("");
    let mut command = place.command_with_file();
    command.env("CIRCLECI_GOAT_TERMINATION_GRACE_PERIOD", "10");

    assert_eq!(Running::start(command).end(), 2, "{}", place.log());

    assert_eq!(place.termination()["kind"], "configuration");
    assert!(!place.path("config.json").exists());
}
