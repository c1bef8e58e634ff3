//! Whom the task agent runs as (G7).

use internal_testing::runner_api::FAIL;
use internal_testing::{RunnerApi, binaries};
use std::fs;

use crate::place::{Place, another_is_tested};
use crate::starters::{WITH_GROUPS, is_root};

/// A place whose task agent any user can reach.
fn for_anyone() -> Place {
    let place = Place::told("");
    fs::copy(binaries::fake_task_agent(), place.path("agent")).expect("it is copied");
    let words = place.words("@/agent record=@/record");
    place.with("task_agent_path", words)
}

#[test]
fn a_number_needs_no_entry_and_has_no_groups() {
    if another_is_tested() || !is_root("become another user") {
        return;
    }
    for (user, uid, gid) in [("54321", 54321, 54321), ("54321:12345", 54321, 12345)] {
        let place = for_anyone().with("user", user);

        assert_eq!(place.run_by(WITH_GROUPS), 0, "{}", place.log());

        let record = place.record("record");
        assert_eq!((&record["uid"], &record["gid"]), (&uid.into(), &gid.into()));
        assert_eq!(record["groups"], serde_json::json!([]));
        assert_eq!(record["environment"]["HOME"], "/");
    }
}

#[test]
fn an_unknown_user_is_refused_and_not_replaced_by_root() {
    if another_is_tested() || !is_root("become another user") {
        return;
    }
    let api = RunnerApi::http();
    let place = Place::told("write=@/ran")
        .reporting_to(&api)
        .with("user", "nobody-at-all");

    assert_eq!(place.run(), 0);

    assert_eq!(place.text("ran"), "");
    // No other place would know the user either.
    assert_eq!(api.paths(), [FAIL]);
    let message = api.calls()[0].message();
    assert!(message.contains("unknown user nobody-at-all"), "{message}");
    assert_eq!(place.termination()["kind"], "task_agent_not_started");
}

#[test]
fn who_is_not_root_carries_on_as_itself_for_an_unknown_user() {
    if another_is_tested() || !is_root("become another user") {
        return;
    }
    let place = for_anyone().with("user", "nobody-at-all");
    let as_other = [
        "/usr/bin/setpriv",
        "--reuid=54321",
        "--regid=54321",
        "--clear-groups",
    ];

    assert_eq!(place.run_by(&as_other), 0, "{}", place.log());

    assert_eq!(place.record("record")["uid"], 54321);
}
