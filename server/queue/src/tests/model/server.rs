//! The server: it hands each call to the rules, as the store does.

use std::sync::LazyLock;

use api::plan::PlannedJob;
use api::runner::Holder;
use api::runner::presence::{AdoptCandidate, AdoptionResult, Whose};
use api::runner::task::FinishRequest;
use api::{AgentId, AttemptRef, Cause, InstanceId, Outcome, Reach, TaskId};

use super::agent::{numbers, slot};
use super::memory::Remembered;
use super::operation::{Answer, Operation};
use super::step::{Broken, Delivery};
use super::world::{Config, Message, NOW, Party, Reply, Wire, World, terms};
use crate::agent::{Ask, NonceAge};
use crate::event::{Call, Event, Reporter, StepKind};
use crate::job::Job;
use crate::{Agent, Refusal};

static AGENTS: LazyLock<[AgentId; 2]> = LazyLock::new(|| ["a", "b"].map(|id| AgentId::new(id).unwrap()));
static INSTANCES: LazyLock<[InstanceId; 2]> =
    LazyLock::new(|| ["1", "2"].map(|id| InstanceId::new(id).unwrap()));
static TASK: LazyLock<TaskId> = LazyLock::new(|| TaskId::new("t").unwrap());

pub(super) fn agent_id(agent: u8) -> AgentId {
    AGENTS[usize::from(agent)].clone()
}

pub(super) fn holder(agent: u8, incarnation: u8) -> Holder {
    Holder {
        agent: agent_id(agent),
        incarnation: u64::from(incarnation),
    }
}

fn instance(instance: u8) -> Option<InstanceId> {
    Some(INSTANCES[usize::from(instance) - 1].clone())
}

fn attempt_ref(attempt: u8) -> AttemptRef {
    AttemptRef::new(TASK.clone(), u32::from(attempt))
}

impl Config {
    /// What an agent's driver sees.
    pub(super) fn reach(&self, agent: u8) -> Reach {
        let name = if self.other_reach && agent == 1 { "s" } else { "r" };
        Reach(name.to_owned())
    }
}

impl World {
    pub(super) fn deliver(
        &mut self,
        message: Message,
        delivery: Delivery,
        before: &Self,
    ) -> Result<(), Broken> {
        if delivery == Delivery::Whole || delivery == Delivery::AnswerLost {
            let at = self
                .bag
                .iter()
                .position(|other| *other == message)
                .expect("only what is there is delivered");
            self.bag.remove(at);
        }
        if delivery != Delivery::Whole {
            self.faults -= 1;
        }
        let reply = self.serve(message);
        before.check_reply(self, message, reply)?;
        if delivery == Delivery::AnswerLost || self.waiting(message.from) != Some(message) {
            return Ok(());
        }
        match message.from {
            Party::Agent { agent, .. } => self.agent_hears(agent, message, reply),
            Party::Place { attempt, instance } => {
                let index = self
                    .places
                    .iter()
                    .position(|place| (place.attempt, place.instance) == (attempt, instance));
                self.place_hears(index.expect("who waits is there"), message, reply);
            }
        }
        Ok(())
    }

    pub(super) fn serve(&mut self, message: Message) -> Reply {
        match message.from {
            Party::Agent { agent, incarnation } => self.serve_agent(agent, incarnation, message),
            Party::Place { attempt, instance } => self.serve_place(attempt, instance, message),
        }
    }

    fn serve_agent(&mut self, agent: u8, incarnation: u8, message: Message) -> Reply {
        let heard = self.hear(agent, incarnation, message.wire == Wire::Copied);
        if heard != Reply::Done || message.wire == Wire::Copied {
            return heard;
        }
        match message.wire {
            Wire::Claim { nonce, holds } => return self.serve_claim(agent, incarnation, nonce, holds),
            Wire::Adopt {
                agent: keeper,
                incarnation: kept,
            } => {
                return self.serve_adopt(agent, incarnation, message.attempt, (keeper, kept));
            }
            _ => {}
        }
        let operation = Operation::Serve {
            message,
            stored: false,
        };
        self.call(operation, message.attempt, || {
            let by = Reporter::Agent {
                class: "c".to_owned(),
                holder: holder(agent, incarnation),
            };
            match message.wire {
                Wire::Phase(phase) => Call::Phase { by, phase },
                Wire::Unclaim => Call::Unclaim {
                    by,
                    message: "u".to_owned(),
                },
                Wire::Fail => Call::Fail {
                    by,
                    message: "f".to_owned(),
                },
                Wire::Removed { refused } => {
                    let cause = refused.then(|| Cause::Start {
                        message: "no".to_owned(),
                        certain: true,
                    });
                    Call::Cause {
                        by,
                        cause,
                        place_removed: true,
                    }
                }
                other => unreachable!("{other:?} is no agent's call"),
            }
        })
    }

    fn serve_place(&mut self, attempt: u8, from: u8, message: Message) -> Reply {
        let stored = self.ghost.stored[slot(attempt)];
        let reply = self.call(Operation::Serve { message, stored }, attempt, || {
            let instance = instance(from);
            let by = Reporter::Place {
                instance: instance.clone(),
            };
            match message.wire {
                Wire::Fetch => Call::Fetch { instance },
                Wire::Began => Call::StepBegan {
                    instance,
                    kind: StepKind::Run,
                },
                Wire::Output => Call::Output { instance, last: 1 },
                Wire::Finish(outcome) => finish_of(from, outcome, stored),
                Wire::Unclaim => Call::Unclaim {
                    by,
                    message: "g".to_owned(),
                },
                Wire::Fail => Call::Fail {
                    by,
                    message: "h".to_owned(),
                },
                other => unreachable!("{other:?} is no place's call"),
            }
        });
        if message.wire == Wire::Output && reply == Reply::Done {
            self.ghost.stored[slot(attempt)] = true;
        }
        reply
    }

    /// Hands a call to the rules. `from` and `wire` say all that `call` is made of.
    fn call(&mut self, operation: Operation, attempt: u8, call: impl FnOnce() -> Call) -> Reply {
        let run = |job: &mut Job| {
            let event = Event::Call {
                attempt: u32::from(attempt),
                call: call(),
            };
            Answer::Reply(
                job.apply(event, NOW)
                    .map_or_else(|refusal| reply_to(&refusal), |_| Reply::Done),
            )
        };
        self.job.change(operation, run).reply()
    }

    fn hear(&mut self, agent: u8, incarnation: u8, copied: bool) -> Reply {
        let config = self.config;
        let run = |known: &mut [Option<Agent>; 2]| {
            let reach = if copied {
                Reach("elsewhere".to_owned())
            } else {
                config.reach(agent)
            };
            let who = holder(agent, incarnation);
            let presence = terms().presence;
            let known =
                known[usize::from(agent)].get_or_insert_with(|| Agent::new(&who, &reach, presence, NOW));
            let heard = known.hear(&who, Some(&reach), presence, NOW);
            Answer::Reply(heard.map_or_else(|refusal| reply_to(&refusal), |_| Reply::Done))
        };
        let reply = self
            .known
            .change(
                Operation::Hear {
                    agent,
                    incarnation,
                    copied,
                },
                run,
            )
            .reply();
        if reply == Reply::Done {
            let heard = &mut self.ghost.heard[usize::from(agent)];
            *heard = (*heard).max(incarnation);
        }
        reply
    }

    fn serve_claim(&mut self, agent: u8, incarnation: u8, nonce: u8, holds: u8) -> Reply {
        for attempt in numbers().filter(|attempt| holds & (1 << attempt) != 0) {
            let mut job = self.job.clone();
            if self.job_presence(&mut job, agent, incarnation, attempt).0 == Whose::Yours {
                self.ghost.listed[slot(attempt)] = true;
            }
            self.job = job;
        }
        let ask = |known: &mut [Option<Agent>; 2]| {
            let known = known[usize::from(agent)].as_mut().expect("it was heard");
            match known.ask(u64::from(nonce)) {
                Err(refusal) => Answer::Reply(reply_to(&refusal)),
                Ok(Ask::Nothing) => Answer::Reply(Reply::Nothing),
                Ok(Ask::Again(attempt)) => Answer::Again(u8::try_from(attempt.number).unwrap()),
                Ok(Ask::Search(age)) => Answer::Search(age),
            }
        };
        let who = holder(agent, incarnation);
        match self.known.change(Operation::Ask { agent, nonce }, ask) {
            Answer::Again(attempt) => {
                let reclaim = |job: &mut Job| {
                    let reclaimed = job.reclaim(u32::from(attempt), &who, NOW);
                    Answer::Reply(
                        reclaimed.map_or_else(|refusal| reply_to(&refusal), |()| Reply::Claim(attempt)),
                    )
                };
                self.job
                    .change(
                        Operation::Reclaim {
                            agent,
                            incarnation,
                            attempt,
                        },
                        reclaim,
                    )
                    .reply()
            }
            Answer::Search(age) => {
                let reach = self.config.reach(agent);
                let search = |job: &mut Job| {
                    if age == NonceAge::New {
                        job.give_back(&who, NOW);
                    }
                    let claimed = job.claim(&who, &reach, &terms(), NOW);
                    Answer::Reply(claimed.map_or(Reply::Nothing, |number| {
                        Reply::Claim(u8::try_from(number).unwrap())
                    }))
                };
                let new = age == NonceAge::New;
                let reply = self
                    .job
                    .change(
                        Operation::Search {
                            agent,
                            incarnation,
                            new,
                        },
                        search,
                    )
                    .reply();
                self.answer_nonce(agent, reply);
                reply
            }
            other => other.reply(),
        }
    }

    fn answer_nonce(&mut self, agent: u8, reply: Reply) {
        if let Reply::Claim(attempt) = reply {
            self.ghost.holder[slot(attempt)] = agent;
        }
        self.known.change(Operation::Answered { agent, reply }, |known| {
            let known = known[usize::from(agent)].as_mut().expect("it was heard");
            match reply {
                Reply::Claim(attempt) => known.claimed(attempt_ref(attempt)),
                _ => known.close_nonce(),
            }
            Answer::None
        });
    }

    fn serve_adopt(&mut self, agent: u8, incarnation: u8, attempt: u8, held_by: (u8, u8)) -> Reply {
        let reach = self.config.reach(agent);
        let keeper_id = &self.job.attempts[slot(attempt)].holder.agent;
        let keeper = self
            .known
            .iter()
            .flatten()
            .find(|known| known.id == *keeper_id)
            .cloned();
        let present = keeper.as_ref().is_some_and(|keeper| keeper.is_present(NOW));
        let run = |job: &mut Job| {
            let held_by = holder(held_by.0, held_by.1);
            let candidate = AdoptCandidate {
                attempt: attempt_ref(attempt),
                held_by,
            };
            let by = holder(agent, incarnation);
            Answer::Reply(match job.adopt(&candidate, &by, &reach, keeper.as_ref(), NOW) {
                AdoptionResult::Adopted { .. } => Reply::Adopted,
                AdoptionResult::Refused => Reply::Refused,
                AdoptionResult::Over => Reply::Over,
            })
        };
        let operation = Operation::Adopt {
            agent,
            incarnation,
            attempt,
            held_by,
            present,
        };
        let reply = self.job.change(operation, run).reply();
        if reply == Reply::Adopted {
            self.ghost.holder[slot(attempt)] = agent;
            self.ghost.listed[slot(attempt)] = true;
        }
        reply
    }

    /// Answers presence for one attempt: whose it is, and whether it is to be stopped.
    pub(super) fn serve_presence(&mut self, agent: u8, attempt: u8) -> Result<(Whose, bool), Broken> {
        let incarnation = self.agents[usize::from(agent)].incarnation;
        if self.hear(agent, incarnation, false) != Reply::Done {
            return Err("the newest process of an agent was turned away");
        }
        let mut job = self.job.clone();
        let (whose, cancel) = self.job_presence(&mut job, agent, incarnation, attempt);
        self.job = job;
        if whose == Whose::Yours {
            self.ghost.listed[slot(attempt)] = true;
        }
        Ok((whose, cancel))
    }

    pub(super) fn job_presence(
        &self,
        job: &mut Remembered<Job, Operation, Answer>,
        agent: u8,
        incarnation: u8,
        attempt: u8,
    ) -> (Whose, bool) {
        let run = |job: &mut Job| {
            let standing = job.presence(u32::from(attempt), &holder(agent, incarnation), NOW);
            Answer::Standing(standing.whose, standing.cancel.is_some())
        };
        match job.change(
            Operation::Presence {
                agent,
                incarnation,
                attempt,
            },
            run,
        ) {
            Answer::Standing(whose, cancel) => (whose, cancel),
            other => unreachable!("presence answers a standing, not {other:?}"),
        }
    }

    /// Answers a heartbeat, and whether there is a cancel.
    pub(super) fn serve_heartbeat(
        &mut self,
        attempt: u8,
        from: u8,
        before: &Self,
    ) -> Result<(Reply, bool), Broken> {
        let heartbeat = || Call::Heartbeat {
            instance: instance(from),
        };
        let reply = self.call(Operation::Heartbeat { attempt, from }, attempt, heartbeat);
        let finished = before.ghost.closer[slot(attempt)].is_some_and(|closer| {
            closer.from
                == Party::Place {
                    attempt,
                    instance: from,
                }
                && matches!(closer.wire, Wire::Finish(_))
        });
        if reply == Reply::Done && !finished && !before.job.attempts[slot(attempt)].is_open() {
            return Err("a closed attempt took a heartbeat");
        }
        Ok((reply, self.job.cancel_order(u32::from(attempt)).is_some()))
    }
}

fn finish_of(from: u8, outcome: Outcome, stored: bool) -> Call {
    let cause = match outcome {
        Outcome::Cancelled => Some(Cause::Cancelled {
            by: "x".to_owned(),
            why: String::new(),
        }),
        Outcome::InfraFailed => Some(Cause::Deleted {
            by: "unknown".to_owned(),
        }),
        _ => None,
    };
    let last_sequence = u64::from(outcome == Outcome::Succeeded);
    let record = FinishRequest {
        outcome,
        cause,
        steps: Vec::new(),
        last_sequence,
    };
    Call::Finish {
        instance: instance(from),
        record,
        stored: u64::from(stored),
    }
}

fn reply_to(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::Gone => Reply::Gone,
        Refusal::Cancelling => Reply::Cancelling,
        Refusal::RetriesExhausted => Reply::Exhausted,
        Refusal::OutputMissing { .. } => Reply::Missing,
        Refusal::Conflict(_) | Refusal::Forbidden(_) | Refusal::Invalid(_) | Refusal::NotFound => {
            Reply::Refused
        }
    }
}

/// A plan's job, for what a world is made of.
pub(super) fn planned(retry_infra: bool) -> PlannedJob {
    PlannedJob {
        name: "j".to_owned(),
        image: None,
        services: Vec::new(),
        resource_class: None,
        environment: std::collections::BTreeMap::new(),
        steps: Vec::new(),
        needs: Vec::new(),
        shell: None,
        working_directory: None,
        retry_infra,
        time_limit: None,
    }
}
