//! Where the configuration comes from, and that nobody else can read it.

use std::fs;
use std::process::Stdio;

use crate::place::{Place, Running, TOKEN, as_init};

#[test]
fn the_log_begins_with_the_version_and_names_the_address() {
    let place = Place::new("exit 0");

    assert_eq!(place.run(), 0);

    let log = place.log();
    let first = log.lines().next().expect("it has lines");
    assert!(
        first.contains("starting orchestrator app.date= app.version=dev"),
        "{first}"
    );
    let address = log
        .lines()
        .find(|line| line.contains("app.address=127.0.0.1:"))
        .expect("it is named");
    assert!(address.contains("server: new-server admin"), "{address}");
    assert!(!address.contains("127.0.0.1:0"), "{address}");
}

#[test]
fn a_configuration_file_is_gone_before_the_task_agent_starts() {
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
fn two_configurations_or_none_are_refused() {
    let place = Place::new("echo ran > $PLACE/ran");
    let mut both = place.command_with_file();
    both.env("CIRCLECI_GOAT_CONFIG", "{}");
    let mut none = place.command();
    none.env_remove("CIRCLECI_GOAT_CONFIG");

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
    let place = Place::new("").with("cmd", TOKEN);

    assert_eq!(place.run(), 1);

    let log = place.log();
    assert!(
        log.contains("the configuration cannot be used: a key has the wrong type"),
        "{log}"
    );
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn the_environment_block_holds_no_token_once_a_child_runs() {
    let place = Place::new("tr '\\0' '\\n' < /proc/$PPID/environ > $PLACE/block; echo read > $PLACE/read");

    assert_eq!(place.run(), 0, "{}", place.log());

    // Root may read it, and finds nothing.
    assert_eq!(place.text("read"), "read\n");
    assert_eq!(place.text("block").trim(), "");
}

#[test]
fn another_process_of_the_same_user_cannot_look_into_the_supervisor() {
    let Some(starter) = as_init() else { return };
    let place = Place::new(
        "for file in environ mem maps; do
             if dd if=/proc/1/$file of=/dev/null bs=1 count=1 2>/dev/null; then echo $file; fi
         done > $PLACE/readable
         id -u > $PLACE/who",
    );
    fs::set_permissions(
        place.path("agent.sh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .expect("it is ours");
    let starter = [
        starter,
        &[
            "/usr/bin/setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ],
    ]
    .concat();

    assert_eq!(
        Running::start(place.command_by(&starter)).end(),
        0,
        "{}",
        place.log()
    );

    assert_eq!(place.text("who"), "65534\n");
    assert_eq!(place.text("readable"), "");
}

#[test]
fn closed_streams_are_no_reason_to_fail() {
    let place = Place::new("echo out; echo error >&2; echo ran > $PLACE/ran");
    let closing = ["/bin/sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"];

    assert_eq!(Running::start(place.command_by(&closing)).end(), 0);

    assert_eq!(place.text("ran"), "ran\n");
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    let place = Place::new("head -c 300000 /dev/zero >&2 & echo ran > $PLACE/ran; sleep 0.2; exit 0");
    let mut command = place.command();
    command.stderr(Stdio::piped());

    // The pipe stays open, and nobody reads it.
    let running = Running::start(command);

    assert_eq!(running.end(), 0);
    assert_eq!(place.text("ran"), "ran\n");
}
