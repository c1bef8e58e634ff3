//! `goatherd run` where this machine, or what is around it, really refuses a sandbox: jobs run all the same, and the
//! warning says why. With `--isolation namespaces` nothing runs, for the same reason.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use acceptance::desk::{Desk, ORDINARY, Said, is_root, job};

/// Runs a job in a place that is not isolated, and checks that `reason` is what it and the refusal say.
fn falls_back(desk: &Desk, wrapper: &[&str], reason: &str) {
    let said = desk.run(wrapper);

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.out.contains("] ran"), "{said:#?}");
    let warned = said.err.lines().any(|line| {
        line.starts_with("warning: jobs are not isolated here, because no namespaces are used")
            && line.contains(reason)
    });
    assert!(warned, "{said:#?}");

    let mut strict = desk.command(wrapper);
    let refused = Said::of(&strict.args(["--isolation", "namespaces"]).output().unwrap());
    desk.nothing_left();
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    assert!(
        refused.err.contains(reason) && !refused.out.contains("] ran"),
        "{refused:#?}"
    );
}

#[test]
fn a_root_that_is_alone_in_its_user_namespace_runs_jobs_as_itself() {
    for desk in Desk::all(&job("echo ran"), &[]) {
        let alone = ["unshare", "--user", "--map-root-user"];

        falls_back(&desk, &alone, "a user namespace with 1 user(s) and 1 group(s)");
    }
}

#[test]
fn doctor_says_what_a_run_would_warn_of() {
    let desk = Desk::new(&job("echo ran"), None, &[]);

    let mut doctor = desk.goatherd(&["unshare", "--user", "--map-root-user"]);
    let said = Said::of(&doctor.arg("doctor").output().unwrap());

    assert_eq!(said.code, Some(0), "{said:#?}");
    let mut lines = said.out.lines();
    let line = lines
        .find(|line| line.trim_start().starts_with("sandbox"))
        .unwrap();
    assert!(
        line.contains("limited") && line.contains("a user namespace with 1 user(s)"),
        "{said:#?}"
    );
    desk.nothing_left();
}

#[test]
fn where_user_namespaces_are_turned_off_the_sysctl_is_named() {
    let user = is_root().then_some(ORDINARY);
    let desk = Desk::new(&job("echo ran"), user, &[]);
    let turned_off = [
        "unshare",
        "--user",
        "--map-current-user",
        "--keep-caps",
        "sh",
        "-c",
        "echo 0 > /proc/sys/user/max_user_namespaces || exit 9
         exec setpriv --ambient-caps=-all --inh-caps=-all -- \"$@\"",
        "sh",
    ];

    falls_back(
        &desk,
        &turned_off,
        "raise the sysctl user.max_user_namespaces, which is 0",
    );
}

#[test]
fn where_a_part_of_proc_is_covered_that_is_said() {
    if !is_root() {
        assert!(
            std::env::var_os("CI").is_none(),
            "in CI this test runs as root, which alone may mount"
        );
        println!("skipped: needs root");
        return;
    }
    let desk = Desk::new(&job("echo ran"), None, &[]);
    let covered = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs tmpfs /proc/fs || exit 9; exec \"$@\"",
        "sh",
    ];

    falls_back(&desk, &covered, "cannot mount /proc: ");
    falls_back(&desk, &covered, "parts of /proc are covered here");
}

#[test]
fn a_root_without_the_rights_to_have_other_users_is_told_which() {
    if !is_root() {
        assert!(std::env::var_os("CI").is_none(), "in CI this test runs as root");
        println!("skipped: needs root");
        return;
    }
    let desk = Desk::new(&job("echo ran"), None, &[]);
    let fewer = [
        "setpriv",
        "--bounding-set=-setuid,-setgid",
        "--inh-caps=-all",
        "--",
    ];

    falls_back(&desk, &fewer, "lacks CAP_SETUID or CAP_SETGID");
}
