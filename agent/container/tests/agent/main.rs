//! The agent against a server in miniature and places in memory.

#![allow(clippy::unwrap_used)]

mod places;
mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::runner::Holder;
use api::runner::path;
use api::runner::presence::{CancelOrder, Life, Whose};
use api::{AgentId, AttemptRef, Cause, Secret};
use container_agent::{Agent, AgentConfig, AgentError, PlaceLife};
use driver::Labels;
use places::{Call, Places, completed, killed, task_agent_killed};
use runtime::stop::Stops;
use serde_json::{Value, json};
use server::{Server, attempt, claim, terms};
use tokio::task::JoinHandle;

/// A running agent.
struct Running {
    id: AgentId,
    stops: Stops,
    task: JoinHandle<Result<(), AgentError>>,
}

impl Running {
    /// Asks it to end well, and waits for it.
    async fn stop(self) -> Result<(), AgentError> {
        self.stops.first.cancel();
        self.ended().await
    }

    async fn ended(self) -> Result<(), AgentError> {
        tokio::time::timeout(Duration::from_secs(10), self.task)
            .await
            .expect("the agent ends")
            .unwrap()
    }
}

fn start_with(server: &Server, places: &Arc<Places>, state: &Path, life: PlaceLife, slots: u32) -> Running {
    let agent = Agent::build(AgentConfig {
        server_url: server.url.clone(),
        token: Secret::new("class-token"),
        state_dir: state.to_owned(),
        slots,
        name: "test".to_owned(),
        driver: places.clone(),
        places: life,
        state: container_agent::StateLife::Lasting,
    })
    .unwrap();
    let id = agent.id().clone();
    let stops = Stops::default();
    let task = tokio::spawn(agent.run(stops.clone()));
    Running { id, stops, task }
}

fn start(server: &Server, places: &Arc<Places>, state: &Path) -> Running {
    start_with(server, places, state, PlaceLife::Survive, 4)
}

/// The causes that were told for an attempt: each with whether the place was gone.
fn causes(calls: &[Value], attempt: &AttemptRef) -> Vec<(Value, bool)> {
    calls
        .iter()
        .filter(|call| call["attempt"] == json!(attempt))
        .map(|call| {
            (
                call.get("cause").cloned().unwrap_or(Value::Null),
                call["place_removed"] == json!(true),
            )
        })
        .collect()
}

fn told_gone(attempt: AttemptRef) -> impl FnMut(&server::World) -> bool {
    move |world| {
        causes(&world.calls_to(path::CAUSE), &attempt)
            .iter()
            .any(|(_, gone)| *gone)
    }
}

fn foreign(task: &str) -> Labels {
    Labels {
        installation: "installation".to_owned(),
        attempt: attempt(task),
        agent: AgentId::new("other").unwrap(),
        incarnation: 3,
        job: "job".to_owned(),
    }
}

#[tokio::test]
async fn a_claimed_task_gets_a_place_and_the_place_is_removed_when_the_task_has_ended() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    let agent = start(&server, &places, state.path());
    server.with(|world| world.claims.push_back(claim("a")));
    places
        .until("it is started", |places| places.has(&attempt("a")))
        .await;

    places.end(&attempt("a"), completed());
    server
        .until("the place is told gone", told_gone(attempt("a")))
        .await;

    assert_eq!(
        places.calls(),
        [Call::Start(attempt("a")), Call::Remove(attempt("a"))]
    );
    server.with(|world| {
        assert_eq!(world.calls_to(path::PHASE)[0]["phase"], "starting");
        assert_eq!(
            causes(&world.calls_to(path::CAUSE), &attempt("a")),
            [(Value::Null, true)]
        );
    });
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_goat_is_told_before_its_place_is_removed_and_again_after() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    let agent = start(&server, &places, state.path());
    server.with(|world| world.claims.push_back(claim("a")));
    places
        .until("it is started", |places| places.has(&attempt("a")))
        .await;

    places.end(&attempt("a"), killed());
    server
        .until("the place is told gone", told_gone(attempt("a")))
        .await;

    let lost = json!({"kind": "supervisor_lost", "signal": 9});
    server.with(|world| {
        let told = causes(&world.calls_to(path::CAUSE), &attempt("a"));
        assert_eq!(told, [(lost.clone(), false), (lost, true)]);
    });
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_place_that_cannot_be_started_is_removed_and_told_with_the_drivers_cause() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    let cause = Cause::Start {
        message: "no services here".to_owned(),
        certain: true,
    };
    *places.start_fails.lock().unwrap() = Some(cause.clone());
    let agent = start(&server, &places, state.path());

    server.with(|world| world.claims.push_back(claim("a")));
    server
        .until("the place is told gone", told_gone(attempt("a")))
        .await;

    assert_eq!(
        places.calls(),
        [Call::Start(attempt("a")), Call::Remove(attempt("a"))]
    );
    server.with(|world| {
        let told = causes(&world.calls_to(path::CAUSE), &attempt("a"));
        assert_eq!(told.last(), Some(&(json!(cause), true)));
    });
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancelled_task_gets_delay_grace_and_slack_and_no_cause_of_the_agents() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    let agent = start(&server, &places, state.path());
    server.with(|world| world.claims.push_back(claim("a")));
    places
        .until("it is started", |places| places.has(&attempt("a")))
        .await;

    let order = CancelOrder {
        by: "admin".to_owned(),
        why: String::new(),
    };
    server.with(|world| world.cancels.insert(attempt("a"), order));
    server
        .until("the place is told gone", told_gone(attempt("a")))
        .await;

    let grace = terms()
        .shutdown_delay
        .saturating_add(terms().grace)
        .saturating_add(terms().slack)
        .duration();
    assert_eq!(
        places.calls(),
        [
            Call::Start(attempt("a")),
            Call::Stop(attempt("a"), grace),
            Call::Remove(attempt("a"))
        ]
    );
    server.with(|world| {
        assert_eq!(
            causes(&world.calls_to(path::CAUSE), &attempt("a")),
            [(Value::Null, true)]
        );
    });
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_moved_is_forgotten_and_its_place_is_not_touched() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    let agent = start(&server, &places, state.path());
    server.with(|world| world.claims.push_back(claim("a")));
    places
        .until("it is started", |places| places.has(&attempt("a")))
        .await;

    server.with(|world| world.whose.insert(attempt("a"), Whose::Moved));
    server
        .until("it is not held any more", |world| {
            world
                .calls_to(path::CLAIM)
                .last()
                .is_some_and(|call| call["holds"] == json!([]))
                && world.calls_to(path::CLAIM).len() > 2
        })
        .await;

    assert_eq!(places.calls(), [Call::Start(attempt("a"))]);
    server.with(|world| assert!(world.calls_to(path::CAUSE).is_empty()));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_is_over_is_stopped_and_removed() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    let agent = start(&server, &places, state.path());
    server.with(|world| world.claims.push_back(claim("a")));
    places
        .until("it is started", |places| places.has(&attempt("a")))
        .await;

    server.with(|world| world.whose.insert(attempt("a"), Whose::Over));
    places
        .until("it is removed", |places| {
            places.calls().contains(&Call::Remove(attempt("a")))
        })
        .await;

    assert!(
        places
            .calls()
            .contains(&Call::Stop(attempt("a"), terms().grace.duration()))
    );
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn the_signal_of_a_killed_task_agent_is_told_though_goat_has_reported_the_failure() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    let agent = start(&server, &places, state.path());
    server.with(|world| world.claims.push_back(claim("a")));
    places
        .until("it is started", |places| places.has(&attempt("a")))
        .await;

    // GOAT's fail closes the attempt before GOAT itself has ended.
    server.with(|world| world.whose.insert(attempt("a"), Whose::Over));
    let presences = server.with(|world| world.calls_to(path::PRESENCE).len());
    server
        .until("the agent knows", |world| {
            world.calls_to(path::PRESENCE).len() > presences + 1
        })
        .await;
    places.end(&attempt("a"), task_agent_killed());
    server
        .until("the place is told gone", told_gone(attempt("a")))
        .await;

    let lost = json!({"kind": "task_agent_lost", "signal": 9});
    server.with(|world| {
        let told = causes(&world.calls_to(path::CAUSE), &attempt("a"));
        assert_eq!(told, [(lost.clone(), false), (lost, true)]);
    });
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn an_agent_that_starts_again_goes_on_with_what_runs_and_starts_nothing_twice() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    let first = start(&server, &places, state.path());
    let id = first.id.clone();
    server.with(|world| world.claims.push_back(claim("a")));
    places
        .until("it is started", |places| places.has(&attempt("a")))
        .await;
    first.stop().await.unwrap();
    assert!(places.has(&attempt("a")), "a stop leaves what runs");

    let second = start(&server, &places, state.path());
    assert_eq!(second.id, id);
    server
        .until("the new incarnation lists it", |world| {
            world.calls_to(path::PRESENCE).iter().any(|call| {
                call["holder"]["incarnation"] == json!(2)
                    && call["holds"][0]["attempt"] == json!(attempt("a"))
            })
        })
        .await;
    places.end(&attempt("a"), completed());
    server
        .until("the place is told gone", told_gone(attempt("a")))
        .await;

    assert_eq!(
        places.calls(),
        [Call::Start(attempt("a")), Call::Remove(attempt("a"))]
    );
    second.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_held_and_has_no_place_any_more_is_told_lost() {
    for (life, kind) in [
        (PlaceLife::Survive, "supervisor_lost"),
        (PlaceLife::EndWithAgent, "agent_lost"),
    ] {
        let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
        let first = start_with(&server, &places, state.path(), life, 4);
        server.with(|world| world.claims.push_back(claim("a")));
        places
            .until("it is started", |places| places.has(&attempt("a")))
            .await;
        first.stops.second.cancel();
        first.ended().await.unwrap();
        places.vanish(&attempt("a"));

        let second = start_with(&server, &places, state.path(), life, 4);
        server
            .until("the place is told gone", told_gone(attempt("a")))
            .await;

        server.with(|world| {
            let told = causes(&world.calls_to(path::CAUSE), &attempt("a"));
            assert_eq!(told.last().unwrap().0["kind"], kind);
        });
        second.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_nonce_is_repeated_until_it_is_answered_over_a_restart_too() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    server.with(|world| world.claims_fail = true);
    let first = start(&server, &places, state.path());
    server
        .until("it asked twice", |world| world.calls_to(path::CLAIM).len() >= 2)
        .await;
    first.stops.second.cancel();
    first.ended().await.unwrap();

    server.with(|world| world.claims_fail = false);
    let second = start(&server, &places, state.path());
    server
        .until("a second nonce was used", |world| {
            world
                .calls_to(path::CLAIM)
                .last()
                .is_some_and(|call| call["nonce"] == json!(2))
        })
        .await;

    server.with(|world| {
        let nonces: Vec<Value> = world
            .calls_to(path::CLAIM)
            .into_iter()
            .map(|call| call["nonce"].clone())
            .collect();
        assert!(
            nonces.iter().rev().skip(1).all(|nonce| *nonce == json!(1)),
            "{nonces:?}"
        );
        assert!(world.given.contains_key(&1));
    });
    second.stop().await.unwrap();
}

#[tokio::test]
async fn an_older_process_ends_and_touches_nothing() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    let agent = start(&server, &places, state.path());
    server.with(|world| world.claims.push_back(claim("a")));
    places
        .until("it is started", |places| places.has(&attempt("a")))
        .await;

    server.with(|world| world.replaced = true);
    let ended = agent.ended().await;

    assert!(matches!(ended, Err(AgentError::Replaced { .. })), "{ended:?}");
    assert_eq!(places.calls(), [Call::Start(attempt("a"))]);
}

#[tokio::test]
async fn only_places_that_the_server_calls_over_are_swept() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    for task in ["over", "alive", "unknown"] {
        places.put(foreign(task));
    }
    let other = Holder {
        agent: AgentId::new("other").unwrap(),
        incarnation: 3,
    };
    server.with(|world| {
        world.lives.insert(attempt("over"), (Life::Over, None));
        world.lives.insert(attempt("alive"), (Life::Live, Some(other)));
    });

    let agent = start(&server, &places, state.path());
    let asked = |times: usize| {
        server.until("it asked", move |world| {
            world.calls_to(path::ATTEMPTS_STATUS).len() >= times
        })
    };
    asked(1).await;
    // Its own agent may live, and tell how it ended.
    assert_eq!(places.calls(), []);
    asked(3).await;

    assert_eq!(places.calls(), [Call::Remove(attempt("over"))]);
    assert!(places.has(&attempt("alive")) && places.has(&attempt("unknown")));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_place_whose_agent_is_gone_is_adopted_and_seen_through() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    places.put(foreign("a"));
    let other = Holder {
        agent: AgentId::new("other").unwrap(),
        incarnation: 4,
    };
    server.with(|world| {
        world
            .lives
            .insert(attempt("a"), (Life::Live, Some(other.clone())));
    });
    let agent = start(&server, &places, state.path());
    server
        .until("it asked for it", |world| !world.calls_to(path::ADOPT).is_empty())
        .await;
    server.with(|world| {
        assert_eq!(
            world.calls_to(path::ADOPT)[0]["candidates"][0]["held_by"],
            json!(other)
        );
        world.adoptable.insert(attempt("a"));
    });
    server
        .until("it lists it", |world| {
            world
                .calls_to(path::PRESENCE)
                .iter()
                .any(|call| call["holds"][0]["attempt"] == json!(attempt("a")))
        })
        .await;

    places.end(&attempt("a"), completed());
    server
        .until("the place is told gone", told_gone(attempt("a")))
        .await;

    assert_eq!(places.calls(), [Call::Remove(attempt("a"))]);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_claim_that_arrives_during_a_stop_is_given_back() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    server.with(|world| world.claims_fail = true);
    let agent = start(&server, &places, state.path());
    server
        .until("it asked", |world| !world.calls_to(path::CLAIM).is_empty())
        .await;
    server.with(|world| {
        world.given.insert(1, Some(claim("a")));
    });

    // The server has given it away; the answer never reached the agent.
    agent.stops.first.cancel();
    server.with(|world| world.claims_fail = false);
    agent.ended().await.unwrap();

    server.with(|world| {
        let unclaims = world.calls_to(path::UNCLAIM);
        let started = places.calls().contains(&Call::Start(attempt("a")));
        assert!(
            started
                || unclaims
                    .first()
                    .is_some_and(|call| call["attempt"] == json!(attempt("a")))
        );
        assert!(!started, "nothing is started during a stop");
    });
}

#[tokio::test]
async fn a_nonce_that_the_last_process_may_have_closed_is_not_waited_on() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    let claims = |world: &server::World| world.calls_to(path::CLAIM);
    let agent = start(&server, &places, state.path());
    server
        .until("a task is asked for", |world| !claims(world).is_empty())
        .await;
    agent.stop().await.unwrap();
    let before = server.with(|world| claims(world).len());

    let agent = start(&server, &places, state.path());
    server
        .until("it is asked for again", |world| claims(world).len() > before + 1)
        .await;

    let asked = server.with(|world| claims(world).split_off(before));
    assert_eq!(asked[0]["wait"], json!(0));
    assert_ne!(asked[1]["wait"], json!(0));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn no_task_is_asked_for_while_all_slots_are_taken_or_the_server_wants_a_drain() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    let agent = start_with(&server, &places, state.path(), PlaceLife::Survive, 1);
    server.with(|world| world.claims.push_back(claim("a")));
    places
        .until("it is started", |places| places.has(&attempt("a")))
        .await;
    server.with(|world| world.claims.push_back(claim("b")));
    let presences = server.with(|world| world.calls_to(path::PRESENCE).len());
    server
        .until("time has passed", |world| {
            world.calls_to(path::PRESENCE).len() > presences + 2
        })
        .await;
    assert!(!places.has(&attempt("b")), "its one slot is taken");

    server.with(|world| world.drain = true);
    server
        .until("the drain is known", |world| {
            world
                .calls_to(path::PRESENCE)
                .last()
                .is_some_and(|call| call["draining"] == json!(true))
        })
        .await;
    places.end(&attempt("a"), completed());
    server
        .until("the place is told gone", told_gone(attempt("a")))
        .await;
    let presences = server.with(|world| world.calls_to(path::PRESENCE).len());
    server
        .until("time has passed", |world| {
            world.calls_to(path::PRESENCE).len() > presences + 2
        })
        .await;
    assert!(!places.has(&attempt("b")), "it is draining");

    server.with(|world| world.drain = false);
    places
        .until("the drain is over", |places| places.has(&attempt("b")))
        .await;
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_place_that_will_not_go_is_told_as_a_failure_and_as_gone_only_once_it_is() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    *places.removes_fail.lock().unwrap() = 1;
    let agent = start(&server, &places, state.path());
    server.with(|world| world.claims.push_back(claim("a")));
    places
        .until("it is started", |places| places.has(&attempt("a")))
        .await;

    places.end(&attempt("a"), completed());
    server
        .until("the place is told gone", told_gone(attempt("a")))
        .await;

    server.with(|world| {
        assert_eq!(world.calls_to(path::FAIL)[0]["allocation"], json!(attempt("a")));
        let failed = world.calls.iter().position(|(to, _)| to == path::FAIL);
        let gone = world
            .calls
            .iter()
            .position(|(to, body)| to == path::CAUSE && body["place_removed"] == json!(true));
        assert!(failed < gone);
    });
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn where_places_end_with_the_agent_a_stop_waits_for_what_runs() {
    let (server, places, state) = (Server::start().await, Places::new(), tempfile::tempdir().unwrap());
    let agent = start_with(&server, &places, state.path(), PlaceLife::EndWithAgent, 4);
    server.with(|world| world.claims.push_back(claim("a")));
    places
        .until("it is started", |places| places.has(&attempt("a")))
        .await;

    agent.stops.first.cancel();
    server
        .until("it drains", |world| {
            world
                .calls_to(path::PRESENCE)
                .last()
                .is_some_and(|call| call["draining"] == json!(true))
        })
        .await;
    assert!(!agent.task.is_finished());
    places.end(&attempt("a"), completed());
    agent.ended().await.unwrap();

    assert!(!places.has(&attempt("a")));
}
