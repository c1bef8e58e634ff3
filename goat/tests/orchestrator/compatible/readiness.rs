//! The readiness file of the containers beside.

use internal_testing::RunnerApi;

use crate::place::{Place, get};

#[test]
fn the_task_agent_starts_once_the_file_is_there() {
    let place = Place::new("test -e $PLACE/ready && echo yes > $PLACE/was-ready").with_readiness_file();
    let running = place.start();
    place.wait_for_log("app.address=");

    place.make("ready");

    assert_eq!(running.end(), 0, "{}", place.log());
    assert_eq!(place.text("was-ready"), "yes\n");
}

#[test]
fn the_file_may_be_there_already() {
    let place = Place::told("write=@/ran").with_readiness_file();
    place.make("ready");

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(place.text("ran"), "written\n");
}

#[test]
fn another_file_in_its_folder_is_not_it() {
    let api = RunnerApi::http();
    let place = Place::told("write=@/ran")
        .reporting_to(&api)
        .with_readiness_file();
    let running = place.start();
    let address = place.address();

    place.make("ready-or-not");
    // Answered by the process that would have started the task agent.
    assert!(get(&address, "/ready").starts_with("HTTP/1.1 200"));
    let before = place.text("ran");
    place.make("ready");

    assert_eq!(running.end(), 0, "{}", place.log());
    assert_eq!(
        (before, place.text("ran")),
        (String::new(), "written\n".to_owned())
    );
}
