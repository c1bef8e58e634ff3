//! The kernel takes a child before its supervisor (G14).

use crate::place::{Place, another_is_tested};
use crate::starters::is_root;

fn assert_ranks(place: &Place) {
    let record = place.record("record");
    let score = |name: &str| record[name].as_i64().expect("proc is mounted");
    let own = score("oom_score_adj_of_parent");
    assert_eq!(score("oom_score_adj"), (own + 100).min(1000));
}

#[test]
fn children_rank_a_hundred_above_their_supervisor() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("record=@/record await=@/beside").with_entrypoint("record=@/beside sleep");

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_ranks(&place);
    let beside = place.record("beside");
    assert_eq!(beside["oom_score_adj"], place.record("record")["oom_score_adj"]);
}

#[test]
fn they_do_without_any_privilege_too() {
    if another_is_tested() || !is_root("become another user") {
        return;
    }
    let place = Place::told("record=@/record");
    std::fs::copy(internal_testing::binaries::fake_task_agent(), place.path("agent")).expect("it is copied");
    let words = place.words("@/agent record=@/record");
    let place = place.with("task_agent_path", words);
    let without_privilege = [
        "/usr/bin/setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--no-new-privs",
    ];

    assert_eq!(place.run_by(&without_privilege), 0, "{}", place.log());

    assert_eq!(place.record("record")["capabilities"], "0000000000000000");
    assert_ranks(&place);
}

#[test]
fn no_rank_is_above_the_highest() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("record=@/record");
    let high = [
        "/bin/sh",
        "-c",
        "echo 950 > /proc/self/oom_score_adj && exec \"$@\"",
        "sh",
    ];

    assert_eq!(place.run_by(&high), 0, "{}", place.log());

    assert_eq!(place.record("record")["oom_score_adj"], 1000);
    assert_eq!(place.record("record")["oom_score_adj_of_parent"], 950);
}
