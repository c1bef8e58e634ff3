//! Which job an agent gets.

use std::collections::BTreeMap;

use api::TaskId;

use crate::{Candidate, Offer, Time, choose, runs_services};

fn candidate(name: &str, repository: &str, since: u64) -> Candidate {
    Candidate {
        task: TaskId::new(name).unwrap(),
        resource_class: "small".to_owned(),
        repository: repository.to_owned(),
        since: Time(since),
        services: false,
    }
}

fn offer() -> Offer {
    Offer {
        resource_class: "small".to_owned(),
        free_slots: 1,
        services: false,
        services_elsewhere: false,
    }
}

#[test]
fn the_repository_with_least_running_comes_first_then_the_oldest_job() {
    let jobs = [
        candidate("a", "busy", 1),
        candidate("b", "idle", 3),
        candidate("c", "idle", 2),
    ];
    let running = BTreeMap::from([("busy".to_owned(), 4)]);

    assert_eq!(choose(&jobs, &offer(), &running), Some(2));
    assert_eq!(choose(&jobs, &offer(), &BTreeMap::new()), Some(0));
}

#[test]
fn only_jobs_of_the_class_are_chosen_and_none_without_a_free_slot() {
    let mut other = candidate("a", "r", 1);
    other.resource_class = "large".to_owned();
    let jobs = [other, candidate("b", "r", 2)];

    assert_eq!(choose(&jobs, &offer(), &BTreeMap::new()), Some(1));
    assert_eq!(choose(&jobs[..1], &offer(), &BTreeMap::new()), None);
    assert_eq!(
        choose(
            &jobs,
            &Offer {
                free_slots: 0,
                ..offer()
            },
            &BTreeMap::new()
        ),
        None
    );
}

#[test]
fn a_job_with_services_is_kept_for_an_agent_that_runs_them_where_there_is_one() {
    let mut job = candidate("a", "r", 1);
    job.services = true;
    let jobs = [job];
    let none = BTreeMap::new();

    assert_eq!(
        choose(
            &jobs,
            &Offer {
                services_elsewhere: true,
                ..offer()
            },
            &none
        ),
        None
    );
    assert_eq!(
        choose(&jobs, &offer(), &none),
        Some(0),
        "its refusal says why it cannot run"
    );
    assert_eq!(
        choose(
            &jobs,
            &Offer {
                services: true,
                services_elsewhere: true,
                ..offer()
            },
            &none
        ),
        Some(0)
    );
    assert!(!runs_services("local") && runs_services("docker") && runs_services("kubernetes"));
}
