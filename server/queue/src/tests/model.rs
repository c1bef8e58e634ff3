//! The model check: every history of a small world, under lost, doubled and reordered messages and killed
//! parties.
//!
//! The world is the rules themselves as the server, two agents, and the places of one job's attempts, each
//! with up to two starts. Its time is abstract: nothing happens *at* a time, but what is due happens only when
//! clients and server could have come to it. The one order that is assumed is the one that the terms give: a
//! task agent kills its steps before the server can see its lease end.

mod agent;
mod check;
mod due;
mod explore;
mod memory;
mod normal;
mod operation;
mod place;
mod server;
mod step;
mod world;

use explore::{Explored, explore};
use world::{Config, World};

use crate::rules::{ALL, Rule, without};

/// Two faults.
const FAULTS: Config = Config {
    faults: 2,
    ..Config::PLAIN
};
/// Two faults, and steps that may run again.
const FAULTS_AND_RETRY: Config = Config {
    retry_infra: true,
    ..FAULTS
};
/// A cancel, an agent that gives up, and a fault.
const ORDERS: Config = Config {
    faults: 1,
    cancel: true,
    give_up: true,
    ..Config::PLAIN
};
/// The same, and steps that may run again.
const ORDERS_AND_RETRY: Config = Config {
    retry_infra: true,
    ..ORDERS
};
/// A cancel, and two that die or hang.
const CANCEL: Config = Config {
    faults: 2,
    deaths_only: true,
    cancel: true,
    ..Config::PLAIN
};
/// Agents that claim and adopt more than they need.
const EAGER: Config = Config {
    faults: 1,
    eager: true,
    ..Config::PLAIN
};
/// The same, and the second one's driver sees another cluster.
const EAGER_ELSEWHERE: Config = Config {
    other_reach: true,
    ..EAGER
};

fn explored(config: &'static Config) -> Explored {
    let start = std::time::Instant::now();
    let explored = explore(World::new(config));
    println!(
        "{config:?}: {} states, {} steps, {:?}",
        explored.states,
        explored.steps,
        start.elapsed()
    );
    explored
}

fn keeps_every_promise(config: &'static Config) {
    if let Some(violation) = explored(config).violation {
        panic!("{violation}");
    }
}

#[test]
fn two_faults_break_no_promise() {
    keeps_every_promise(&FAULTS);
}

#[test]
fn two_faults_break_no_promise_of_steps_that_may_run_again() {
    keeps_every_promise(&FAULTS_AND_RETRY);
}

#[test]
fn orders_and_a_fault_break_no_promise() {
    keeps_every_promise(&ORDERS);
}

#[test]
fn orders_and_a_fault_break_no_promise_of_steps_that_may_run_again() {
    keeps_every_promise(&ORDERS_AND_RETRY);
}

#[test]
fn a_cancel_and_two_deaths_break_no_promise() {
    keeps_every_promise(&CANCEL);
}

#[test]
#[ignore = "takes minutes and gigabytes"]
fn orders_and_two_faults_break_no_promise() {
    keeps_every_promise(&Config { faults: 2, ..ORDERS });
    keeps_every_promise(&Config {
        faults: 2,
        ..ORDERS_AND_RETRY
    });
}

#[test]
fn eager_agents_break_no_promise() {
    keeps_every_promise(&EAGER);
    keeps_every_promise(&EAGER_ELSEWHERE);
}

#[test]
fn without_any_single_rule_some_history_breaks_a_promise() {
    let needless: Vec<Rule> = ALL
        .iter()
        .copied()
        .filter(|&rule| {
            let violation = without(rule, || explored(world_that_needs(rule))).violation;
            if let Some(violation) = &violation {
                println!("without {rule:?}: {violation}");
            }
            violation.is_none()
        })
        .collect();

    assert_eq!(needless, Vec::new(), "no history needs these rules");
}

/// A world in which the rule is needed, the cheaper the better.
fn world_that_needs(rule: Rule) -> &'static Config {
    match rule {
        Rule::AgentHasOneReach
        | Rule::OlderIncarnationIsGone
        | Rule::LowerNonceIsGone
        | Rule::NonceRepeatsItsAnswer
        | Rule::NewNonceGivesBack
        | Rule::ListedIsNotGivenBack
        | Rule::StartedIsNotGivenBack
        | Rule::OnlyBoundInstanceCalls
        | Rule::ClosedTakesNoCalls
        | Rule::ClosingCallRepeats
        | Rule::PhaseGoesForward
        | Rule::LeaseEnds
        | Rule::ServerKeepsTimeLimit
        | Rule::PatienceEnds
        | Rule::WindowEnds
        | Rule::FinishWaitsForOutput
        | Rule::UnclaimMayBeRefused
        | Rule::BeganNeedsRetryInfra
        | Rule::AttemptsAreCounted
        | Rule::AdoptNeedsReach => &EAGER_ELSEWHERE,
        Rule::AdoptNeedsAbsence => &EAGER,
        Rule::OnlyHolderReports
        | Rule::CancellingRefusesBegan
        | Rule::CancellingClosesCancelled
        | Rule::CancelInWindowEndsJob
        | Rule::CauseDecides => &ORDERS,
        Rule::RequeueWaitsForPlace | Rule::GivingUpIsNotGone => &ORDERS_AND_RETRY,
        Rule::TaskAgentHoldsLease | Rule::NothingReachedCostsNothing | Rule::AdoptComparesHolder => {
            &FAULTS_AND_RETRY
        }
        Rule::ServerClosesCancelled => &CANCEL,
    }
}
